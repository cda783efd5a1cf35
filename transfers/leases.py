"""Who works on a row right now: a lease in the row itself, by the database's clock alone.

A worker claims a row by one conditional UPDATE that adds 1 to `lease_epoch`; whatever it writes later carries that
epoch in its WHERE, so that a worker which lost its lease (paused, cut off, thought dead) changes nothing more:
it is fenced. Nothing else is trusted, not the queue, not the order of messages, not the workers' clocks.
"""

from __future__ import annotations

import functools
import hashlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog
from django.conf import settings
from django.db import connections, models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

log = structlog.get_logger(__name__)

SELF_FENCE_SHARE = 0.7
"""The share of its lease after which a worker that cannot reach the database stops by itself."""
WATCH_SECONDS = 0.25
"""How often it is looked for heartbeats that are late."""
END_SECONDS = 1.0
"""How long the end of a block waits at least for a beat under way."""
_MAX_HOST = 64

LeasedT = TypeVar("LeasedT", bound="LeasedRow")


class LeasedRow(models.Model):
    """A row that at most one worker works on at a time."""

    lease_epoch = models.PositiveBigIntegerField(default=0, editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    lease_owner = models.CharField(max_length=120, blank=True, default="", editable=False)

    class Meta:
        """No table of its own."""

        abstract = True


def new_owner() -> str:
    """A name for one run of work in this process, which no other run ever has: `place:pid:start-run`.

    The place is the host's name with a digest of its boot and of the pids' namespace, so that containers of one name
    never judge each other; the start tells a process from a later one of its number.
    """
    pid = os.getpid()
    return f"{_place()}:{pid}:{_start_of_this(pid)}-{uuid.uuid4().hex[:12]}"


def owner_is_gone(owner: str) -> bool:
    """Whether the owner was a process of this place that is no more; False when that cannot be told from here."""
    place, _, run = owner.partition(":")
    if place != _place():
        return False
    pid, _, run = run.partition(":")
    try:
        os.kill(int(pid), 0)
    except OSError as error:
        return isinstance(error, ProcessLookupError)
    except ValueError:
        return False  # no name of ours
    started, now = run.partition("-")[0], _start(int(pid))
    return bool(started and now) and started != now


@functools.cache
def _place() -> str:
    namespaces = [_told_by(lambda: Path("/proc/sys/kernel/random/boot_id").read_text())]
    namespaces.append(_told_by(lambda: str(Path("/proc/self/ns/pid").readlink())))
    digest = hashlib.sha256("\n".join(namespaces).encode()).hexdigest()
    return f"{socket.gethostname()[:_MAX_HOST]}.{digest[:8]}"


@functools.lru_cache(maxsize=1)
def _start_of_this(pid: int) -> str:
    return _start(pid)


def _start(pid: int) -> str:
    """When the process began, in the kernel's ticks since the boot; "x" of one that has ended, "" where unknown."""
    fields = _told_by(Path(f"/proc/{pid}/stat").read_text).rpartition(")")[2].split()  # proc_pid_stat(5)
    if not fields:
        return ""
    return "x" if fields[0] in "ZX" else fields[19]


def _told_by(read: Callable[[], str]) -> str:
    """What there is to read; nothing where there is no Linux, or it is kept from us."""
    try:
        return read().strip()
    except OSError:
        return ""


def free() -> Q:
    """Rows that nobody holds."""
    return Q(lease_expires_at=None) | Q(lease_expires_at__lte=Now())


def term() -> Any:
    """When a lease that is claimed or renewed now expires, as an expression of the database's clock."""
    return Now() + timedelta(seconds=settings.ENVIRONMENT.lease_seconds)


def claim(rows: models.QuerySet[LeasedT], pk: object, owner: str, **changes: Any) -> LeasedT | None:
    """Claim the row with that key if it is among `rows` and free, with these changes to it; None when it is not."""
    with transaction.atomic():  # the row stays locked until its epoch is read, so the epoch is surely ours
        claimed = (
            rows.filter(free(), pk=pk)
            .order_by()
            .update(lease_epoch=F("lease_epoch") + 1, lease_expires_at=term(), lease_owner=owner, **changes)
        )
        return rows.model._default_manager.get(pk=pk) if claimed else None


def held(row: LeasedT) -> models.QuerySet[LeasedT]:
    """The row for as long as the claim that `row` stands for holds it: not taken over, and not given back."""
    mine = {"pk": row.pk, "lease_epoch": row.lease_epoch, "lease_owner": row.lease_owner}
    return type(row)._default_manager.filter(**mine).exclude(lease_owner="")


def renew(row: LeasedRow, **changes: Any) -> bool:
    """Extend the lease and write these changes; False when the row has another holder."""
    return bool(held(row).update(lease_expires_at=term(), **changes))


def release(row: LeasedRow, where: Q | None = None, **changes: Any) -> bool:
    """Give the row back with these changes; False when it has another holder or is not as `where` asks."""
    rows = held(row) if where is None else held(row).filter(where)
    return bool(rows.update(lease_expires_at=None, lease_owner="", **changes))


def put_off(row: LeasedRow, seconds: float, **changes: Any) -> bool:
    """Give the row back with these changes, for nobody to claim before that time; False when it has another holder."""
    until = Now() + timedelta(seconds=seconds)
    return bool(held(row).update(lease_expires_at=until, lease_owner="", **changes))


def take_from_the_dead(rows: models.QuerySet[LeasedT]) -> int:
    """End the leases of processes of this host that died, without waiting for their time; tell how many.

    Were one of them alive after all, it would be fenced, and no byte would go wrong.
    """
    leased = rows.filter(lease_expires_at__gt=Now()).exclude(lease_owner="")
    gone = [row for row in leased.only("pk", "lease_owner", "lease_epoch") if owner_is_gone(row.lease_owner)]
    return sum(held(row).update(lease_expires_at=Now()) for row in gone)


class Heartbeat:
    """Calls `beat` every `interval_seconds` in a thread of its own while its block runs.

    `beat` returns False when the lease is lost; that, or no successful beat for most of a lease's length, be it that
    beats fail or that one hangs, calls `lost`, once, from any thread, and ends it. Work of less than one interval
    costs no thread a database connection. The block's end waits for a beat under way, but not for one that hangs.
    """

    def __init__(self, beat: Callable[[], bool], lost: Callable[[], None], interval_seconds: float) -> None:
        self._beat, self._lost, self._interval_seconds = beat, lost, interval_seconds
        self._patience_seconds = settings.ENVIRONMENT.lease_seconds * SELF_FENCE_SHARE
        self._deadline = 0.0
        self._log = log
        self._done = threading.Event()
        self._losing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._log = log.bind(**structlog.contextvars.get_contextvars())  # other threads tell of the same work
        self._deadline = time.monotonic() + self._patience_seconds
        self._thread.start()
        _watchdog.watch(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        _watchdog.leave(self)
        self._thread.join(max(END_SECONDS, self._deadline - time.monotonic()))

    def fence_if_late(self) -> None:
        """Call `lost` when it is too long since the last successful beat."""
        if time.monotonic() > self._deadline and not self._done.is_set():
            self._log.warning("no heartbeat for too long")
            self._lose()

    def _run(self) -> None:
        due = time.monotonic()
        try:
            while True:
                due = max(due + self._interval_seconds, time.monotonic())  # beats that were missed are not made up for
                if self._done.wait(due - time.monotonic()):
                    return
                self._beat_once()
        finally:
            connections.close_all()

    def _beat_once(self) -> None:
        began = time.monotonic()  # the lease that a slow beat renewed may have begun as early as this
        try:
            held = self._beat()
        except Exception as error:  # noqa: BLE001 - the lease is not renewed, whatever the reason
            self._log.warning("heartbeat failed", error=repr(error))
            connections.close_all()
            return
        if held:
            self._deadline = began + self._patience_seconds
        else:
            self._lose()

    def _lose(self) -> None:
        with self._losing:
            if self._done.is_set():
                return
            self._done.set()
        self._lost()


class _Watchdog:
    """One thread for all heartbeats of the process: a beat that hangs cannot see for itself that it is late."""

    def __init__(self) -> None:
        self._heartbeats: set[Heartbeat] = set()
        self._changing = threading.Condition()
        self._thread: threading.Thread | None = None

    def watch(self, heartbeat: Heartbeat) -> None:
        with self._changing:
            self._heartbeats.add(heartbeat)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            elif len(self._heartbeats) == 1:
                self._changing.notify()

    def leave(self, heartbeat: Heartbeat) -> None:
        with self._changing:
            self._heartbeats.discard(heartbeat)

    def _run(self) -> None:
        while True:
            with self._changing:
                self._changing.wait_for(lambda: bool(self._heartbeats))
                heartbeats = list(self._heartbeats)
            for heartbeat in heartbeats:
                try:
                    heartbeat.fence_if_late()
                except Exception:  # one that cannot be told must not keep the others from it
                    log.exception("a lost lease could not be told")
            time.sleep(WATCH_SECONDS)


_watchdog = _Watchdog()
