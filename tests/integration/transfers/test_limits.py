"""Limits that workers share in Redis: slots that their holders keep, and debts that are not forgotten."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings

from transfers import leases, limits
from transfers import redis as courtesy
from transfers.limits import SLOT_SECONDS, Rate, Slots

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Redis, which no earlier test has found to be away, and for which a busy machine has all the time it needs."""
    monkeypatch.setattr(limits, "_redis", courtesy.Redis())
    monkeypatch.setattr(courtesy, "PATIENCE_SECONDS", 30)
    courtesy._client.cache_clear()
    with redis.Redis.from_url(settings.REDIS_URL, protocol=2) as client:
        yield client
    courtesy._client.cache_clear()


@pytest.fixture
def host() -> str:
    return f"{uuid.uuid4().hex}.example"


def test_a_host_gives_no_more_slots_than_its_limit(client: Any, host: str) -> None:
    with Slots(host, 3) as mine, Slots(host, 3) as yours:
        assert (mine.acquire(2), yours.acquire(2), mine.acquire(1)) == (2, 1, 0)
        mine.release()
        assert yours.acquire(5) == 2
        assert (mine.count, yours.count) == (0, 3)
    assert client.zcard(f"carryon:connections:{host}") == 0


def test_slots_of_other_processes_count_until_they_expire(client: Any, host: str) -> None:
    key, now = f"carryon:connections:{host}", client.time()[0]
    client.zadd(key, {"elsewhere:1:x/1": now + 60, "elsewhere:1:x/2": now - 1})
    with Slots(host, 3) as slots:
        assert slots.acquire(3) == 2


def test_renewed_slots_stay_by_the_clock_of_redis(client: Any, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = f"carryon:connections:{host}"
    with Slots(host, 3) as slots:
        assert slots.acquire(2) == 2
        client.expire(key, 2)
        client.zadd(key, dict.fromkeys(client.zrange(key, 0, -1), client.time()[0] + 1))
        monkeypatch.setattr(time, "time", lambda: 0.0)  # a worker whose clock is far off
        slots.renew()
        monkeypatch.undo()
        assert client.ttl(key) > SLOT_SECONDS
        slots_left = [score - client.time()[0] for _, score in client.zrange(key, 0, -1, withscores=True)]
        assert len(slots_left) == 2
        assert all(SLOT_SECONDS - 2 <= seconds <= SLOT_SECONDS for seconds in slots_left)


def test_slots_that_redis_forgot_come_back(client: Any, host: str) -> None:
    key = f"carryon:connections:{host}"
    with Slots(host, 3) as slots:
        assert slots.acquire(2) == 2
        client.delete(key)
        slots.renew()
        assert client.zcard(key) == 2
        client.delete(key)
        assert slots.acquire(3) == 1
        assert client.zcard(key) == 3


def test_slots_of_the_dead_of_this_host_are_given_on(client: Any, host: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead = leases.new_owner().replace(f":{os.getpid()}:", f":{process.pid}:")
    later = client.time()[0] + 60
    client.zadd(f"carryon:connections:{host}", {f"{dead}/1": later, f"{leases.new_owner()}/1": later})
    with Slots(host, 2) as slots:
        assert slots.acquire(2) == 1


def test_a_long_debt_is_not_forgotten_before_it_is_paid(client: Any) -> None:
    rate = Rate(uuid.uuid4().hex, 10)
    assert rate.delay_seconds(3000) == pytest.approx(300, abs=1)
    assert client.ttl(f"carryon:pace:{rate.name}") > 300
    client.delete(f"carryon:pace:{rate.name}")
