"""What beat has done for tasks."""

from tasks_api.tasks.forgetting import forget_history

__all__ = ["forget_history"]
