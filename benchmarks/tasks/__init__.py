"""Polls beside a bare Django view on the same server: `python -m benchmarks.tasks`."""
