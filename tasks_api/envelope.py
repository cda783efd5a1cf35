"""The envelope that every answer under `PREFIX` comes in, whatever answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks_api import wording
from transfers.errors import Problem

PREFIX = "/api/v1/"


def success(data: Any, meta: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Word an answer; a list tells of itself in `meta`."""
    body = {"data": data, "message": ""}
    return body if meta is None else body | {"meta": dict(meta)}


def failure(problem: Problem, language: str | None = None) -> dict[str, Any]:
    """Word a refusal, in the active language unless it is named."""
    message = wording.refusal(problem.code, problem.detail, language)
    return {"data": None, "message": message, "errors": {name: list(texts) for name, texts in problem.errors.items()}}


def failure_for(problem: Problem, accept_language: str) -> dict[str, Any]:
    """Word a refusal for a client of whose request no view has seen anything."""
    return failure(problem, wording.language_for(accept_language))
