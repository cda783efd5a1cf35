"""What all views of bytes share: conditions and ranges, as RFC 9110 has them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.views import APIView

from transfers.views import ranges
from transfers.views.conditions import Validators

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
        headers = {**headers, "ETag": validators.etag, "Last-Modified": validators.last_modified}
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
