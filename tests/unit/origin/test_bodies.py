"""Bodies that break, stall, trickle and wait."""

from __future__ import annotations

import threading
import time

import pytest

from tests.origin import Behaviour, GeneratedFile, Origin
from tests.unit.origin.client import FILE, OTHER, PATH, Client, ask, fetch

# The way of the body


@pytest.mark.parametrize(("reset", "ended"), [(False, "eof"), (True, "reset")])
@pytest.mark.parametrize("after", [0, 1, 123_456])
def test_a_cut_after_so_many_bytes(origin: Origin, after: int, ended: str, *, reset: bool) -> None:
    reply = fetch(origin, Behaviour(cut_after=after, reset=reset))
    assert (reply.body, reply.ended) == (FILE.read(0, after), ended)
    assert (origin.fetched(PATH), origin.requests[0].finished) == (after, False)


def test_a_cut_counts_from_the_start_of_each_range(origin: Origin) -> None:
    reply = fetch(origin, Behaviour(cut_after=1000), Range="bytes=5000-")
    assert reply.body == FILE.read(5000, 6000)


def test_cuts_at_random_bytes_are_the_same_for_the_same_seed() -> None:
    def lengths() -> list[int]:
        with Origin(seed=7) as origin:
            url = origin.add(PATH, FILE, Behaviour(cut_after=10, cut_before=5000))
            return [len(ask(url).body) for _ in range(10)]

    first = lengths()
    assert first == lengths()
    assert len(set(first)) > 5
    assert all(10 <= each < 5000 for each in first)


def test_a_silent_stall(origin: Origin) -> None:
    reply = fetch(origin, Behaviour(stall_after=70_000))
    assert (len(reply.body), reply.ended) == (70_000, "silence")


def test_never_an_answer(origin: Origin) -> None:
    with Client(origin.add(PATH, FILE, Behaviour(never_answers=True)), timeout=0.1) as client:
        client.send()
        with pytest.raises(TimeoutError):
            client.head()
    assert origin.requests[0].status is None


def test_latency_before_the_head(origin: Origin) -> None:
    started = time.monotonic()
    assert fetch(origin, Behaviour(latency_seconds=0.1)).status == 200
    assert time.monotonic() - started >= 0.1


def test_a_rate_is_each_connections_own(origin: Origin) -> None:
    url = origin.add(PATH, GeneratedFile(20_000), Behaviour(rate=100_000))
    started = time.monotonic()
    threads = [threading.Thread(target=ask, args=(url,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.15 < time.monotonic() - started < 0.5


def test_a_slow_head(origin: Origin) -> None:
    started = time.monotonic()
    assert ask(origin.add(PATH, FILE, Behaviour(head_rate=2000))).status == 200
    assert time.monotonic() - started > 0.08


# The gate


def test_a_gate_holds_all_bytes_from_its_offset_on(origin: Origin) -> None:
    with Client(origin.add(PATH, FILE), timeout=0.1) as client:
        gate = origin.gate(PATH, at=1000)
        client.send()
        assert client.head().status == 200
        gate.wait()
        assert (client.rest(), origin.fetched(PATH)) == (FILE.read(0, 1000), 1000)
        gate.close(at=1500)
        assert client.rest() == FILE.read(1000, 1500)
        assert ask(origin.url(PATH), Range="bytes=500-599").body == FILE.read(500, 600)
        gate.open()
        assert client.rest() == FILE.read(1500)


def test_a_body_begun_before_a_change_stays_the_old_one(origin: Origin) -> None:
    with Client(origin.add(PATH, FILE)) as client:
        gate = origin.gate(PATH, at=1000)
        client.send()
        gate.wait()
        origin.replace(PATH, OTHER)
        gate.open()
        assert client.head().headers["etag"] == f'"{FILE.tag}"'
        assert client.rest() == FILE.read()
    assert ask(origin.url(PATH)).body == OTHER.read()


def test_a_client_that_leaves_is_not_held(origin: Origin) -> None:
    url = origin.add(PATH, FILE)
    gate = origin.gate(PATH, at=0)
    with Client(url) as client:
        client.send()
        gate.wait()
    with Client(url) as client:
        client.send()
        with pytest.raises(TimeoutError):
            gate.wait(bodies=2, timeout_seconds=0.2)
