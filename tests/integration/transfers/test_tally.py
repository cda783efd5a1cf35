"""Counting in several processes, with Redis there and away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest
import redis
from django.conf import settings

from tests.servers import REPOSITORY
from transfers import tally
from transfers.tally import KEY, Tally

COUNT = """
import django, os, signal, sys, time
django.setup()
from transfers import tally
for _ in range(1000):
    tally.add("retries", kind=sys.argv[1], code="timeout")
tally.add("bytes_moved", 2**40, kind=sys.argv[1])
if sys.argv[2] == "killed":
    tally._tally.flush()
    tally.add("retries", kind=sys.argv[1], code="timeout")
    os.kill(os.getpid(), signal.SIGKILL)
"""

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture
def kind() -> Iterator[str]:
    """A label that no other test counts under."""
    yield uuid.uuid4().hex
    redis.Redis.from_url(settings.REDIS_URL).delete(KEY)


def told(name: str, **labels: str) -> int:
    totals = tally.totals()
    assert totals is not None
    return totals.get((name, tuple(sorted(labels.items()))), 0)


def counting(kind: str, end: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", COUNT, kind, end], cwd=REPOSITORY, env=dict(os.environ))


def test_processes_add_up_and_so_do_those_that_are_gone(kind: str) -> None:
    running = [counting(kind, "ended"), counting(kind, "ended"), counting(kind, "killed")]

    assert [process.wait(120) for process in running] == [0, 0, -signal.SIGKILL]
    assert told("retries", kind=kind, code="timeout") == 3000  # what the killed one had not sent is lost with it
    assert told("bytes_moved", kind=kind) == 3 * 2**40


def test_a_message_that_is_sent_twice_counts_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Tally()
    counts.add((("retries", (("kind", kind),)), 5))
    ask = counts._redis.ask
    monkeypatch.setattr(counts._redis, "ask", lambda question: (ask(question), None)[1])
    assert not counts.flush()  # it was added, and nobody heard that it was
    monkeypatch.undo()

    assert counts.flush()
    assert told("retries", kind=kind) == 5
    counts.add((("retries", (("kind", kind),)), 2))
    assert counts.flush()
    assert told("retries", kind=kind) == 7


def test_counts_wait_while_redis_is_away(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Tally()
    monkeypatch.setattr(counts._redis, "ask", lambda _question: None)
    counts.add((("retries", (("kind", kind),)), 1))
    assert not counts.flush()
    counts.add((("retries", (("kind", kind),)), 1))
    monkeypatch.undo()

    assert counts.flush()
    assert counts.flush()
    assert told("retries", kind=kind) == 2
