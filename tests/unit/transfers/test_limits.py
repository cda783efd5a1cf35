"""Limits that all workers keep together, on a real broker, and alone while it is away."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import redis
from django.conf import settings

from transfers import leases, limits
from transfers.limits import Rate, Slots

HOST = "origin.test:80"
KEY = f"carryon:connections:{HOST}"


@pytest.fixture
def client(broker: str) -> Iterator[redis.Redis]:
    limits._redis._away_until = 0
    with redis.Redis.from_url(broker) as connected:
        yield connected
        connected.flushall()


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens where Redis should be."""
    nowhere = redis.Redis.from_url(f"unix://{settings.ENVIRONMENT.run_dir}/nobody.sock")
    monkeypatch.setattr(limits, "_client", lambda: nowhere)
    monkeypatch.setattr(limits, "_redis", limits._Redis())


def dead_owner() -> str:
    """What a process that has ended would have called itself."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    host, _, rest = leases.new_owner().split(":")
    return f"{host}:{process.pid}:{rest}"


def test_slots_are_shared_by_all_and_given_back(client: redis.Redis) -> None:
    with Slots(HOST, 3) as first, Slots(HOST, 3) as second:
        assert (first.acquire(2), second.acquire(2), second.acquire(1)) == (2, 1, 0)
        assert client.zcard(KEY) == 3
        first.release()
        assert second.acquire(5) == 2
        assert second.count == 3
    assert client.zcard(KEY) == 0


def test_other_processes_slots_count(client: redis.Redis) -> None:
    client.zadd(KEY, {f"elsewhere:1:abc/{slot}": time.time() + 60 for slot in range(2)})
    with Slots(HOST, 3) as slots:
        assert slots.acquire(3) == 1


def test_slots_of_a_process_that_died_here_are_free(client: redis.Redis) -> None:
    owner = dead_owner()
    client.zadd(KEY, {f"{owner}/{slot}": time.time() + 60 for slot in range(3)})
    with Slots(HOST, 3) as slots:
        assert slots.acquire(2) == 2


def test_slots_that_nobody_renews_are_free(client: redis.Redis) -> None:
    client.zadd(KEY, {"elsewhere:1:abc/1": time.time() - 1})
    with Slots(HOST, 1) as slots:
        assert slots.acquire(1) == 1


def test_a_renewal_puts_back_what_redis_forgot(client: redis.Redis) -> None:
    with Slots(HOST, 2) as slots, Slots(HOST, 2) as other:
        slots.acquire(2)
        client.flushall()
        slots.renew()
        assert client.zcard(KEY) == 2
        assert other.acquire(1) == 0


@pytest.mark.usefixtures("away")
def test_without_redis_each_process_keeps_the_limit_by_itself() -> None:
    with Slots(HOST, 3) as first, Slots(HOST, 3) as second:
        assert (first.acquire(2), second.acquire(2)) == (2, 1)
        first.renew()
        first.release()
        assert second.acquire(5) == 2


def test_a_rate_is_one_for_all(client: redis.Redis) -> None:
    first, second = Rate("all", 1000), Rate("all", 1000)
    assert first.delay_seconds(1000) == pytest.approx(1 - limits.BURST_SECONDS, abs=0.1)
    assert second.delay_seconds(1000) == pytest.approx(2 - limits.BURST_SECONDS, abs=0.1)
    assert Rate("other", 1000).delay_seconds(100) == 0


@pytest.mark.usefixtures("away")
def test_without_redis_a_rate_is_one_for_the_process() -> None:
    first, second = Rate("alone", 1000), Rate("alone", 1000)
    assert first.delay_seconds(1000) == pytest.approx(1 - limits.BURST_SECONDS, abs=0.1)
    assert second.delay_seconds(1000) == pytest.approx(2 - limits.BURST_SECONDS, abs=0.1)


def test_redis_is_left_alone_after_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(_: redis.Redis) -> None:
        asked.append(time.monotonic())
        raise redis.ConnectionError

    circuit = limits._Redis()
    assert [circuit.ask(refuse) for _ in range(3)] == [None] * 3
    assert len(asked) == 1
    monkeypatch.setattr(circuit, "_away_until", 0.0)
    assert circuit.ask(lambda _: "there again") == "there again"
