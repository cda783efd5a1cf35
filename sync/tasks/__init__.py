"""What workers run for sync: one holds a job and plans it, all of them work off its batches."""

from sync.tasks.forgetting import forget_history
from sync.tasks.housekeeping import reap
from sync.tasks.job import help_sync, sync_case
from sync.tasks.sweeping import sweep

__all__ = ["forget_history", "help_sync", "reap", "sweep", "sync_case"]
