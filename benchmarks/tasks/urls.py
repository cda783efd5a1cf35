"""The service's own paths, and bare views that answer the same from the same rows: no framework, nobody asked who."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, JsonResponse
from django.urls import path

from config import urls
from tasks_api.envelope import success
from tasks_api.models import DownloadTask
from tasks_api.progress import shown
from tasks_api.serializers.task import status_choices
from tasks_api.views.base import PAGE_SIZE


def detail(request: HttpRequest, pk: int) -> JsonResponse:  # noqa: ARG001 - as views are called
    """One task."""
    return _json(success(shown(DownloadTask.objects.in_full().get(pk=pk))))


def listed(request: HttpRequest, user: int) -> JsonResponse:  # noqa: ARG001
    """The first page of a user's tasks."""
    rows = DownloadTask.objects.of(user).with_source()
    meta = {"count": rows.count(), "page": 1, "page_size": PAGE_SIZE, "status_choices": status_choices(DownloadTask)}
    return _json(success([shown(task) for task in rows[:PAGE_SIZE]], meta))


def _json(body: Any) -> JsonResponse:
    return JsonResponse(body, json_dumps_params={"ensure_ascii": False, "separators": (",", ":")})


handler400, handler403, handler404, handler500 = urls.handler400, urls.handler403, urls.handler404, urls.handler500
urlpatterns = [
    path("bare/tasks/<int:pk>", detail),
    path("bare/users/<int:user>/tasks", listed),
    *urls.urlpatterns,
]
