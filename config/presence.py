"""Which processes of the service are there, on any number of hosts: each says so in Redis, every second.

Redis and not the database, for without it a worker hears of no work anyway, it costs no commits, and a process that is
gone is forgotten by itself. By Redis's clock alone; and a process that died on this very host is missed at once.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import bootsteps
from celery.signals import worker_shutting_down
from celery.worker import state

from config.celery import app
from transfers import leases
from transfers.redis import Redis

KEY = "carryon:processes"
WORKERS = ("worker", "worker-cpu")
KINDS = ("web", *WORKERS, "beat")
BEAT_SECONDS = 1.0
TERM_SECONDS = 5
"""After so long without a word a process counts as gone."""
PULSE_SECONDS = 10.0
"""How long a worker's loop may be silent before it no longer counts as alive."""
LONGEST_SILENCE_SECONDS = 86_400
"""A deployment that stays still for so long needs no list of its processes."""

_SAY = """
local until_then = tonumber(redis.call('TIME')[1]) + tonumber(ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], until_then .. ' ' .. ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
"""
_LIST = """
local now = tonumber(redis.call('TIME')[1])
local all, here = redis.call('HGETALL', KEYS[1]), {}
for at = 1, #all, 2 do
  local until_then, told = string.match(all[at + 1], '^(%d+) (.*)$')
  if tonumber(until_then) < now then
    redis.call('HDEL', KEYS[1], all[at])
  else
    table.insert(here, all[at])
    table.insert(here, told)
  end
end
return here
"""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that is there."""

    kind: str
    """One of KINDS."""
    sockets: int = 0
    """WebSockets that it has open."""
    threads: int = 0
    """Threads that it works with."""
    busy: int = 0
    """How many of them are at work."""
    host: str = ""
    pid: str = ""


class Announcement:
    """Says from a thread of its own that this process is there, for as long as `is_well` agrees."""

    def __init__(self, kind: str, *, numbers: Callable[[], Mapping[str, int]], is_well: Callable[[], bool]) -> None:
        """`numbers` are those of `Process`, by name."""
        self._kind, self._numbers, self._is_well = kind, numbers, is_well
        self._owner = leases.new_owner()
        self._leaving = threading.Event()
        self._redis = Redis()

    def begin(self) -> None:
        """Say so from now on."""
        threading.Thread(target=self._run, name="presence", daemon=True).start()

    def leave(self) -> None:
        """Say that the process takes nothing new; returns at once."""
        self._leaving.set()

    def _run(self) -> None:
        while True:
            if self._is_well():
                self._say()
            if self._leaving.wait(BEAT_SECONDS):
                self._redis.ask_again(lambda client: client.hdel(KEY, self._owner))
                return

    def _say(self) -> None:
        told = json.dumps({"kind": self._kind, **self._numbers()})
        arguments = (KEY, self._owner, TERM_SECONDS, told, LONGEST_SILENCE_SECONDS)
        self._redis.ask_again(lambda client: client.eval(_SAY, 1, *arguments))


def processes() -> list[Process] | None:
    """All that are there; None while Redis is away."""
    told = Redis().ask(lambda client: client.eval(_LIST, 1, KEY))
    if told is None:
        return None
    pairs = zip(told[::2], told[1::2], strict=True)
    return [_process(owner.decode(), text) for owner, text in pairs if not leases.owner_is_gone(owner.decode())]


def _process(owner: str, text: bytes) -> Process:
    place, _, run = owner.partition(":")
    return Process(**json.loads(text), host=place.rpartition(".")[0] or place, pid=run.partition(":")[0])


def counted(present: list[Process]) -> dict[str, int]:
    """How many there are of each kind that there should be."""
    found = Counter(process.kind for process in present)
    return {kind: found[kind] for kind in KINDS}


class Pulse(bootsteps.StartStopStep):
    """Has a worker's own loop tell that it runs: a thread beside it would go on when it hangs."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    ran_at = 0.0
    """When it last ran, on the monotonic clock."""
    threads = 0
    """How many the worker has."""
    ready_file: Path | None = None
    """What is as old as the last time that it ran, once it is there, for who asks from outside of the process."""

    def start(self, parent: Any) -> None:
        """Begin with each connection to the broker: its end clears all timers."""
        Pulse.threads = parent.controller.concurrency
        self.note()
        parent.timer.call_repeatedly(BEAT_SECONDS, self.note)

    def stop(self, parent: Any) -> None:
        """The connection is gone, and with it the timer."""

    @classmethod
    def note(cls) -> None:
        """The loop runs."""
        cls.ran_at = time.monotonic()
        if cls.ready_file is not None:
            with suppress(OSError):  # it is made when the worker takes work, and that may be still to come
                os.utime(cls.ready_file)


def _threads() -> dict[str, int]:
    return {"threads": Pulse.threads, "busy": len(state.active_requests)}


def announce_worker(kind: str, ready_file: Path | None = None) -> None:
    """Say that this Celery worker is there, from its first connection until it is told to leave.

    `ready_file`, once somebody has made it, is kept no older than a second or two while the worker's loop runs.
    """
    Pulse.ready_file = ready_file
    app.steps["consumer"].add(Pulse)
    announcement = Announcement(
        kind, numbers=_threads, is_well=lambda: 0 < time.monotonic() - Pulse.ran_at < PULSE_SECONDS
    )
    announcement.begin()

    def leave(**_: Any) -> None:
        announcement.leave()

    worker_shutting_down.connect(leave, weak=False)
