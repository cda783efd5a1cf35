"""The paths of transfers; each takes a trailing slash or none."""

from django.urls import re_path

from transfers.views.content import ContentView
from transfers.views.download import DownloadCheckView, DownloadDetailView, DownloadListView, DownloadStopView
from transfers.views.pages import LoginPage, LogoutPage, UploadPage
from transfers.views.stored_file import StoredFileDetailView, StoredFileListView
from transfers.views.upload import UploadDetailView, UploadPartAddressView, UploadPartView, UploadView

_UUID = r"(?P<pk>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"

_FILE = r"^files/(?P<pk>[0-9]{1,19})"

_UPLOAD = r"^ehealth-base/multipart/upload"
_UPLOAD_ID = r"(?P<upload_id>[0-9]{1,19})"
_PART = r"parts/(?P<part>[0-9]{1,9})"

urlpatterns = [
    re_path(rf"{_UPLOAD}/?$", UploadView.as_view(), name="upload"),
    re_path(rf"{_UPLOAD}/{_UPLOAD_ID}/?$", UploadDetailView.as_view(), name="upload-detail"),
    re_path(rf"{_UPLOAD}/{_UPLOAD_ID}/{_PART}/?$", UploadPartView.as_view(), name="upload-part"),
    re_path(rf"{_UPLOAD}/{_UPLOAD_ID}/{_PART}/url/?$", UploadPartAddressView.as_view(), name="upload-part-address"),
    re_path(r"^api/file/download/?$", DownloadListView.as_view(), name="download-list"),
    re_path(r"^api/file/download/stop/?$", DownloadStopView.as_view(), name="download-stop"),
    re_path(r"^api/file/download/check/?$", DownloadCheckView.as_view(), name="download-check"),
    re_path(rf"^api/file/download/{_UUID}/?$", DownloadDetailView.as_view(), name="download-detail"),
    re_path(r"^files/?$", StoredFileListView.as_view(), name="stored-file-list"),
    re_path(rf"{_FILE}/?$", StoredFileDetailView.as_view(), name="stored-file-detail"),
    re_path(rf"{_FILE}/content/?$", ContentView.as_view(), name="stored-file-content"),
    re_path(r"^upload/?$", UploadPage.as_view(), name="upload-page"),
    re_path(r"^login/?$", LoginPage.as_view(), name="login"),
    re_path(r"^logout/?$", LogoutPage.as_view(), name="logout"),
]
