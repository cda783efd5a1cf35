"""What the service itself is like: its parts, processes, queues, and the room that is left."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.urls import reverse

from config import presence
from config.dashboard import throughput
from config.dashboard.throughput import Throughput
from config.health.checks import Room
from config.health.probe import Probe
from config.health.report import Health, Report
from config.metrics import queues
from transfers import tally
from transfers.admin import wording
from transfers.models.upload import UNFINISHED
from transfers.services import origin

KEEP_SECONDS = 60.0
"""How long it is good what is kept: all rows of stored files are read for it."""
ROOTS = {"data": "Data", "downloads": "Downloads", "files": "Files", "cases": "Cases"}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that is there."""

    name: str
    busy: int
    threads: int


@dataclass(frozen=True, slots=True)
class Place:
    """A folder's disk."""

    name: str
    free: str
    total: str
    used_percent: int
    is_short: bool
    """Whether less than a tenth is left."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one way."""

    title: str
    files: int
    size: str
    address: str


@dataclass(frozen=True, slots=True)
class System:
    """The service at one moment; None for what could not be asked."""

    down: list[str]
    """Parts that are not there, with why."""
    workers: list[Worker] | None
    processes: dict[str, int] | None
    sockets: int
    queues: list[tuple[str, int, str]] | None
    """Name, messages, and how long the next one has waited."""
    throughput: list[Throughput] | None
    places: list[Place]

    @property
    def busy(self) -> int:
        """Threads of workers that are at work."""
        return sum(worker.busy for worker in self.workers or ())

    @property
    def threads(self) -> int:
        """Threads of workers in all."""
        return sum(worker.threads for worker in self.workers or ())


def look() -> System:
    """How it is now, or was less than about a second ago; takes a few seconds at most."""
    report = _health().report()
    answers = report.answers
    processes: list[presence.Process] | None = answers["processes"].value
    waiting: dict[str, queues.Queue] | None = answers["queues"].value
    minutes = answers["moved"].value
    return System(
        down=_down(report),
        workers=None if processes is None else _workers(processes),
        processes=None if processes is None else presence.counted(processes),
        sockets=sum(process.sockets for process in processes or ()),
        queues=None if waiting is None else _queues(waiting),
        throughput=None if minutes is None else throughput.told(minutes),
        places=_places(report),
    )


def kept() -> list[Kept]:
    """What is kept, by the way that it came, as of a minute ago at most; and what lies beside it unfinished."""
    files, uploads = reverse("admin:transfers_storedfile_changelist"), reverse("admin:transfers_upload_changelist")
    downloads = reverse("admin:transfers_download_changelist")
    whole, open_uploads, open_downloads = _kept.value()
    return [
        *(_told(way.label, amount, f"{files}?origin={way.value}") for way, amount in whole.items()),
        _told("Unfinished uploads", open_uploads, f"{uploads}?state__in={','.join(UNFINISHED)}"),
        _told(
            "Unfinished downloads",
            open_downloads,
            f"{downloads}?state__in={','.join(origin.UNFINISHED)}&bytes_done__gt=0",
        ),
    ]


def _told(title: str, amount: origin.Amount, address: str) -> Kept:
    return Kept(title, amount.files, wording.size(amount.size), address)


def _counted() -> tuple[Mapping[origin.Origin, origin.Amount], origin.Amount, origin.Amount]:
    return origin.kept(), origin.unfinished_uploads(), origin.unfinished_downloads()


def _down(report: Report) -> list[str]:
    return [
        f"{answer.name}: {answer.detail}" if answer.detail else answer.name
        for answer in report.answers.values()
        if answer.state != "ok"
    ]


def _workers(processes: list[presence.Process]) -> list[Worker]:
    found = [
        Worker(f"{process.kind} {process.pid} on {process.host}", process.busy, process.threads)
        for process in processes
        if process.kind in presence.WORKERS
    ]
    return sorted(found, key=lambda worker: worker.name)


def _queues(waiting: dict[str, queues.Queue]) -> list[tuple[str, int, str]]:
    return [(name, each.length, wording.span(each.oldest_seconds)) for name, each in waiting.items()]


def _places(report: Report) -> list[Place]:
    found = []
    for answer in report.answers.values():
        name = answer.name.removeprefix("storage:")
        if isinstance(answer.value, Room):
            found.append(_place(ROOTS.get(name, name), answer.value))
    return found


def _place(name: str, room: Room) -> Place:
    used = 100 - room.free * 100 // room.total if room.total else 100
    return Place(name, wording.size(room.free), wording.size(room.total), used, room.free * 10 < room.total)


@functools.cache
def _health() -> Health:
    return Health(
        Probe("processes", presence.processes), Probe("queues", queues.queues), Probe("moved", tally.last_hour)
    )


class _Lasting(Generic[T]):
    """An answer that is good for a while."""

    def __init__(self, ask: Callable[[], T], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        self._asking = threading.Lock()
        self._answer: tuple[float, T] | None = None

    def value(self) -> T:
        """It, asked anew when it has become too old."""
        with self._asking:
            if self._answer is None or time.monotonic() - self._answer[0] > self._seconds:
                self._answer = (time.monotonic(), self._ask())
            return self._answer[1]

    def forget(self) -> None:
        """Have it asked anew."""
        self._answer = None


_kept = _Lasting(_counted, KEEP_SECONDS)
