"""Counting what happens, in all processes of all hosts together: bytes moved, requests, retries.

The counts are in Redis. Each process adds up its own and sends what is new once a second, so that counting costs no
more than an addition. They are courtesy: a flushed Redis begins at zero, which is what a restarted process would do
too, and who dies by `kill -9` takes its last second with it. A message whose answer
is lost is sent again under the same number, and Redis adds it once. While Redis is away the counts wait here; there are
never more than there are names and labels.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import uuid
from collections import Counter
from collections.abc import Mapping

from transfers.redis import Redis

KEY = "carryon:tally"
MINUTES_KEY = "carryon:tally:minute"
"""And the minute since 1970 by Redis's clock: what was counted in it of what has a history."""
WITH_HISTORY = ("bytes_moved",)
"""What is counted by the minute too, for the last hour."""
HOUR = 60
"""Minutes."""
FLUSH_SECONDS = 1.0
_SENDER_SECONDS = 3600
"""How long Redis remembers what of a process it has added last."""

# Adds a process's counts, unless they are those that it added last of this process. A minute goes by itself, later than
# the last hour can ask for it.
_ADD = """
if redis.call('GET', KEYS[2]) == ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
local minute = KEYS[3] .. ':' .. math.floor(tonumber(redis.call('TIME')[1]) / 60)
for at = 3, #ARGV, 3 do
  redis.call('HINCRBY', KEYS[1], ARGV[at], ARGV[at + 1])
  if ARGV[at + 2] == '1' then
    redis.call('HINCRBY', minute, ARGV[at], ARGV[at + 1])
    redis.call('EXPIRE', minute, 3720)
  end
end
return 1
"""
_LAST_HOUR = """
local now, told = math.floor(tonumber(redis.call('TIME')[1]) / 60), {}
for minute = now - tonumber(ARGV[1]) + 1, now do
  table.insert(told, redis.call('HGETALL', KEYS[1] .. ':' .. minute))
end
return told
"""

Labels = tuple[tuple[str, str], ...]
Counted = tuple[str, Labels]
"""What is counted: its name, and its labels in order. Neither may ever be something a client chose."""


class Tally:
    """The counts of this process that Redis has not got yet."""

    def __init__(self) -> None:
        self._redis = Redis()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._new: Counter[Counted] = Counter()
        self._on_its_way: Counter[Counted] = Counter()
        self._number = 0
        self._sender = uuid.uuid4().hex
        self._thread: threading.Thread | None = None

    def add(self, *counts: tuple[Counted, int]) -> None:
        """Count them, and see that they are sent."""
        with self._lock:
            for counted, amount in counts:
                self._new[counted] += amount
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tally", daemon=True)
                self._thread.start()

    def flush(self) -> bool:
        """Send what is new; whether there is nothing left to send."""
        with self._sending:
            if not self._on_its_way:
                with self._lock:
                    self._on_its_way, self._new = self._new, Counter()
                self._number += 1
            if self._on_its_way and self._send():
                self._on_its_way.clear()
            return not self._on_its_way

    def _send(self) -> bool:
        added = [
            value
            for each, count in self._on_its_way.items()
            for value in (_field(each), count, int(each[0] in WITH_HISTORY))
        ]
        keys = (KEY, f"{KEY}:{self._sender}", MINUTES_KEY)
        arguments = (*keys, str(self._number), _SENDER_SECONDS, *added)
        return self._redis.ask(lambda client: client.eval(_ADD, len(keys), *arguments)) is not None

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(FLUSH_SECONDS):
            self.flush()


def add(name: str, amount: int = 1, **labels: str) -> None:
    """Count something; costs no question to Redis, and never fails."""
    if amount:
        _tally.add((counted(name, **labels), amount))


def add_all(*counts: tuple[Counted, int]) -> None:
    """Count several things at once, whose names were made before."""
    _tally.add(*counts)


def counted(name: str, **labels: str) -> Counted:
    """What is counted under this name and these labels."""
    return name, tuple(sorted(labels.items()))


def totals() -> Mapping[Counted, int] | None:
    """What all processes have counted; None while Redis is away."""
    _tally.flush()
    told = Redis().ask(lambda client: client.hgetall(KEY))
    return None if told is None else {_read(field): int(count) for field, count in told.items()}


def last_hour() -> Mapping[Counted, list[int]] | None:
    """What was counted of `WITH_HISTORY` in each of the last 60 minutes, the present one last; None without Redis."""
    _tally.flush()
    told = Redis().ask(lambda client: client.eval(_LAST_HOUR, 1, MINUTES_KEY, HOUR))
    if told is None:
        return None
    found: dict[Counted, list[int]] = {}
    for minute, pairs in enumerate(told):
        for field, count in zip(pairs[::2], pairs[1::2], strict=True):
            found.setdefault(_read(field), [0] * HOUR)[minute] = int(count)
    return found


def _field(counted: Counted) -> str:
    name, labels = counted
    return json.dumps([name, *labels])


def _read(field: bytes) -> Counted:
    name, *labels = json.loads(field)
    return name, tuple((key, value) for key, value in labels)


def _begin() -> None:
    """A fork begins anew too: what its parent has counted, its parent sends."""
    global _tally  # noqa: PLW0603
    _tally = Tally()


def _flush_at_exit() -> None:
    _tally.flush()


_tally = Tally()
os.register_at_fork(after_in_child=_begin)
atexit.register(_flush_at_exit)
