"""How the API description tells of the views: envelopes, headers and examples."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
    extend_schema_view,
    inline_serializer,
)
from rest_framework import serializers

from sync.models.job import JobState
from sync.serializers.case import CaseRequestSerializer, CaseSerializer
from sync.serializers.sync import JobSerializer, SyncRequestSerializer
from sync.views.base import ERRORS_HEADER, PARAM_ERROR, fail, success

JSON = "application/json"
_CASE_ID = "77647eac-e413-438b-b3fe-b707e722cc88"
_JOB_ID = "a3c1d7f2-5b0e-4c8e-9d57-1f2b6f0c9a11"
_CASE: dict[str, Any] = {
    "projectname": "Test-a-2022101101",
    "pid": "P-0001",
    "projecttype": "TEST-PROJECT",
    "s3keypath": (
        "userdata/32647eac-e413-438b-b3fe-b707e722cc74/42647eac-e413-438b-b3fe-b707e722cc75/P-0001/Test-a-2022101101"
    ),
    "ownerGroupId": "32647eac-e413-438b-b3fe-b707e722cc74",
    "labId": "42647eac-e413-438b-b3fe-b707e722cc75",
    "region": "ap-northeast-2",
}
_API_URL = "https://api-ap-northeast-2-project-development.rayteams.com"
_SAVED = "C:\\rayteams_save_path\\...\\test_case_a\\"
_NEW = {"up": True, "apiUrl": _API_URL, "source": "C:\\data\\...\\test_case_a\\", **_CASE}
_UP = {"_id": _CASE_ID, "up": True, "apiUrl": _API_URL, "source": _SAVED, **_CASE}
_DOWN = {**_UP, "up": False}
_TOLD_CASE = {"_id": _CASE_ID, **_CASE, "createdOn": "2026-11-21T09:00:00.000000Z"}
_TOLD_JOB: dict[str, Any] = {
    "jobId": _JOB_ID,
    "caseId": _CASE_ID,
    "up": True,
    "state": JobState.RUNNING.value,
    "phase": "syncing",
    "dryRun": False,
    "filesDone": 1200,
    "filesTotal": 1500,
    "bytesDone": 3221225472,
    "bytesTotal": 4294967296,
    "bytesPerSecond": 104857600,
    "currentFiles": ["scan/upper.stl"],
    "failuresCount": 1,
    "failures": [{"path": "scan/pipe", "reason": "it is a pipe"}],
    "startedOn": "2026-11-21T09:00:00.123456+00:00",
    "endedOn": None,
    "error": None,
}
_DRY_RUN = {
    **_TOLD_JOB,
    "state": JobState.COMPLETED.value,
    "dryRun": True,
    "filesDone": 0,
    "bytesDone": 0,
    "bytesPerSecond": 0,
    "currentFiles": [],
    "failuresCount": 0,
    "failures": [],
    "endedOn": "2026-11-21T09:00:02.654321+00:00",
    "plan": [{"action": "upload", "path": "scan/upper.stl", "size": 1048576, "reason": "new"}],
}


def _request(name: str, value: dict[str, Any]) -> OpenApiExample:
    return OpenApiExample(name, value=value, request_only=True)


def _answer(name: str, value: Any, *statuses: int) -> OpenApiExample:
    return OpenApiExample(name, value=value, response_only=True, status_codes=[str(status) for status in statuses])


def _failure(status: int, code: str, detail: str, **more: str) -> OpenApiExample:
    return _answer(detail, fail({"code": code, "detail": detail, **more}), status)


def _envelope(name: str, data: serializers.Field[Any, Any, Any, Any]) -> serializers.Serializer[Any]:
    return inline_serializer(name, {"status": serializers.ChoiceField(["success"]), "data": data})


def _names(name: str, **more: Any) -> serializers.Serializer[Any]:
    ids = {"jobId": serializers.UUIDField(), "caseId": serializers.UUIDField(allow_null=True)}
    return inline_serializer(name, {**ids, **more})


@extend_schema_field(
    {
        "oneOf": [
            {
                "type": "string",
                "enum": [PARAM_ERROR],
                "description": f"A field is missing or not acceptable; `{ERRORS_HEADER}` names it.",
            },
            {
                "type": "object",
                "properties": {
                    "code": {"type": "string", "description": "In words in capital letters."},
                    "detail": {"type": "string", "description": "For people."},
                    "jobId": {"type": "string", "format": "uuid", "description": "Of the sync that is under way."},
                },
                "required": ["code", "detail"],
            },
        ]
    }
)
class _ErrmsgField(serializers.JSONField):
    """What went wrong."""


_FAIL = inline_serializer("SyncFail", {"status": serializers.ChoiceField(["fail"]), "errmsg": _ErrmsgField()})
_ERRORS = OpenApiParameter(
    ERRORS_HEADER,
    str,
    "header",
    response=[400],
    description=f'With "{PARAM_ERROR}": a JSON object in ASCII, field to messages, cut where it gets too long.',
)
_JOB = OpenApiParameter("job_id", OpenApiTypes.UUID, "path", description="`jobId` of the answer to the request.")
_COMMON = (401, 406, 503)
_PARAM_ERROR = _answer(PARAM_ERROR, fail(PARAM_ERROR), 400)
_NO_SUCH_JOB = _failure(404, "NO SUCH JOB", "There is no such job.")
_ACCEPTED = success({"jobId": _JOB_ID, "caseId": _CASE_ID})


def _responses(answer: Any, *statuses: int) -> dict[Any, Any]:
    failures = {(status, JSON): _FAIL for status in sorted({*_COMMON, *statuses})}
    return {(200, JSON): answer, **failures}


ask = extend_schema_view(
    post=extend_schema(
        operation_id="sync_ask",
        request=SyncRequestSerializer,
        parameters=[_ERRORS],
        responses=_responses(_envelope("SyncAccepted", _names("SyncAcceptedData")), 400, 403, 404, 409, 413, 415),
        examples=[
            _request("Create a case", _NEW),
            _request("Upload a case", _UP),
            _request("Download a case", _DOWN),
            _answer("Accepted", _ACCEPTED, 200),
            _PARAM_ERROR,
            _failure(400, "UNKNOWN REGION", "No cloud is configured for the region 'mars-1'."),
            _failure(404, "NO SUCH CASE", "There is no such case."),
            _failure(409, "ALREADY SYNCING", "The case is being synced already.", jobId=_JOB_ID),
            _failure(409, "CASE DIFFERS", "The case is known with another s3keypath."),
        ],
    )
)
look = extend_schema_view(
    get=extend_schema(
        operation_id="sync_look",
        parameters=[_JOB],
        responses=_responses(_envelope("SyncDescribed", JobSerializer()), 404),
        examples=[
            _answer("A sync that runs", success(_TOLD_JOB), 200),
            _answer("A dry run that has ended", success(_DRY_RUN), 200),
            _NO_SUCH_JOB,
        ],
    )
)
stop = extend_schema_view(
    post=extend_schema(
        operation_id="sync_stop",
        request=None,
        parameters=[_JOB],
        responses=_responses(
            _envelope(
                "SyncStopped",
                _names(
                    "SyncStoppedData",
                    state=serializers.CharField(help_text="`running` as long as a worker has not seen the wish."),
                ),
            ),
            403,
            404,
            409,
        ),
        examples=[
            _answer("Stopped", success({**_ACCEPTED["data"], "state": JobState.STOPPED.value}), 200),
            _NO_SUCH_JOB,
            _failure(409, "NOT SYNCING", "The job is not running."),
        ],
    )
)

PROBLEM = OpenApiResponse(OpenApiTypes.OBJECT, "A problem (RFC 9457).")
_PROBLEMS = (401, 406, 503)


def _problems(*statuses: int) -> dict[Any, Any]:
    return {(status, "application/problem+json"): PROBLEM for status in sorted({*_PROBLEMS, *statuses})}


cases = extend_schema_view(
    get=extend_schema(
        operation_id="case_list",
        parameters=[OpenApiParameter("page", int), OpenApiParameter("page_size", int)],
        responses={
            (200, JSON): inline_serializer(
                "CasePage",
                {
                    "count": serializers.IntegerField(),
                    "next": serializers.URLField(allow_null=True),
                    "previous": serializers.URLField(allow_null=True),
                    "results": CaseSerializer(many=True),
                },
            ),
            **_problems(400, 404),
        },
        examples=[
            _answer("One page", {"count": 1, "next": None, "previous": None, "results": [_TOLD_CASE]}, 200),
        ],
    ),
    post=extend_schema(
        operation_id="case_create",
        request=CaseRequestSerializer,
        responses={
            (200, JSON): OpenApiResponse(CaseSerializer, "It was there."),
            (201, JSON): OpenApiResponse(CaseSerializer, "It was made."),
            **_problems(400, 403, 404, 409, 413, 415),
        },
        examples=[_request("A case", _CASE), _answer("A case", _TOLD_CASE, 200, 201)],
    ),
)
case = extend_schema_view(
    get=extend_schema(
        operation_id="case_detail",
        parameters=[OpenApiParameter("case_id", OpenApiTypes.UUID, "path", description="Its `_id`.")],
        responses={(200, JSON): CaseSerializer, **_problems(404)},
        examples=[_answer("A case", _TOLD_CASE, 200)],
    )
)
