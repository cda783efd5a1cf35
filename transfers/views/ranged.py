"""What all views of bytes share: conditions and ranges, as RFC 9110 has them."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request
from rest_framework.views import APIView

from transfers.models import StoredFile
from transfers.services import stored_file as files
from transfers.views import ranges
from transfers.views.conditions import Validators
from transfers.views.slices import FileSlices, SlicedResponse

RANGE_PARAMETERS = [
    OpenApiParameter("Range", str, "header", description="`bytes=0-99`, `bytes=100-`, `bytes=-5`, or several."),
    *(
        OpenApiParameter(name, str, "header")
        for name in ("If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
    ),
]


class PreconditionFailedError(APIException):
    """The file is not the version that the client asks about."""

    status_code = HTTPStatus.PRECONDITION_FAILED
    default_detail = "The file is another version than the request asks for."
    default_code = "precondition_failed"


class RangeNotSatisfiableError(APIException):
    """The file has none of the bytes that were asked for."""

    status_code = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    default_detail = "The file has none of the bytes that were asked for."
    default_code = "range_not_satisfiable"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent of a file, and under which headers."""

    status: HTTPStatus
    headers: Mapping[str, str]
    pieces: Sequence[bytes | range]


class RangedAPIView(APIView):
    """Answers with bytes, or ranges of them."""

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002
        """Answer whatever is accepted: there is one form of the bytes."""
        return super().perform_content_negotiation(request, force=True)

    def answer(self, validators: Validators, size: int, headers: Mapping[str, str]) -> Answer:
        """What the request's conditions and ranges make of a file of `size` bytes."""
        asked = self.request.headers
        headers = {**headers, **validators.headers}
        match validators.refusal(asked):
            case HTTPStatus.PRECONDITION_FAILED:
                raise PreconditionFailedError
            case HTTPStatus.NOT_MODIFIED:
                return Answer(HTTPStatus.NOT_MODIFIED, headers, ())
        found = None
        if self.request.method == "GET" and validators.allow_ranges(asked.get("If-Range"), time.time()):
            found = ranges.requested(asked.get("Range", ""), size)
        if found == []:
            self.headers["Content-Range"] = f"bytes */{size}"
            raise RangeNotSatisfiableError
        return laid_out(found, size, headers)

    def sent(self, stored: StoredFile, validators: Validators, headers: Mapping[str, str]) -> HttpResponseBase:
        """A stored file, sent by whoever has its bytes; NotFound when it is not at its place any more."""
        if response := self._elsewhere(stored, headers):
            return response
        file = files.opened(stored=stored)
        if file is None:
            raise NotFound("The file is not at its place any more as it was stored.", "file_missing")
        with ExitStack() as opened:
            opened.enter_context(file)
            if location := internal_location(stored.path):
                return HttpResponse(headers={**headers, "X-Accel-Redirect": location})
            answer = self.answer(validators, stored.size, headers)
            if self.request.method == "HEAD" or not answer.pieces:
                return SlicedResponse(FileSlices(None, ()), status=answer.status, headers=answer.headers)
            opened.pop_all()  # the response closes it
        return SlicedResponse(FileSlices(file, answer.pieces), status=answer.status, headers=answer.headers)

    def _elsewhere(self, stored: StoredFile, headers: Mapping[str, str]) -> HttpResponseBase | None:
        """Send the client to the storage's own address; None where the service has the bytes."""
        address = files.address(
            stored=stored, disposition=headers["Content-Disposition"], content_type=headers["Content-Type"]
        )
        if address is None:
            return None
        if self.request.method == address.method:
            return HttpResponse(status=302, headers={"Location": address.url, "Cache-Control": "private, no-store"})
        # It was signed for GET alone.
        return SlicedResponse(FileSlices(None, ()), headers={**headers, "Content-Length": str(stored.size)})


def internal_location(path: str) -> str | None:
    """Where nginx has the file, for `X-Accel-Redirect`; None where it is not told to.

    The location has to add `X-Content-Type-Options` and `Content-Security-Policy` by itself: nginx passes on only
    the type, the disposition and what caches are told.
    """
    locations = settings.ENVIRONMENT.x_accel
    folder = max((folder for folder in locations if Path(path).is_relative_to(folder)), key=len, default=None)
    if folder is None:
        return None
    inner = os.fsencode(Path(path).relative_to(folder))
    return quote(locations[folder].rstrip("/").encode() + b"/" + inner)


def laid_out(found: Sequence[range] | None, size: int, headers: Mapping[str, str]) -> Answer:
    """The whole file, one range, or several; None is the whole."""
    pieces: Sequence[bytes | range] = found or [range(size)]
    more = {}
    if found and len(found) == 1:
        more = {"Content-Range": ranges.content_range(found[0], size)}
    elif found:
        boundary = secrets.token_hex(16)
        pieces = ranges.multipart(found, size, headers["Content-Type"], boundary)
        more = {"Content-Type": f"multipart/byteranges; boundary={boundary}"}
    more["Content-Length"] = str(sum(map(len, pieces)))
    return Answer(HTTPStatus.PARTIAL_CONTENT if found else HTTPStatus.OK, {**headers, **more}, pieces)
