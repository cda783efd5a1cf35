"""When what was written to an unfinished file is made safe."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from transfers.errors import SinkError

CHECKPOINT_BYTES = 24 * 2**20
"""Unsynced bytes at which a checkpoint begins. Twice as many wait for it: with the megabyte or two that each connection
has in hand, a kill costs less than 64 MiB."""
CHECKPOINT_SECONDS = 4.0


class Sync(Protocol):
    """Makes the bytes written so far safe, then vouches for `sizes`, bytes by part number; SinkError when it cannot."""

    def __call__(self, sizes: dict[int, int], *, journal: bool) -> None:
        """Without `journal` none is made for this."""


class Checkpoints:
    """Makes what several connections write safe, in a thread of its own, every so many bytes or seconds.

    A connection that gets ahead of the disk by twice a checkpoint waits for it.
    """

    def __init__(self, sync: Sync) -> None:
        self._sync = sync
        self.synced: dict[int, int] = {}
        """Bytes of each part that this process has made safe; others may have gone on with it since."""
        self._written: dict[int, int] = {}
        self._unsynced = 0
        self._changed = threading.Condition()
        self._syncing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._failure: SinkError | None = None
        self._last = time.monotonic()

    def wrote(self, number: int, position: int, count: int) -> None:
        """Note that a part's bytes up to `position` are written, `count` of them just now."""
        with self._changed:
            self._written[number] = position
            self._unsynced += count
            if not self._due():
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._unsynced < 2 * CHECKPOINT_BYTES or self._failure or self._closed)
            if self._failure:
                raise self._failure

    def settle(self, *, journal: bool = True) -> None:
        """Make everything written so far safe before returning.

        A system that failed to write once forgets which bytes it lost, so after a failure nothing is vouched for.
        """
        with self._syncing:
            with self._changed:
                if self._failure:
                    raise self._failure
                sizes, unsynced = self._written, self._unsynced
                self._written = {}
            try:
                if sizes:
                    self._sync(sizes, journal=journal)
            except SinkError as error:
                self._fail(error)
                raise
            with self._changed:
                self.synced |= sizes
                self._unsynced -= unsynced
                self._last = time.monotonic()
                self._changed.notify_all()

    def close(self) -> None:
        """End the thread; nothing more is made safe."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _fail(self, error: SinkError) -> None:
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def _due(self) -> bool:
        if self._unsynced == 0:
            return False
        return self._unsynced >= CHECKPOINT_BYTES or time.monotonic() - self._last >= CHECKPOINT_SECONDS

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._due(), timeout=CHECKPOINT_SECONDS / 4)
                if self._closed:
                    return
                if not self._due():
                    continue
            try:
                self.settle()
            except SinkError:  # the connections are told
                return
