"""One id for what a client asked: from the request through the queue to every line that a worker writes about it.

`request_id` is bound to all lines (structlog's context), travels in the headers of Celery's messages, and is in every
answer as `X-Request-ID`. Work that the reaper brings back was asked for by nobody: there the transfer's own id, which
its lines have as `transfer`, leads on.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any

import structlog
from celery.signals import before_task_publish, task_postrun, task_prerun
from django.urls import ResolverMatch

REQUEST_ID = "request_id"
HEADER = b"x-request-id"
CARRIED = "carryon_request_id"
"""The message header that has the id."""
RUNG_AT = "carryon_rung_at"
"""The message header that tells when it was sent, in seconds since 1970 by the sender's clock."""
VIEW = "carryon.view"
"""Where the scope has the name of the view that answered."""
UNMATCHED = "unmatched"
"""What the view is called where none was found."""
_SOUND = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What is taken from outside: it is written into logs, headers and messages."""


def request_id(offered: str) -> str:
    """The offered id where it is sound, else a new one."""
    return offered if offered and _SOUND.fullmatch(offered) else os.urandom(16).hex()


def view_of(match: ResolverMatch | None) -> str:
    """What logs and numbers call the view that a path led to; a path itself may hold anything."""
    if match is None:
        return UNMATCHED
    return match.view_name if match.url_name else match._func_path  # noqa: SLF001 - as view_name is without a name


def connect() -> None:
    """Have messages carry the id from now on, and tasks take it up."""
    before_task_publish.connect(_give_on, weak=False, dispatch_uid="config.tracing")
    task_prerun.connect(_take_up, weak=False, dispatch_uid="config.tracing")
    task_postrun.connect(_let_go, weak=False, dispatch_uid="config.tracing")


def _give_on(headers: dict[str, Any], **_: Any) -> None:
    headers[RUNG_AT] = time.time()
    if found := structlog.contextvars.get_contextvars().get(REQUEST_ID):
        headers[CARRIED] = found


def _take_up(task: Any, **_: Any) -> None:
    structlog.contextvars.clear_contextvars()
    carried = getattr(task.request, CARRIED, None)
    if isinstance(carried, str) and _SOUND.fullmatch(carried):
        structlog.contextvars.bind_contextvars(**{REQUEST_ID: carried})


def _let_go(**_: Any) -> None:
    structlog.contextvars.clear_contextvars()
