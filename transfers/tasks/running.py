"""The work that this process is at, so that it can be told to end when the process leaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from celery.signals import worker_shutting_down

from transfers.errors import Interruption


class Interruptible(Protocol):
    """Work that ends soon when it is told to."""

    def interrupt(self, reason: Interruption) -> None:
        """End soon, for this reason; from any thread."""


_lock = threading.Lock()
_running: dict[object, Interruptible] = {}
_draining = threading.Event()


def draining() -> bool:
    """Whether this process is leaving and takes up nothing new."""
    return _draining.is_set()


@contextmanager
def working_on(key: object, work: Interruptible) -> Iterator[bool]:
    """Note that this process is at it; gives False, and notes nothing, when it already is."""
    with _lock:
        fresh = key not in _running
        if fresh:
            _running[key] = work
    try:
        if fresh and _draining.is_set():
            work.interrupt(Interruption.DRAINING)
        yield fresh
    finally:
        if fresh:
            with _lock:
                del _running[key]


def drain() -> None:
    """End everything this process is at, for others to go on with."""
    _draining.set()
    with _lock:
        works = list(_running.values())
    for work in works:
        work.interrupt(Interruption.DRAINING)


@worker_shutting_down.connect
def _drain(**_: Any) -> None:
    # The signal comes from within a signal handler: what it interrupts may hold our lock.
    threading.Thread(target=drain, name="drain", daemon=True).start()
