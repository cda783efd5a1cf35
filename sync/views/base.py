"""What the views of sync share: who calls, the source's envelopes, and ids in paths."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, cast

from django.contrib.auth.models import User
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sync.serializers.fields import parsed_uuid
from transfers.errors import AlreadySyncingError, CarryonError, InvalidInputError, Problem

PARAM_ERROR = "Param Error"
ERRORS_HEADER = "X-Errors"
MAX_HEADER_BYTES = 4096
"""What proxies take of one header without being told to."""
MAX_MESSAGE_CHARACTERS = 200


def caller(request: Request) -> User:
    """The user that the request is made as: permissions let nobody else this far."""
    return cast("User", request.user)


def success(data: Mapping[str, Any]) -> dict[str, Any]:
    """The success envelope of the source."""
    return {"status": "success", "data": data}


def fail(errmsg: str | dict[str, Any]) -> dict[str, Any]:
    """The fail envelope of the source."""
    return {"status": "fail", "errmsg": errmsg}


def for_header(errors: Mapping[str, Sequence[str]]) -> str:
    """Messages by field as a JSON object that a header can hold: ASCII, and cut where there are too many."""
    told: dict[str, list[str]] = {}
    for name, texts in errors.items():
        more = {**told, name: [text[:MAX_MESSAGE_CHARACTERS] for text in texts]}
        if len(_ascii(more)) <= MAX_HEADER_BYTES:
            told = more
    return _ascii(told)


def _ascii(value: object) -> str:
    return json.dumps(value).replace("\x7f", r"\u007f")


def id_of(text: str, unknown: CarryonError) -> uuid.UUID:
    """The id that a path names; `unknown` is raised for what can be nobody's."""
    found = parsed_uuid(text)
    if found is None:
        raise unknown
    return found


class SyncAPIView(APIView):
    """What all views of syncs share: the source's envelope for failures."""

    legacy_fail_status = True

    def envelope(self, problem: Problem) -> dict[str, Any]:
        """Word a problem as the source does; of wrong fields it names none, so that a header does."""
        if problem.code == InvalidInputError.code:
            self.headers[ERRORS_HEADER] = for_header(problem.errors)
            return fail(PARAM_ERROR)
        return fail({"code": problem.code.upper().replace("_", " "), "detail": problem.detail})

    def handle_exception(self, exc: Exception) -> Response:
        """Name the job that is in the way, besides."""
        answer = super().handle_exception(exc)
        if isinstance(exc, AlreadySyncingError):
            answer.data["errmsg"]["jobId"] = exc.job_id
        return answer
