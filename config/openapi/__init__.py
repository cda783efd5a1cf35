"""Examples for the API's description, and what of it no view says: how refusals without an envelope are worded.

`examples.yml` was heard of a running service (`python -m tests.tour`); a test holds it against the description, and
against another run.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml

from config.exception_handler import PROBLEM_JSON, problem, problem_json
from sync.views.base import fail as sync_fail
from tasks_api.envelope import failure as task_failure
from transfers.errors import Problem
from transfers.views.download import fail as download_fail

Schema = dict[str, Any]

REFUSALS: Mapping[int, tuple[str, str]] = {
    400: ("invalid_input", "Some fields are missing or not acceptable."),
    401: ("not_authenticated", "Authentication credentials were not provided."),
    403: ("permission_denied", "You do not have permission to perform this action."),
    404: ("not_found", "There is nothing here."),
    406: ("not_acceptable", "Could not satisfy the request Accept header."),
    409: ("conflict", "It is not in a state that allows this."),
    412: ("precondition_failed", "The file is another than the request tells."),
    413: ("too_large", "The request's body is too large."),
    415: ("unsupported_media_type", "Unsupported media type in request."),
    416: ("range_not_satisfiable", "The file has no such range."),
    422: ("md5_mismatch", "The part has another MD5 than was told."),
    429: ("throttled", "Too many requests; try again later."),
    502: ("source_unreachable", "The source cannot be reached."),
    503: ("unavailable", "A part of the service is down; try again."),
    507: ("out_of_space", "no space is left"),
}
"""A code and a text by status, as examples of what else may be told."""
CONFLICTS: Mapping[str, tuple[str, str]] = {
    "download_start": ("already_downloading", "ALREADY DOWNLOADING"),
    "sync_ask": ("already_syncing", "The case is being synced already."),
    "sync_stop": ("not_syncing", "The sync has ended."),
    "upload": ("parts_differ", "The parts that are stored are others."),
    "order_zip": ("not_streamable", "Files of the order are to be compressed: start it, and get the zip that is made."),
}
PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "For people."},
        "code": {"type": "string", "description": "For programs: it stays what it is."},
        "errors": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
            "description": "Texts by field.",
        },
    },
    "required": ["code", "detail", "status", "title", "type"],
}
_HEARD = Path(__file__).with_name("examples.yml")
_ADDRESS = {
    "url": "https://s3.example/carryon/1/holiday.mov?partNumber=1&uploadId=2~dG&X-Amz-Signature=5f0c",
    "method": "PUT",
    "headers": {},
    "expiresOn": "2026-11-21T09:15:00Z",
}
_JOB = "d219ca67-ed34-4264-a8b5-4886388f935b"
_UNDER_WAY = {
    "jobId": _JOB,
    "jobState": "PROCESSING",
    "progressCurrent": 512,
    "progressTotal": 1024,
    "progressMessage": "512 of 1024 files",
}
_STOPPED = {
    "jobId": _JOB,
    "jobState": "FAILED",
    "errorMessage": "The job was stopped.",
    "errorDetails": "stopped",
}
BY_HAND: Mapping[str, Mapping[str, list[Any]]] = {
    "upload_part_address": {"200": [_ADDRESS]},
    "list_add_result": {"202": [_UNDER_WAY]},
    "list_job_stop": {"200": [_STOPPED], "202": [_UNDER_WAY]},
}
"""What a tour does not hear: its service has no S3, and its jobs end before they can be looked at."""


def describe(result: Schema, **_: Any) -> Schema:
    """Complete the description; called by drf-spectacular with what the views say."""
    result["components"].setdefault("schemas", {})["Problem"] = PROBLEM
    for operation in _operations(result):
        heard = {**_examples().get(operation["operationId"], {}), **BY_HAND.get(operation["operationId"], {})}
        for media in operation.get("requestBody", {}).get("content", {}).values():
            _exemplify(media, heard.get("request", []))
        for status, response in operation["responses"].items():
            if int(status) >= HTTPStatus.BAD_REQUEST:
                _refuse(operation["operationId"], int(status), response)
            for media in response.get("content", {}).values():
                _exemplify(media, heard.get(status, []))
    return result


def _operations(result: Schema) -> Iterator[Schema]:
    for methods in result["paths"].values():
        yield from (operation for operation in methods.values() if "operationId" in operation)


def _refuse(operation: str, status: int, response: Schema) -> None:
    """Give a refusal its example; and its media type and schema, where it has no envelope of its own."""
    content: Schema = response.setdefault("content", {})
    if any("$ref" not in media["schema"] for media in content.values()):
        content.clear()
        content[PROBLEM_JSON] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    code, detail = REFUSALS.get(status, ("refused", HTTPStatus(status).phrase))
    if status == HTTPStatus.CONFLICT:
        code, detail = CONFLICTS.get(operation, (code, detail))
    errors = {"field": ["This field is required."]} if status == HTTPStatus.BAD_REQUEST else {}
    told = problem(HTTPStatus(status), detail, code, errors)
    for media in content.values():
        _exemplify(media, [_worded(media["schema"].get("$ref", ""), told)])


def _worded(schema: str, told: Problem) -> Any:
    match schema.rpartition("/")[2]:
        case "DownloadFail":
            return download_fail(told)
        case "SyncFail":
            return _sync_failure(told)
        case "TaskFailure":
            return task_failure(told, "en")
        case _:
            return problem_json(told)


def _sync_failure(told: Problem) -> Any:
    if told.status == HTTPStatus.BAD_REQUEST:
        return sync_fail("Param Error")
    return sync_fail({"code": told.code.replace("_", " ").upper(), "detail": told.detail})


def _exemplify(media: Schema, values: list[Any]) -> None:
    """Add the examples, where there is none yet."""
    if not values or "example" in media or "examples" in media or _is_binary(media):
        return
    media["examples"] = {_title(value, number): {"value": value} for number, value in enumerate(values, start=1)}


def _title(value: Any, number: int) -> str:
    """What an example is called: an option, a state or a code, where it has one."""
    if isinstance(value, dict):
        inner = value.get("data")
        told: dict[str, Any] = inner if isinstance(inner, dict) else value
        for name in ("option", "code", "state", "jobState"):
            if isinstance(told.get(name), str):
                return str(told[name]) if number == 1 else f"{told[name]}-{number}"
    return f"example-{number}"


def _is_binary(media: Schema) -> bool:
    return bool(media.get("schema", {}).get("format") == "binary")


@functools.cache
def _examples() -> dict[str, dict[str, list[Any]]]:
    examples: dict[str, dict[str, list[Any]]] = yaml.safe_load(_HEARD.read_text())
    return examples
