"""What the database keeps of transfers."""

from transfers.models.download import Download, DownloadAttempt, DownloadPart
from transfers.models.stored_file import StoredFile

__all__ = ["Download", "DownloadAttempt", "DownloadPart", "StoredFile"]
