"""The admin of tasks: who uploads and downloads what, how far it is, and who waits for whom."""

from tasks_api.admin.download import DownloadTaskAdmin
from tasks_api.admin.series import SeriesAdmin
from tasks_api.admin.source import SourceAdmin
from tasks_api.admin.upload import PrivateUploadAdmin, PublicUploadAdmin

__all__ = ["DownloadTaskAdmin", "PrivateUploadAdmin", "PublicUploadAdmin", "SeriesAdmin", "SourceAdmin"]
