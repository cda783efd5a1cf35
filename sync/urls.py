"""The paths of sync; each takes a trailing slash or none."""

from django.urls import re_path

from sync.views.case import CaseDetailView, CaseListView
from sync.views.sync import SyncDetailView, SyncStopView, SyncView

# Whatever is no id is told so by the views, each in its own envelope.
_SYNC = r"^api/file/raylinksync"
_JOB_ID = r"(?P<job_id>[^/]+)"

urlpatterns = [
    re_path(rf"{_SYNC}/?$", SyncView.as_view(), name="sync"),
    re_path(rf"{_SYNC}/{_JOB_ID}/?$", SyncDetailView.as_view(), name="sync-detail"),
    re_path(rf"{_SYNC}/{_JOB_ID}/stop/?$", SyncStopView.as_view(), name="sync-stop"),
    re_path(r"^api/cases/?$", CaseListView.as_view(), name="case-list"),
    re_path(r"^api/cases/(?P<case_id>[^/]+)/?$", CaseDetailView.as_view(), name="case-detail"),
]
