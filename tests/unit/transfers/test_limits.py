"""Limits while Redis is away: each process keeps them by itself, and waits for nobody."""

from __future__ import annotations

import time

import pytest
import redis
from django.conf import settings

from transfers import limits
from transfers import redis as courtesy
from transfers.limits import Rate, Slots

HOST = "origin.test:80"


@pytest.fixture(autouse=True)
def _away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens where Redis should be."""
    nowhere = redis.Redis.from_url(f"unix://{settings.ENVIRONMENT.run_dir}/nobody.sock")
    monkeypatch.setattr(courtesy, "_client", lambda: nowhere)
    monkeypatch.setattr(limits, "_redis", courtesy.Redis())


def test_slots_are_those_of_the_process() -> None:
    with Slots(HOST, 3) as first, Slots(HOST, 3) as second:
        assert (first.acquire(2), second.acquire(2)) == (2, 1)
        first.renew()
        first.release()
        assert second.acquire(5) == 2
        assert second.count == 3


def test_a_rate_is_that_of_the_process() -> None:
    first, second = Rate("alone", 1000), Rate("alone", 1000)
    assert first.delay_seconds(1000) == pytest.approx(1 - limits.BURST_SECONDS, abs=0.1)
    assert second.delay_seconds(1000) == pytest.approx(2 - limits.BURST_SECONDS, abs=0.1)
    assert Rate("another", 1000).delay_seconds(100) == 0


def test_redis_is_left_alone_after_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(_: redis.Redis) -> None:
        asked.append(time.monotonic())
        raise redis.ConnectionError

    circuit = courtesy.Redis()
    assert [circuit.ask(refuse) for _ in range(3)] == [None] * 3
    assert len(asked) == 1
    monkeypatch.setattr(circuit, "_away", courtesy.Absence())
    assert circuit.ask(lambda _: "there again") == "there again"
