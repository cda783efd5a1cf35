"""Lists of tasks, and one task, in the one form that the three kinds share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from tasks_api.envelope import success
from tasks_api.models import DownloadTask, PrivateUpload, PublicUpload, Report, Task
from tasks_api.models.task import Status
from tasks_api.serializers.fields import FormSerializer
from tasks_api.serializers.task import (
    DownloadTaskSerializer,
    FiltersSerializer,
    NewSourceSerializer,
    ReportSerializer,
    SourceIdSerializer,
    UploadReportSerializer,
    UploadTaskSerializer,
    status_choices,
)
from tasks_api.services import download as downloads
from tasks_api.services import task as tasks
from tasks_api.services import upload as uploads
from tasks_api.services.task import Filters
from tasks_api.views import described
from tasks_api.views.base import PAGE_SIZE, WHOLE_LIST, TasksAPIView, row_id


class TaskAPIView(TasksAPIView):
    """What all views of one kind of task share."""

    kind: ClassVar[type[Task]]
    report: ClassVar[type[FormSerializer[Report]]] = UploadReportSerializer
    shown: ClassVar[type[UploadTaskSerializer]] = UploadTaskSerializer

    def one(self, task: Task) -> Response:
        """Answer with the task."""
        return Response(success(self.shown(task).data))


class TaskListView(TaskAPIView):
    """Tasks of one kind: the caller's own, or to staff all."""

    page_size = PAGE_SIZE

    def get(self, request: Request) -> Response:
        """List them, the newest or what changed last first."""
        page, meta = self.paged(request, self.rows(request), self.page_size)
        data = self.shown(page, many=True).data
        return Response(success(data, {**meta, "status_choices": status_choices(self.kind)}))

    def rows(self, request: Request) -> QuerySet[Any]:
        """All that the filters let through."""
        filters = self.parsed(FiltersSerializer, request.query_params, {"kind": self.kind})
        return tasks.listed(self.kind, user=self.caller(request), filters=self.default(filters))

    def default(self, filters: Filters) -> Filters:
        """What is meant where the client does not say."""
        return filters


class TaskDetailView(TaskAPIView):
    """One task."""

    def get(self, request: Request, pk: str) -> Response:
        """Show the task."""
        return self.one(tasks.find(self.kind, user=self.caller(request), task_id=row_id(pk)))

    def patch(self, request: Request, pk: str) -> Response:
        """Report where the task stands."""
        task_id = row_id(pk)
        told = self.parsed(self.report, request.data)
        return self.one(tasks.report(self.kind, user=self.caller(request), task_id=task_id, told=told))


@described.public_uploads
class PublicUploadListView(TaskListView):
    """Uploads of public blocks."""

    throttle_scope = "starts"

    kind = PublicUpload

    def post(self, request: Request) -> Response:
        """Begin an upload; the one of the same series and uuid when there is one."""
        new = self.parsed(NewSourceSerializer, request.data)
        return self.one(uploads.create(user=self.caller(request), new=new))


@described.public_upload
class PublicUploadDetailView(TaskDetailView):
    """The upload of a public block."""

    kind = PublicUpload


@described.private_uploads
class PrivateUploadListView(TaskListView):
    """Uploads of private blocks, which the desktop client asks for without any parameter."""

    kind = PrivateUpload
    page_size = WHOLE_LIST

    def default(self, filters: Filters) -> Filters:
        """Without a status, those that are still to do."""
        if filters.statuses:
            return filters
        to_do = tuple(status for status in PrivateUpload.statuses() if status != Status.COMPLETED)
        return replace(filters, statuses=to_do)


@described.private_upload
class PrivateUploadDetailView(TaskDetailView):
    """The upload of a private block."""

    kind = PrivateUpload


@described.downloads
class DownloadListView(TaskListView):
    """Downloads."""

    kind = DownloadTask
    shown = DownloadTaskSerializer


@described.download
class DownloadDetailView(TaskDetailView):
    """A download."""

    kind = DownloadTask
    shown = DownloadTaskSerializer
    report = ReportSerializer


@described.new_download
class NewDownloadView(TaskAPIView):
    """Where downloads begin: by GET, as the source has it, or by POST."""

    throttle_scope = "starts"

    kind = DownloadTask
    shown = DownloadTaskSerializer
    conditional = False
    http_method_names = ["get", "post"]  # a HEAD would create too

    def get(self, request: Request) -> Response:
        """Begin a download of a source, named in the query or in a body; the live one when there is one."""
        _require_own_site(request)
        return self._create(request, request.query_params if "source_id" in request.query_params else request.data)

    def post(self, request: Request) -> Response:
        """Begin a download of a source; the live one when there is one."""
        return self._create(request, request.data)

    def _create(self, request: Request, fields: Any) -> Response:
        source_id = self.parsed(SourceIdSerializer, fields)
        return self.one(downloads.create(user=self.caller(request), source_id=source_id))


def _require_own_site(request: Request) -> None:
    """Refuse a session's cookie that a browser sends along for another site: no CSRF token guards a GET."""
    if not isinstance(request.successful_authenticator, SessionAuthentication):
        return
    # To its own site a browser sends no Origin with a GET, so those that say nothing else are told by that they do.
    unsaid = "cross-site" if "Origin" in request.headers else "none"
    if request.headers.get("Sec-Fetch-Site", unsaid) not in ("same-origin", "none"):
        raise PermissionDenied("The session cookie is not taken from another site.")
