"""What the database keeps of transfers."""

from transfers.models.download import Download
from transfers.models.download_attempt import DownloadAttempt
from transfers.models.download_list import DownloadList, ListItem
from transfers.models.download_part import DownloadPart
from transfers.models.list_job import ListJob
from transfers.models.order import Order, OrderItem
from transfers.models.quota import Quota
from transfers.models.stored_file import StoredFile
from transfers.models.upload import Upload

__all__ = [
    "Download",
    "DownloadAttempt",
    "DownloadList",
    "DownloadPart",
    "ListItem",
    "ListJob",
    "Order",
    "OrderItem",
    "Quota",
    "StoredFile",
    "Upload",
]
