"""The socket of a running service: who hears what, to the letter and on time, whatever becomes of the broker."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from websockets.asyncio.client import connect

from tests.e2e.carryon import Carryon
from tests.e2e.client import Client, Frame, Listener
from tests.origin import Behaviour, GeneratedFile, Origin
from tests.service import wait_until

MIB = 2**20
SNAPSHOT_SECONDS = 15
BUSY_SECONDS = 1.0
"""What a busy machine may add to a time that the contract promises."""
AT_ONCE = 150


@pytest.fixture(scope="module")
def ann(carryon: Carryon) -> Client:
    return carryon.user("ann")


@pytest.fixture(scope="module")
def bob(carryon: Carryon) -> Client:
    return carryon.user("bob")


@pytest.fixture(scope="module", autouse=True)
def idle(carryon: Carryon) -> Iterator[Listener]:
    """A socket on which nothing happens while the tests above the last ones run."""
    with carryon.user("idle").listening() as listener:
        yield listener


@pytest.fixture(scope="module", autouse=True)
def waiting(carryon: Carryon) -> Iterator[Listener]:
    """A socket of a user whose only download waits until its origin wants to be asked again."""
    client = carryon.user("waiting")
    with Origin() as origin:
        url = origin.add("/busy", b"", Behaviour(status=429, retry_after="3000"))
        download = client.begin(url, "busy")
        client.wait_for(download, lambda detail: len(detail["attempts"]) == 1 and detail["state"] == "queued")
        with client.listening() as listener:
            yield listener
        client.stop(url, "busy")


def inner(cid: str, fid: str, message: str, body: dict[str, object]) -> str:
    """The text of a frame as the contract has it, with what we add to it."""
    text = f'{{"cid":"{cid}","fid":"{fid}","message":{message},"id":"{body["id"]}","revision":{body["revision"]}}}'
    return json.dumps(["download_stream", text], separators=(",", ":"))


def anything(_: Frame) -> bool:
    return True


def shapes(frames: list[Frame]) -> list[str]:
    """What the frames tell, runs of the same put together."""
    told: list[str] = []
    for frame in frames:
        shape = frame.status or "Range"
        if told[-1:] != [shape]:
            told.append(shape)
    return told


def test_frames_to_the_letter_and_once_a_second(ann: Client, origin: Origin) -> None:
    file = GeneratedFile(5_000_000, seed=1)
    url = origin.add("/letter.bin", file, Behaviour(rate=1_000_000))
    with ann.listening(cid="e2e", fid="letter") as listener:
        answer = ann.start(url, "letter")
        listener.wait_for_end("letter")
        frames = listener.frames()
    assert shapes(frames) == ["Range", "STREAM_RUNNING", "STREAM_COMPLETED"]
    first, *running, last = frames
    assert first.text == inner("e2e", "letter", '{"Range":"bytes=0-"}', first.body)
    for frame in running:
        count = frame.data["downloaded"]
        message = (
            '{"action":"stream_status","status":"STREAM_RUNNING",'
            f'"data":{{"downloaded":{count},"totalSize":{file.size}}}}}'
        )
        assert frame.text == inner("e2e", "letter", message, frame.body)
    message = (
        f'{{"action":"stream_status","status":"STREAM_COMPLETED","data":{{"savePath":"{answer.data["savePath"]}"}}}}'
    )
    assert last.text == inner("e2e", "letter", message, last.body)
    assert {frame.body["id"] for frame in frames} == {answer.id}
    counts = [frame.data["downloaded"] for frame in running]
    assert counts == sorted(counts)
    assert 3 <= len(counts) <= 6
    assert_once_a_second(running)


def assert_once_a_second(running: list[Frame]) -> None:
    gaps = [after.at - before.at for before, after in itertools.pairwise(running)]
    assert gaps
    assert max(gaps) < 1 + BUSY_SECONDS, gaps
    assert sum(gaps) / len(gaps) == pytest.approx(1, abs=0.35), gaps


def test_the_frame_of_a_failure(ann: Client, origin: Origin) -> None:
    with ann.listening(fid="failure") as listener:
        ann.start(origin.add("/gone.bin", b"", Behaviour(status=404)), "failure")
        frame = listener.wait_for_end("failure")
        assert listener.frames() == [frame]
    message = (
        '{"action":"stream_status","status":"STREAM_FAIL",'
        '"data":{"error":"Error: HTTP 404 Not Found","code":"source_refused"}}'
    )
    assert frame.text == inner("e2e", "failure", message, frame.body)


def test_the_frame_of_a_stop_and_of_a_resume(ann: Client, origin: Origin) -> None:
    url = origin.add("/stopped.bin", GeneratedFile(3 * MIB, seed=2))
    gate = origin.gate("/stopped.bin", at=MIB)
    with ann.listening(fid="stopped") as listener:
        download = ann.start(url, "stopped").id
        ann.wait_for(download, lambda detail: detail["downloaded"] == MIB)
        ann.stop(url, "stopped")
        frame = listener.wait_for_end("stopped")
        message = (
            '{"action":"stream_status","status":"STREAM_FAIL","data":{"error":"Error: aborted","reason":"stopped"}}'
        )
        assert frame.text == inner("e2e", "stopped", message, frame.body)
        gate.open()
        ann.start(url, "stopped")
        resumed = listener.wait_for(lambda each: "Range" in each.message and each.at > frame.at)
        assert resumed.message == {"Range": f"bytes={MIB}-"}
        assert listener.wait_for_end("stopped", since=resumed.at).status == "STREAM_COMPLETED"


def test_who_hears_what(carryon: Carryon, ann: Client, bob: Client, origin: Origin) -> None:
    named = [("one", "a"), ("one", "b"), ("two", "a")]
    wanted = {
        ("ann", ""): named,
        ("ann", "cid=one"): named[:2],
        ("ann", "fid=a"): [named[0], named[2]],
        ("ann", "cid=two&fid=a"): named[2:],
        ("ann", "cid=three"): [],
        ("bob", ""): [],
        ("bob", "cid=one&fid=a"): [],
        ("admin", "cid=one"): named[:2],
    }
    clients = {"ann": ann, "bob": bob, "admin": carryon.admin}
    with ExitStack() as opened:
        listeners = {
            (user, query): opened.enter_context(
                clients[user].listening(**dict(word.split("=") for word in query.split("&") if word))
            )
            for user, query in wanted
        }
        marker = opened.enter_context(bob.listening(fid="marker"))
        for cid, fid in named:
            caller = Client(carryon.service.url, ann.token, cid)
            caller.start(origin.add(f"/{cid}-{fid}", GeneratedFile(1000, seed=3)), fid)
        listeners["ann", ""].wait_for(lambda f: f.body["cid"] == "two" and f.status == "STREAM_COMPLETED")
        bob.start(origin.add("/marker", b"1"), "marker")  # what comes after it on the same road has overtaken nothing
        marker.wait_for_end("marker")
        for (user, query), listener in listeners.items():
            expected = wanted[user, query]
            for cid, fid in expected:
                listener.wait_for(
                    lambda f, name=(cid, fid): (
                        (f.body["cid"], f.body["fid"]) == name  # type: ignore[misc]
                        and f.status == "STREAM_COMPLETED"
                    ),
                )
            heard = {(f.body["cid"], f.body["fid"]) for f in listener.frames() if f.body["cid"] in ("one", "two")}
            assert heard == set(expected), (user, query)


def test_the_present_state_on_connecting(ann: Client, bob: Client, origin: Origin) -> None:
    url = origin.add("/present.bin", GeneratedFile(3 * MIB, seed=4))
    done = origin.add("/done.bin", b"done")
    gate = origin.gate("/present.bin", at=MIB)
    with ann.listening(fid="done") as listener:
        ann.start(done, "done")
        listener.wait_for_end("done")
    ann.wait_for(ann.start(url, "present").id, lambda detail: detail["downloaded"] == MIB)
    began = time.monotonic()
    with ann.listening() as everything, ann.listening(fid="done") as of_done, bob.listening(fid="present") as others:
        state = everything.wait_for(anything, "present", seconds=5)
        assert state.at - began < 1 + BUSY_SECONDS
        assert state.status == "STREAM_RUNNING"
        assert state.data == {"downloaded": MIB, "totalSize": 3 * MIB}
        assert everything.wait_for(anything, "done", seconds=5).status == "STREAM_COMPLETED"
        assert of_done.wait_for(anything, seconds=5).status == "STREAM_COMPLETED"
        gate.open()
        assert everything.wait_for_end("present").status == "STREAM_COMPLETED"
        assert others.frames() == []
        assert [frame.status for frame in of_done.frames()] == ["STREAM_COMPLETED"]


def test_many_connect_at_once(ann: Client, origin: Origin) -> None:
    url = origin.add("/many.bin", b"for everyone")

    async def listen() -> str:
        async with connect(ann.socket_url(fid="many"), proxy=None, open_timeout=60) as socket:
            opened.append(socket)
            async with asyncio.timeout(60):
                while True:
                    _, body = json.loads(await socket.recv())
                    message = json.loads(body)["message"]
                    if message.get("status") == "STREAM_COMPLETED":
                        return str(message["status"])

    async def listen_all() -> list[str]:
        listening = [asyncio.create_task(listen()) for _ in range(AT_ONCE)]
        async with asyncio.timeout(60):
            while len(opened) < AT_ONCE:  # noqa: ASYNC110 - the tasks are sockets of their own
                await asyncio.sleep(0.02)
        await asyncio.to_thread(ann.start, url, "many")
        return await asyncio.gather(*listening)

    opened: list[object] = []
    assert asyncio.run(listen_all()) == ["STREAM_COMPLETED"] * AT_ONCE


def test_a_killed_broker_costs_no_socket(carryon: Carryon, ann: Client, origin: Origin) -> None:
    url = origin.add("/broker.bin", GeneratedFile(30_000_000, seed=5), Behaviour(rate=1_000_000))
    origin.gate("/broker.bin", at=29_000_000)
    with ann.listening(fid="broker") as listener:
        ann.start(url, "broker")
        listener.wait_for(lambda frame: frame.status == "STREAM_RUNNING")
        for _ in range(2):
            before = carryon.pid("broker")
            carryon.kill("broker")
            wait_until(lambda before=before: carryon.service.pids().get("broker") not in (None, before), 20)
            back = time.monotonic()
            listener.wait_for(lambda frame: frame.status == "STREAM_RUNNING", since=back, seconds=10)
        assert listener.open
        ann.stop(url, "broker")
        assert listener.wait_for_end("broker").data["reason"] == "stopped"


def test_an_end_that_the_broker_lost_is_told_with_the_next_snapshot(
    carryon: Carryon, ann: Client, origin: Origin
) -> None:
    url = origin.add("/unheard.bin", GeneratedFile(2 * MIB, seed=6))
    gate = origin.gate("/unheard.bin", at=MIB)
    with ann.listening(fid="unheard") as listener:
        download = ann.start(url, "unheard").id
        listener.wait_for(lambda frame: frame.status == "STREAM_RUNNING")
        broker = carryon.pid("broker")
        os.kill(broker, signal.SIGSTOP)
        try:
            gate.open()
            ann.wait_for(download, lambda detail: detail["state"] == "completed")
        finally:
            os.kill(broker, signal.SIGKILL)  # with whatever waited in its sockets
        assert listener.wait_for_end("unheard", SNAPSHOT_SECONDS + 10).status == "STREAM_COMPLETED"
        assert listener.open
    carryon.wait_until_back()


def test_the_present_state_comes_again(waiting: Listener) -> None:
    first = waiting.wait_for(anything)
    second = waiting.wait_for(lambda frame: frame.at > first.at, seconds=SNAPSHOT_SECONDS + BUSY_SECONDS)
    assert second.text == first.text
    assert second.status == "STREAM_RUNNING"
    assert second.at - first.at == pytest.approx(SNAPSHOT_SECONDS, abs=BUSY_SECONDS)


def test_an_idle_socket_lives(carryon: Carryon, idle: Listener, waiting: Listener, origin: Origin) -> None:
    waiting.wait_for(lambda frame: frame.at > waiting.frames()[0].at)  # so it was idle for at least 15 s
    assert idle.open
    assert idle.frames() == []
    client = Client(carryon.service.url, idle_token(carryon))
    client.start(origin.add("/woken", b"woken"), "woken")
    assert idle.wait_for_end("woken").status == "STREAM_COMPLETED"


def idle_token(carryon: Carryon) -> str:
    return carryon.user("idle").token
