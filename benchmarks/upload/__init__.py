"""Uploads beside @tus/server, tuspyserver and copyparty: `python -m benchmarks.upload`."""
