"""Rates: exact where Redis counts for all, and no wall where it is away."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import rates
from config.rates import Rate
from tests.integration.transfers.rows import at_once
from transfers import redis as shared_redis

_numbers = itertools.count(1)


@pytest.fixture
def name() -> str:
    """Somebody who has done nothing yet."""
    return f"test:{next(_numbers)}:{time.monotonic()}"


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No Redis answers."""
    monkeypatch.setattr(shared_redis.settings, "REDIS_URL", f"unix://{tmp_path}/nobody.sock")
    shared_redis._client.cache_clear()
    monkeypatch.setattr(rates, "_redis", shared_redis.Redis())
    monkeypatch.setattr(rates, "_due", {})
    yield
    shared_redis._client.cache_clear()


@pytest.mark.parametrize(
    ("text", "rate"),
    [("100/min", Rate(100, 60)), ("1/sec", Rate(1, 1)), ("5/hour", Rate(5, 3600)), ("7/day", Rate(7, 86_400))],
)
def test_rates_are_read(text: str, rate: Rate) -> None:
    assert Rate.parse(text) == rate


def test_a_rate_may_be_off() -> None:
    assert Rate.parse("off") is None


@pytest.mark.parametrize("text", ["", "100", "0/min", "-1/min", "1.5/min", "ten/min", "1/week", "1/min/min", "٣/min"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="100/min"):
        Rate.parse(text)


@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize("count", [1, 5, 100])
def test_so_many_pass_and_the_next_one_waits(name: str, count: int) -> None:
    rate = Rate(count, 3600)
    assert [rate.wait_seconds(name) for _ in range(count)] == [0.0] * count
    waits = [rate.wait_seconds(name) for _ in range(20)]
    assert all(3600 / count - 5 < wait <= 3600 / count for wait in waits)
    assert Rate(1, 3600).wait_seconds(f"{name}:other") == 0


@pytest.mark.usefixtures("broker")
def test_whoever_waits_as_long_as_told_passes(name: str) -> None:
    rate = Rate(4, 1)
    while not (wait := rate.wait_seconds(name)):
        pass
    time.sleep(wait)
    assert rate.wait_seconds(name) == 0
    assert rate.wait_seconds(name) > 0


@pytest.mark.usefixtures("broker")
def test_of_many_at_once_no_more_pass(name: str) -> None:
    rate = Rate(10, 3600)
    waits = at_once([lambda: rate.wait_seconds(name) for _ in range(32)])
    assert waits.count(0.0) == 10


@pytest.mark.usefixtures("away")
def test_while_redis_is_away_the_process_counts_by_itself(name: str) -> None:
    rate = Rate(10, 3600)
    began = time.monotonic()
    waits = at_once([lambda: rate.wait_seconds(name) for _ in range(32)])
    assert waits.count(0.0) == 10
    assert time.monotonic() - began < 3


@pytest.mark.usefixtures("away")
def test_what_is_kept_in_mind_does_not_grow_for_ever(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_KEYS", 100)
    for number in range(1000):
        assert Rate(1, 3600).wait_seconds(f"{name}:{number}") == 0
    assert len(rates._due) <= 100
