"""The service's own paths, and views that show what reached them."""

from __future__ import annotations

from typing import Any, ClassVar

import structlog
from django.http import HttpRequest, JsonResponse
from django.http.request import UnreadablePostError
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config import urls
from transfers.errors import NotDownloadingError, Problem

logger = structlog.get_logger(__name__)


class WhoView(APIView):
    """Says whom the request stands for, and shows its body."""

    def get(self, request: Request) -> Response:
        return Response({"user": request.user.get_username(), "staff": request.user.is_staff})

    def post(self, request: Request) -> Response:
        return Response({"user": request.user.get_username(), "body": request.data})


class OpenView(WhoView):
    permission_classes = ()


class FailView(APIView):
    """Fails as the path says, in an envelope of its own."""

    permission_classes = ()
    legacy_fail_status = True
    failures: ClassVar[dict[str, Exception]] = {
        "known": NotDownloadingError("none is running"),
        "unknown": ZeroDivisionError("secret"),
    }

    def get(self, request: Request, failure: str) -> Response:  # noqa: ARG002
        raise self.failures[failure]

    def envelope(self, problem: Problem) -> dict[str, Any]:
        return {"status": "fail", "errmsg": problem.code}


def headers(request: HttpRequest) -> JsonResponse:
    """All headers as WSGI names them."""
    return JsonResponse({name: value for name, value in request.META.items() if name.startswith("HTTP_")})


@csrf_exempt
def read(request: HttpRequest) -> JsonResponse:
    """Read the whole body in pieces, and log how that ended: nobody may be there to answer."""
    size = 0
    try:
        while piece := request.read(2**16):
            size += len(piece)
    except UnreadablePostError as failure:
        logger.info("body failed", size=size, why=str(failure))
        raise
    logger.info("body ended", size=size)
    return JsonResponse({"size": size})


def crash(request: HttpRequest) -> JsonResponse:
    raise ZeroDivisionError("secret")


handler400, handler403, handler404, handler500 = urls.handler400, urls.handler403, urls.handler404, urls.handler500
urlpatterns = [
    path("test/who", WhoView.as_view()),
    path("test/open", OpenView.as_view()),
    path("test/fail/<failure>", FailView.as_view()),
    path("test/headers", headers),
    path("test/read", read),
    path("test/crash", crash),
    *urls.urlpatterns,
]
