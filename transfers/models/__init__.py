"""What the database keeps of transfers."""

from transfers.models.download import Download
from transfers.models.download_attempt import DownloadAttempt
from transfers.models.download_part import DownloadPart
from transfers.models.stored_file import StoredFile
from transfers.models.upload import Upload

__all__ = ["Download", "DownloadAttempt", "DownloadPart", "StoredFile", "Upload"]
