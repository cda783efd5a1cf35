"""Trying again: when, and for how long."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from carryon.errors import TransientError
from carryon.stop import Stop

FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 30.0
_MAX_DOUBLINGS = 10
_T = TypeVar("_T")


def pause_seconds(failures: int, retry_after_seconds: float | None = None) -> float:
    """Seconds to wait after so many failures in a row, from 1: doubled with each, less a random part of up to half.

    The server's own wish is never undercut.
    """
    doubled = FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, _MAX_DOUBLINGS)
    backoff = min(MAX_PAUSE_SECONDS, doubled) * random.uniform(0.5, 1)  # noqa: S311
    return max(backoff, retry_after_seconds or 0.0)


def retry_after_seconds(header: str | None) -> float | None:
    """The seconds that a Retry-After header asks for, as a number or as a date; None when it says neither."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try again, from the first failure on."""

    seconds: float
    stop: Stop
    tell: Callable[[str], None]
    """Told why, each time before it waits."""

    def call(self, attempt: Callable[[], _T]) -> _T:
        """Do it until it is done; its last TransientError, or any other at once, when that will not be; Stopped."""
        failures, gives_up = 0, 0.0
        while True:
            self.stop.check()
            try:
                return attempt()
            except TransientError as error:
                failures += 1
                now = time.monotonic()
                gives_up = gives_up or now + self.seconds
                pause = pause_seconds(failures, error.retry_after_seconds)
                if now + pause > gives_up:
                    raise
                self.tell(error.message)
                self.stop.pause(pause)
