"""Which threads of a process long work may be at, so that no kind of it keeps the others, or what is short, waiting."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from django.conf import settings

ZIPS = "zips"
CHECKSUMS = "checksums"
_TOGETHER = "together"


@contextmanager
def thread_for(kind: str) -> Iterator[bool]:
    """Count the block as one that is at ZIPS, or at CHECKSUMS; False when it has to leave its thread to other work.

    Then others of the process are at work of this kind, and are to see to it that what waits comes to its turn.
    """
    with ExitStack() as counted:
        for threads in (_free()[kind], _free()[_TOGETHER]):
            if not threads.acquire(blocking=False):
                yield False
                return
            counted.callback(threads.release)
        yield True


def shares(threads: int) -> dict[str, int]:
    """How many of these threads, two or more, may be at each kind: of three and more, one is left for what is short."""
    long = max(threads - 1, 2)
    return {ZIPS: long - 1, CHECKSUMS: long - 1, _TOGETHER: long}


@functools.cache
def _free() -> Mapping[str, threading.BoundedSemaphore]:
    found = shares(settings.ENVIRONMENT.worker_cpu_threads)
    return {kind: threading.BoundedSemaphore(count) for kind, count in found.items()}
