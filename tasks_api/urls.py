"""The paths of tasks; each takes a trailing slash or none, and `public` for the source's `pbulic`."""

from typing import Any

from django.urls import URLPattern, re_path

from tasks_api.views.source import MeView, SeriesSourcesView
from tasks_api.views.task import (
    DownloadDetailView,
    DownloadListView,
    NewDownloadView,
    PrivateUploadDetailView,
    PrivateUploadListView,
    PublicUploadDetailView,
    PublicUploadListView,
)

_ID = r"(?P<pk>[0-9]{1,19})"


def _path(route: str, view: Any, name: str | None = None) -> URLPattern:
    """A path with or without its slash; one without a name is another way to write one, and not described."""
    described = {} if name else {"schema": None}
    pattern: URLPattern = re_path(rf"^api/v1/{route}/?$", view.as_view(**described), name=name)
    return pattern


urlpatterns = [
    _path("tasks/upload/pbulic", PublicUploadListView, "public-upload-list"),
    _path("tasks/upload/public", PublicUploadListView),
    _path(rf"tasks/upload/pbulic/{_ID}", PublicUploadDetailView, "public-upload-detail"),
    _path(rf"tasks/upload/public/{_ID}", PublicUploadDetailView),
    _path("tasks/upload/private", PrivateUploadListView, "private-upload-list"),
    _path(rf"tasks/upload/private/{_ID}", PrivateUploadDetailView, "private-upload-detail"),
    _path("tasks/download", NewDownloadView, "download-task-create"),
    _path(rf"tasks/download/{_ID}", DownloadDetailView, "download-task-detail"),
    _path("tasks/downloads", DownloadListView, "download-task-list"),
    _path("users/me", MeView, "user-me"),
    _path(rf"series/{_ID}/sources", SeriesSourcesView, "series-sources"),
]
