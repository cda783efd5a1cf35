"""What the database keeps of tasks."""

from tasks_api.models.download import DownloadTask
from tasks_api.models.source import Grant, Series, Source
from tasks_api.models.task import Report, Status, Task
from tasks_api.models.upload import PrivateUpload, PublicUpload, UploadTask

__all__ = [
    "DownloadTask",
    "Grant",
    "PrivateUpload",
    "PublicUpload",
    "Report",
    "Series",
    "Source",
    "Status",
    "Task",
    "UploadTask",
]
