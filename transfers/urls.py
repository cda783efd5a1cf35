"""The paths of transfers; each takes a trailing slash or none."""

from django.urls import re_path

from transfers.views.download import DownloadCheckView, DownloadDetailView, DownloadListView, DownloadStopView

_UUID = r"(?P<pk>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"

urlpatterns = [
    re_path(r"^api/file/download/?$", DownloadListView.as_view(), name="download-list"),
    re_path(r"^api/file/download/stop/?$", DownloadStopView.as_view(), name="download-stop"),
    re_path(r"^api/file/download/check/?$", DownloadCheckView.as_view(), name="download-check"),
    re_path(rf"^api/file/download/{_UUID}/?$", DownloadDetailView.as_view(), name="download-detail"),
]
