"""The signed-in user, and what can be downloaded of a series."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from tasks_api.envelope import success
from tasks_api.serializers.task import DownloadableSourceSerializer, UserSerializer
from tasks_api.services import download as downloads
from tasks_api.views import described
from tasks_api.views.base import WHOLE_LIST, TasksAPIView, row_id


@described.me
class MeView(TasksAPIView):
    """The signed-in user."""

    def get(self, request: Request) -> Response:
        """Tell whose token or session it is."""
        return Response(success(UserSerializer(self.caller(request)).data))


@described.series_sources
class SeriesSourcesView(TasksAPIView):
    """The sources of a series."""

    def get(self, request: Request, pk: str) -> Response:
        """List what the caller may download of the series, with the blocks' hashes, newest first."""
        rows = downloads.downloadable(user=self.caller(request), series_id=row_id(pk))
        page, meta = self.paged(request, rows, WHOLE_LIST)
        return Response(success(DownloadableSourceSerializer(page, many=True).data, meta))
