"""What workers run: each task loads its row by id, does the work through the engine, and makes one guarded move."""

from transfers.tasks.checksums import take_checksums
from transfers.tasks.download import fetch_download, join_download
from transfers.tasks.housekeeping import reap

__all__ = ["fetch_download", "join_download", "reap", "take_checksums"]
