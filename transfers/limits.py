"""Limits that all workers keep together: connections to a host, and bandwidth.

They are courtesy, not truth: they live in Redis, and while it is away each process keeps them by itself.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from django.conf import settings

from transfers import leases
from transfers.redis import Redis

SLOT_SECONDS = 10
"""How long a slot outlives a worker of another host that died with it: less than its lease. Heartbeats renew it."""
BURST_SECONDS = 0.25
"""How far ahead of its rate a stream may get."""

# By the clock of Redis alone, as its workers' may differ; the slots named at the end are held already, and kept.
_HOLD = """
local limit, wanted, seconds, owner = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
for held = 5, #ARGV do
  redis.call('ZADD', KEYS[1], now + seconds, ARGV[held])
end
local granted = math.max(0, math.min(wanted, limit - redis.call('ZCARD', KEYS[1])))
for slot = 1, granted do
  redis.call('ZADD', KEYS[1], now + seconds, owner .. '/' .. slot)
end
redis.call('EXPIRE', KEYS[1], seconds * 2)
return granted
"""
# GCRA: the key holds the time, in seconds, at which all that was let through would have passed at the rate.
_PACE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local due = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now)) + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.6f', due), 'EX', math.ceil(due - now) + 60)
return string.format('%.6f', due - now)
"""


_redis = Redis()


class Slots:
    """Connections to one host that this run of work may open; given back at the end of the block."""

    _local: Counter[str] = Counter()
    _lock = threading.Lock()

    def __init__(self, host: str, limit: int) -> None:
        self._host, self._limit = host, limit
        self._key = f"carryon:connections:{host}"
        self._tokens: list[str] = []
        self._changing = threading.Lock()
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self, wanted: int) -> int:
        """Take up to `wanted` more slots, and tell how many there were."""
        with self._changing:
            taken = self._take(wanted)
            if taken < wanted and self._free_those_of_the_dead():
                taken += self._take(wanted - taken)
        return taken

    def renew(self) -> None:
        """Keep the slots for another while."""
        with self._changing:
            if self._tokens:
                self._hold(0, "")

    def release(self) -> None:
        """Give all slots back."""
        with self._changing:
            if not self._tokens:
                return
            with self._lock:
                self._local[self._host] -= self.count
            given_back = self._tokens
            _redis.ask(lambda client: client.zrem(self._key, *given_back))
            self._tokens, self.count = [], 0

    def _take(self, wanted: int) -> int:
        with self._lock:
            granted = min(wanted, max(0, self._limit - self._local[self._host]))
            self._local[self._host] += granted
        if not granted:
            return 0
        owner = leases.new_owner()
        answer = self._hold(granted, owner)
        taken = granted if answer is None else int(answer)
        with self._lock:
            self._local[self._host] -= granted - taken
        self.count += taken
        self._tokens += [f"{owner}/{slot}" for slot in range(1, taken + 1)]
        return taken

    def _hold(self, wanted: int, owner: str) -> Any:
        """Renew the slots there are and take up to `wanted` more: how many those are; None while Redis is away."""
        arguments: list[str | int] = [self._key, self._limit, wanted, SLOT_SECONDS, owner, *self._tokens]
        return _redis.ask(lambda client: client.eval(_HOLD, 1, *arguments))

    def _free_those_of_the_dead(self) -> bool:
        """Give back what processes of this host held when they died; whether there was anything."""
        tokens = [token.decode() for token in _redis.ask(lambda client: client.zrange(self._key, 0, -1)) or ()]
        dead = [token for token in tokens if leases.owner_is_gone(token.rpartition("/")[0])]
        return bool(dead and _redis.ask(lambda client: client.zrem(self._key, *dead)))


@dataclass
class Rate:
    """A bandwidth that all workers share, in bytes a second."""

    name: str
    bytes_per_second: int
    _local_due: ClassVar[dict[str, float]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def delay_seconds(self, count: int) -> float:
        """How long to wait after `count` more bytes."""
        cost = count / self.bytes_per_second
        ahead = self._shared(cost)
        return max(0.0, ahead - BURST_SECONDS)

    def _shared(self, cost: float) -> float:
        ahead = _redis.ask(lambda client: client.eval(_PACE, 1, f"carryon:pace:{self.name}", cost))
        if ahead is not None:
            return float(ahead)
        now = time.monotonic()
        with self._lock:
            due = self._local_due[self.name] = max(now, self._local_due.get(self.name, now)) + cost
        return due - now


class Pacer:
    """The bandwidth limits that a download from this host is under."""

    def __init__(self, host: str) -> None:
        environment = settings.ENVIRONMENT
        rates = [
            Rate("all", environment.download_max_bytes_per_second),
            Rate(f"host:{host}", environment.download_max_bytes_per_second_per_host),
        ]
        self._rates = [rate for rate in rates if rate.bytes_per_second]

    def delay_seconds(self, count: int) -> float:
        """How long to wait after `count` more bytes so as to stay within every limit."""
        return max((rate.delay_seconds(count) for rate in self._rates), default=0.0)
