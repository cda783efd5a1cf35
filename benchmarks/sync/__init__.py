"""Case sync beside `aws s3 sync`, `rclone sync` and s5cmd: `python -m benchmarks.sync`."""
