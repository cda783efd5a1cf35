"""What workers run: each task loads its row by id, does the work through the engine, and makes one guarded move."""

from transfers.tasks.adding import add_to_list
from transfers.tasks.checksums import take_checksums
from transfers.tasks.download import fetch_download, join_download
from transfers.tasks.forgetting import forget_history
from transfers.tasks.housekeeping import reap
from transfers.tasks.removal import remove_file
from transfers.tasks.sweeping import sweep
from transfers.tasks.tidying import tidy_zip
from transfers.tasks.upload import complete_upload, remove_upload
from transfers.tasks.zipping import make_zip

__all__ = [
    "add_to_list",
    "complete_upload",
    "fetch_download",
    "forget_history",
    "join_download",
    "make_zip",
    "reap",
    "remove_file",
    "remove_upload",
    "sweep",
    "take_checksums",
    "tidy_zip",
]
