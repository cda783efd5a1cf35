"""What the server says, as values; and what its refusals mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests

from carryon.errors import (
    BusyError,
    ClientError,
    DamagedError,
    NoSuchUploadError,
    NotCarryonError,
    PartsDifferError,
    RefusedError,
    UnauthorizedError,
    UploadEndedError,
)
from carryon.retry import retry_after_seconds
from carryon.wording import duration

LONG_SECONDS = 30.0
"""A wish to be left alone for longer is told."""
BUSY = frozenset((408, 425, 429, 500, 502, 503, 504))
"""The statuses after which another try may help."""
_BY_CODE: Mapping[str, type[RefusedError]] = {
    kind.code: kind for kind in (NoSuchUploadError, UploadEndedError, PartsDifferError)
}


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that the server has."""

    file_id: int
    """The upload's."""
    id: str
    """The file's."""
    name: str
    url: str
    """Where its owner gets it, as the server words it."""

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Stored:
        """Read it from an answer."""
        return cls(int(answer["fileId"]), str(answer["id"]), str(answer["fileName"]), str(answer["url"]))


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload that is ready for parts, or one that needs none any more."""

    file_id: int
    part_size: int
    """Bytes that the server suggests."""
    parts: Mapping[int, str]
    """MD5 of each part that the server has, by number."""
    stored: Stored | None
    """The whole file, where the server has it already."""

    @classmethod
    def parse(cls, answer: Mapping[str, Any]) -> Begun:
        """Read it from an answer."""
        return cls(
            int(answer["fileId"]),
            max(1, int(answer["suggestedChunkSize"])),
            {int(number): str(md5).lower() for number, md5 in (answer.get("parts") or {}).items()},
            Stored.parse(answer) if answer.get("completed") else None,
        )


def content(response: requests.Response) -> Mapping[str, Any]:
    """The object that an answer carries; what it refuses is raised as the error that says so."""
    if response.is_redirect:
        raise NotCarryonError(f"the server sends us on to {response.headers['Location']}; give that as --url")
    body = _object(response)
    if not response.ok:
        raise failure(response, body)
    if response.status_code == HTTPStatus.NO_CONTENT:
        return {}
    if body is None:
        raise _no_carryon(response)
    return body


def failure(response: requests.Response, body: Mapping[str, Any] | None) -> ClientError:
    """The error that an answer tells of; `body` is its JSON object, None if it has none."""
    status, message, code = response.status_code, _message(response, body or {}), str((body or {}).get("code", ""))
    if status in BUSY:
        return _busy(message, retry_after_seconds(response.headers.get("Retry-After")))
    if code == DamagedError.code:
        return DamagedError(message)
    if status == HTTPStatus.UNAUTHORIZED:
        return UnauthorizedError(f"{message} (the token came from --token-file, CARRYON_TOKEN or its file)")
    if status == HTTPStatus.FORBIDDEN:
        return UnauthorizedError(message)
    if not code and status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        return _no_carryon(response)
    return _BY_CODE.get(code, RefusedError)(message, code)


def _busy(message: str, seconds: float | None) -> BusyError:
    wish = f" (it asks to come back in {duration(seconds)})" if seconds and seconds > LONG_SECONDS else ""
    return BusyError(message + wish, seconds)


def _object(response: requests.Response) -> Mapping[str, Any] | None:
    try:
        body = response.json()
    except requests.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def _message(response: requests.Response, body: Mapping[str, Any]) -> str:
    """Everything that a problem (RFC 9457) says to a person; the status line of what is none."""
    said = str(body.get("detail") or "").strip()
    errors = body.get("errors")
    if isinstance(errors, dict) and errors:
        fields = "; ".join(f"{name}: {_joined(texts)}" for name, texts in errors.items())
        said = said if all(_joined(texts) in said for texts in errors.values()) else f"{said} {fields}".strip()
    return said or f"the server answered {response.status_code} {response.reason or ''}".rstrip()


def _joined(texts: object) -> str:
    return " ".join(map(str, texts)) if isinstance(texts, list) else str(texts)


def _no_carryon(response: requests.Response) -> NotCarryonError:
    where = response.url.partition("?")[0]
    return NotCarryonError(f"{where} does not answer as a Carryon server does ({response.status_code}); check --url")
