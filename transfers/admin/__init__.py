"""The admin: what operators see of transfers, and the few things they may have done with them."""

from transfers.admin.account import GroupAdmin, UserAdmin
from transfers.admin.audit import AuditAdmin
from transfers.admin.download import DownloadAdmin
from transfers.admin.download_list import DownloadListAdmin
from transfers.admin.list_job import ListJobAdmin
from transfers.admin.login_failure import LoginFailureAdmin
from transfers.admin.order import OrderAdmin
from transfers.admin.stored_file import StoredFileAdmin
from transfers.admin.token import TokenAdmin
from transfers.admin.upload import UploadAdmin

__all__ = [
    "AuditAdmin",
    "DownloadAdmin",
    "DownloadListAdmin",
    "GroupAdmin",
    "ListJobAdmin",
    "LoginFailureAdmin",
    "OrderAdmin",
    "StoredFileAdmin",
    "TokenAdmin",
    "UploadAdmin",
    "UserAdmin",
]
