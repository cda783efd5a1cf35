"""How often something may be done: so many times a span, counted by all processes together in Redis.

A limit is a fuse and no wall: while Redis is away each process counts by itself, which lets more through and locks
nobody out. What guards passwords is counted in the database (`config/login.py`).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from transfers.redis import Redis

SPANS = {"sec": 1, "min": 60, "hour": 3600, "day": 86_400}
"""Seconds of what a limit's second word may be."""
OFF = "off"
MOST_KEYS = 10_000
"""How many clients one process keeps in mind while Redis is away."""

# GCRA: the key holds the time, in seconds by the clock of Redis, at which all that was let through would have passed
# at the rate. What would be a whole span ahead of its time has to wait, and is not counted.
_LET_THROUGH = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local due = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now)) + tonumber(ARGV[1])
local early = due - now - tonumber(ARGV[2])
if early > 0.000001 then
  return string.format('%.6f', early)
end
redis.call('SET', KEYS[1], string.format('%.6f', due), 'EX', math.ceil(due - now) + 1)
return '0'
"""

_redis = Redis()
_due: dict[str, float] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, which come back evenly over the span."""

    count: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Rate | None:
        """Read `100/min`; None for `off`, ValueError for what is neither."""
        if text == OFF:
            return None
        count, slash, span = text.partition("/")
        if not (slash and count.isascii() and count.isdecimal() and int(count) and span in SPANS):
            raise ValueError(f"must be a number and a span, like 100/min, 5/hour or 1000/day, or {OFF}")
        return cls(int(count), SPANS[span])

    def wait_seconds(self, name: str) -> float:
        """Count one more under the name; 0 when it may pass, else how long until one may, and nothing is counted."""
        cost = self.seconds / self.count
        answer = _redis.ask(lambda client: client.eval(_LET_THROUGH, 1, f"carryon:rate:{name}", cost, self.seconds))
        return float(answer) if answer is not None else self._local_wait_seconds(name, cost)

    def _local_wait_seconds(self, name: str, cost: float) -> float:
        now = time.monotonic()
        with _lock:
            due = max(now, _due.get(name, now)) + cost
            if (early := due - now - self.seconds) > 0:
                return early
            if len(_due) >= MOST_KEYS:
                _forget(now)
            _due[name] = due
        return 0.0


def _forget(now: float) -> None:
    """Drop whoever has nothing to wait for; where that is nobody, everybody."""
    for name in [name for name, due in _due.items() if due <= now]:
        del _due[name]
    if len(_due) >= MOST_KEYS:
        _due.clear()
