"""The work that this process is at, so that it can be told to end when the process leaves."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from celery.signals import worker_shutting_down

from transfers.errors import Interruption


class Interruptible(Protocol):
    """Work that ends soon when it is told to."""

    def interrupt(self, reason: Interruption) -> None:
        """End soon, for this reason; from any thread."""


_lock = threading.Lock()
_running: dict[int, tuple[object, Interruptible]] = {}
_draining = threading.Event()


def draining() -> bool:
    """Whether this process is leaving and takes up nothing new."""
    return _draining.is_set()


@contextmanager
def working_on(key: object, work: Interruptible, *, alone: bool = False) -> Iterator[bool]:
    """Note the work, so that it is told when this process leaves.

    With `alone` it gives False, and notes nothing, when this process is at something of that key already.
    """
    with _lock:
        noted = not (alone and any(key == other for other, _ in _running.values()))
        if noted:
            _running[id(work)] = (key, work)
    try:
        if noted and _draining.is_set():
            work.interrupt(Interruption.DRAINING)
        yield noted
    finally:
        with _lock:
            _running.pop(id(work), None)


def one_at_a_time(work: Callable[[], None]) -> Callable[[], None]:
    """The same work, which is nothing while another thread of this process is at it."""
    lock = threading.Lock()

    @functools.wraps(work)
    def unless_under_way() -> None:
        if not lock.acquire(blocking=False):
            return
        try:
            work()
        finally:
            lock.release()

    return unless_under_way


def drain() -> None:
    """End everything this process is at, for others to go on with."""
    _draining.set()
    with _lock:
        works = list(_running.values())
    for _, work in works:
        work.interrupt(Interruption.DRAINING)


@worker_shutting_down.connect
def _drain(**_: Any) -> None:
    # The signal comes from within a signal handler: what it interrupts may hold our lock.
    threading.Thread(target=drain, name="drain", daemon=True).start()
