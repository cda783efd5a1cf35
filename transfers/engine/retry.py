"""When a failed attempt is worth another one, and how long to wait before it: pure."""

from __future__ import annotations

import random

from transfers.errors import (
    AddressForbiddenError,
    IncompleteFileError,
    SinkError,
    SourceBusyError,
    SourceRefusedError,
    SourceUnreachableError,
    TransferError,
)

MAX_PAUSE_SECONDS = 60.0
MAX_DOUBLINGS = 30
"""Enough for the shortest first pause to reach the longest one; many more would not fit a float."""
MAX_RETRY_AFTER_SECONDS = 3600.0
_HOPELESS = (SourceRefusedError, AddressForbiddenError, SinkError)


def pause_seconds(
    error: TransferError, *, fruitless: int, ever_received: bool, first_seconds: float, max_attempts: int
) -> float | None:
    """Seconds to wait before the next attempt; None when there should be none.

    `fruitless` counts the attempts, this one included, since the last one that brought a new byte; the pause doubles
    with each, up to a minute, less a random part of up to half. A source's own wish to be left alone is honoured.
    """
    hopeless = isinstance(error, _HOPELESS) and not isinstance(error, IncompleteFileError)
    if hopeless or fruitless >= max_attempts:
        return None
    if isinstance(error, SourceUnreachableError) and not ever_received:
        return None
    doublings = min(max(fruitless - 1, 0), MAX_DOUBLINGS)
    backoff = min(MAX_PAUSE_SECONDS, first_seconds * 2.0**doublings) * random.uniform(0.5, 1)  # noqa: S311
    asked = (error.retry_after_seconds or 0.0) if isinstance(error, SourceBusyError) else 0.0
    return max(backoff, min(asked, MAX_RETRY_AFTER_SECONDS))
