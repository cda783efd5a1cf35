"""The `Prefer` header (RFC 7240)."""

from __future__ import annotations

import re

MAX_WAIT_SECONDS = 60.0
_RESPOND_ASYNC = re.compile(r"(?:^|[,;\s])respond-async(?:$|[,;\s])", re.IGNORECASE)
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?(?:$|[,;\s])", re.IGNORECASE)


def wait_seconds(header: str, default: float) -> float:
    """How long the client would have us wait before we answer, in seconds, at most a minute."""
    if _RESPOND_ASYNC.search(header):
        return 0.0
    wait = _WAIT.search(header)
    return min(float(wait[1]), MAX_WAIT_SECONDS) if wait else default
