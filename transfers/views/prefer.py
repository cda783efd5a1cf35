"""The `Prefer` header (RFC 7240)."""

from __future__ import annotations

import re

MAX_WAIT_SECONDS = 60.0
_RESPOND_ASYNC = re.compile(r"(?:^|[,;\s])respond-async(?:$|[,;\s])", re.IGNORECASE)
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]+)\"?(?:$|[,;\s])", re.IGNORECASE)


def responds_async(header: str) -> bool:
    """Whether the client would have us answer at once, before the work has begun."""
    return _RESPOND_ASYNC.search(header) is not None


def applied(header: str) -> str | None:
    """What `Preference-Applied` says when the header is honoured; None when it asks for nothing of ours."""
    if responds_async(header):
        return "respond-async"
    return f"wait={wait_seconds(header, 0):.0f}" if _WAIT.search(header) else None


def wait_seconds(header: str, default: float) -> float:
    """How long the client would have us wait before we answer, in seconds, at most a minute."""
    if responds_async(header):
        return 0.0
    wait = _WAIT.search(header)
    return min(float(wait[1]), MAX_WAIT_SECONDS) if wait else default
