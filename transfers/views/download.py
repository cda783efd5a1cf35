"""`/api/file/download`: start, stop, check, and looking back."""

from __future__ import annotations

import threading
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from transfers.errors import TRANSFER_CODES, Problem
from transfers.models import Download
from transfers.models.download import DownloadState
from transfers.paging import Pages
from transfers.serializers.download import (
    DownloadDetailSerializer,
    DownloadRequestSerializer,
    DownloadSerializer,
    shown_folder,
)
from transfers.services import download as downloads
from transfers.services.download import DownloadRequest
from transfers.views.prefer import applied, responds_async, wait_seconds

WAITERS = threading.BoundedSemaphore(max(1, settings.ENVIRONMENT.web_threads // 2))
"""Start calls that may wait for their first event at once: each holds a thread, and some must be left for others."""

ERRMSGS = {
    "already_downloading": "ALREADY DOWNLOADING",
    "not_downloading": "NOT FIND DOWNLOADING",
}


def fail(problem: Problem) -> dict[str, Any]:
    """The fail envelope of the source."""
    if problem.code in TRANSFER_CODES:
        data = {"error": f"Error: {problem.detail}", "code": problem.code}
        event = {"action": "stream_status", "status": "STREAM_FAIL", "data": data}
        return {"status": "fail", "errmsg": "STREAM_FAIL", "errors": event, "errDev": {}}
    errmsg = ERRMSGS.get(problem.code, problem.title.upper())
    known = problem.code in ERRMSGS
    return {
        "status": "fail",
        "errmsg": errmsg,
        "errors": dict(problem.errors) or ([] if known else [problem.detail]),
        "errDev": {},
    }


def success(data: dict[str, Any]) -> dict[str, Any]:
    """The success envelope of the source."""
    return {"status": "success", "data": data}


def described(request: DownloadRequest) -> dict[str, Any]:
    """The payload as it was understood, without credentials."""
    return {
        "fileUrl": request.bare_url,
        "outputFolder": shown_folder(request.output_folder),
        "cid": request.cid,
        "fid": request.fid,
    }


def _envelope(name: str, data: serializers.Field[Any, Any, Any, Any]) -> serializers.Serializer[Any]:
    return inline_serializer(name, {"status": serializers.ChoiceField(["success"]), "data": data})


_FAIL = inline_serializer(
    "DownloadFail",
    {
        "status": serializers.ChoiceField(["fail"]),
        "errmsg": serializers.CharField(),
        "errors": serializers.JSONField(help_text="A list, messages by field, or the event that tells the failure."),
        "errDev": serializers.DictField(),
    },
)
_NAMED: dict[str, serializers.Field[Any, Any, Any, Any]] = {
    name: serializers.CharField() for name in ("fileUrl", "outputFolder", "cid", "fid")
}
_EXAMPLE = OpenApiExample(
    "A film into the default folder",
    value={"fileUrl": "https://media.example/film.mov", "cid": "studio", "fid": "film-1"},
    request_only=True,
)


class DownloadAPIView(APIView):
    """What all views of downloads share: the source's envelope for failures."""

    envelope = staticmethod(fail)
    legacy_fail_status = True

    @staticmethod
    def caller(request: Request) -> User:
        """The user that the request is made as: permissions let nobody else this far."""
        return cast("User", request.user)

    def parsed(self, request: Request) -> DownloadRequest:
        """The request's payload as a value."""
        serializer = DownloadRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return serializer.save()


class DownloadListView(DownloadAPIView):
    """Start a download, or look through those there were."""

    throttle_scope = "starts"

    @extend_schema(
        operation_id="download_start",
        request=DownloadRequestSerializer,
        responses={
            (200, "application/json"): _envelope(
                "DownloadStarted",
                inline_serializer(
                    "DownloadStartedData",
                    {**_NAMED, "savePath": serializers.CharField(), "id": serializers.UUIDField()},
                ),
            ),
            (202, "application/json"): _envelope("DownloadAccepted", serializers.DictField()),
            **dict.fromkeys((400, 401, 403, 409, 413, 429, 502, 503, 507), _FAIL),
        },
        parameters=[
            OpenApiParameter("Prefer", str, "header", description="`respond-async`, or `wait=N` seconds (RFC 7240).")
        ],
        examples=[_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        """Start or resume a download, and wait a little for its first event."""
        payload = self.parsed(request)
        preferred = request.headers.get("Prefer", "")
        seconds = wait_seconds(preferred, settings.ENVIRONMENT.download_start_wait_seconds)
        download = downloads.start(user=self.caller(request), request=payload)
        if responds_async(preferred):
            self._tell_applied(preferred)
            return self._started(download, payload, status.HTTP_202_ACCEPTED)
        if not WAITERS.acquire(blocking=False):  # as if the wait were over
            return self._started(downloads.await_beginning(download=download, seconds=0), payload)
        try:
            self._tell_applied(preferred)
            return self._started(downloads.await_beginning(download=download, seconds=seconds), payload)
        finally:
            WAITERS.release()

    @extend_schema(
        operation_id="download_list",
        parameters=[
            OpenApiParameter("state", str, enum=DownloadState.values),
            OpenApiParameter("cid", str),
            OpenApiParameter("fid", str),
            OpenApiParameter("page", int),
            OpenApiParameter("page_size", int),
        ],
        responses={
            200: _envelope(
                "DownloadPage",
                inline_serializer(
                    "DownloadPageData",
                    {
                        "count": serializers.IntegerField(),
                        "next": serializers.URLField(allow_null=True),
                        "previous": serializers.URLField(allow_null=True),
                        "results": DownloadSerializer(many=True),
                    },
                ),
            ),
            **dict.fromkeys((400, 401, 404), _FAIL),
        },
    )
    def get(self, request: Request) -> Response:
        """List the caller's downloads, newest first."""
        filters = {name: request.query_params[name] for name in ("state", "cid", "fid") if name in request.query_params}
        if filters.get("state", DownloadState.QUEUED) not in DownloadState.values:
            raise serializers.ValidationError({"state": [f"must be one of {', '.join(DownloadState.values)}"]})
        if bad := [name for name, value in filters.items() if "\0" in value]:  # PostgreSQL cannot even look for it
            raise serializers.ValidationError({name: ["null characters are not allowed"] for name in bad})
        pages = Pages()
        page = pages.paginate_queryset(downloads.visible(user=self.caller(request), **filters), request, view=self)
        results = DownloadSerializer(page, many=True).data
        return Response(success(dict(pages.get_paginated_response(results).data)))

    def _tell_applied(self, preferred: str) -> None:
        """Say with the answer, be it a failure, which preference it honours."""
        if preference := applied(preferred):
            self.headers["Preference-Applied"] = preference

    def _started(self, download: Download, payload: DownloadRequest, code: int = status.HTTP_200_OK) -> Response:
        shown = DownloadSerializer(download).data
        data = {**described(payload), "savePath": shown["savePath"], "id": shown["id"]}
        return Response(success(data), code)


class DownloadStopView(DownloadAPIView):
    """Stop a running download."""

    @extend_schema(
        operation_id="download_stop",
        request=DownloadRequestSerializer,
        responses={
            200: _envelope(
                "DownloadStopped",
                inline_serializer(
                    "DownloadStoppedData",
                    {"origin": inline_serializer("DownloadOrigin", _NAMED), "id": serializers.UUIDField()},
                ),
            ),
            **dict.fromkeys((400, 401, 404), _FAIL),
        },
        examples=[_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        """End the download within a second; its bytes are kept."""
        payload = self.parsed(request)
        download = downloads.stop(user=self.caller(request), request=payload)
        return Response(success({"origin": described(payload), "id": str(download.pk)}))


class DownloadCheckView(DownloadAPIView):
    """Look at a running download."""

    @extend_schema(
        operation_id="download_check",
        request=DownloadRequestSerializer,
        responses={
            200: _envelope(
                "DownloadChecked",
                inline_serializer(
                    "DownloadCheckedData", {"lastEvent": serializers.DictField(), "id": serializers.UUIDField()}
                ),
            ),
            **dict.fromkeys((400, 401, 404), _FAIL),
        },
        examples=[_EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        """Tell the last event of a download that is running."""
        download = downloads.check(user=self.caller(request), request=self.parsed(request))
        return Response(success({"lastEvent": downloads.stream_status(download=download), "id": str(download.pk)}))


class DownloadDetailView(DownloadAPIView):
    """One download."""

    @extend_schema(
        operation_id="download_detail",
        responses={
            200: _envelope("DownloadDescribed", DownloadDetailSerializer()),
            **dict.fromkeys((401, 404), _FAIL),
        },
    )
    def get(self, request: Request, pk: str) -> Response:
        """Tell everything about one download."""
        rows = downloads.visible(user=self.caller(request)).prefetch_related("attempts")
        return Response(success(DownloadDetailSerializer(get_object_or_404(rows, pk=pk)).data))
