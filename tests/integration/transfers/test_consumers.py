"""What a listener on `/ws/events/` is told: its own, what its filters let through, and no news older than the last."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, cast

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, connections
from pytest_django.fixtures import Settings

from tests.integration.transfers.rows import in_seconds, new_download, new_user
from transfers import consumers, progress
from transfers.consumers import EventsConsumer
from transfers.models import Download
from transfers.progress import ProgressEvent

pytestmark = pytest.mark.django_db(transaction=True)

QUIET_SECONDS = 0.05


@pytest.fixture(autouse=True)
def layer_in_memory(settings: Settings) -> None:
    """Messages that stay in the process; the real server is for the tests of the whole service."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


class Listener:
    """One open socket."""

    def __init__(self, communicator: Any) -> None:
        self._communicator = communicator

    async def text(self) -> list[Any]:
        """What is in the next frame."""
        message = await self._communicator.receive_output(timeout=5)
        assert message["type"] == "websocket.send"
        told: list[Any] = json.loads(message["text"])
        return told

    async def frame(self) -> dict[str, Any]:
        """The next frame's event, its form being checked."""
        name, inner = await self.text()
        assert name == "download_stream"
        assert isinstance(inner, str)
        body: dict[str, Any] = json.loads(inner)
        assert set(body) == {"cid", "fid", "message", "id", "revision"}
        return body

    async def fids(self, count: int) -> list[str]:
        """Of the next so many frames, and no more come."""
        found = [(await self.frame())["fid"] for _ in range(count)]
        await self.hears_nothing()
        return found

    async def hears_nothing(self, seconds: float = QUIET_SECONDS) -> None:
        assert await self._communicator.receive_nothing(timeout=seconds)

    async def is_closed(self) -> int:
        """Whatever is sent before, the code it is closed with."""
        async with asyncio.timeout(5):
            while (message := await self._communicator.receive_output(timeout=5))["type"] == "websocket.send":
                pass
        assert message["type"] == "websocket.close"
        return int(message["code"])

    async def says(self, **data: str | bytes) -> None:
        await self._communicator.send_input({"type": "websocket.receive", **data})


async def always() -> bool:
    return True


@asynccontextmanager
async def listening(
    user: User, query: str = "", still_valid: Callable[[], Awaitable[bool]] = always
) -> AsyncIterator[Listener]:
    scope = {
        "type": "websocket",
        "path": "/ws/events/",
        "query_string": query[1:].encode(),
        "headers": [],
        "user": user,
        "carryon_still_valid": still_valid,
    }
    communicator = cast("Any", ApplicationCommunicator)(
        cast("Any", EventsConsumer).as_asgi(), scope
    )  # they are untyped
    await communicator.send_input({"type": "websocket.connect"})
    assert await communicator.receive_output(timeout=5) == {"type": "websocket.accept", "subprotocol": None}
    try:
        yield Listener(communicator)
    finally:
        await communicator.send_input({"type": "websocket.disconnect", "code": 1000})
        began = time.monotonic()
        await communicator.wait(timeout=5)
        assert time.monotonic() - began < 2, "leaving takes no time"


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        try:
            await scenario()
        finally:
            await database_sync_to_async(connections.close_all)()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert others == [], "a listener that has left leaves nothing running"

    asyncio.run(whole())


async def tell(event: ProgressEvent) -> None:
    """What the publisher does with an event."""
    layer = get_channel_layer()  # type: ignore[no-untyped-call]
    for group in event.groups:
        await layer.group_send(group, {"type": "progress", "event": asdict(event)})


def a_state(row: Download, *, revision: int, state: str = "running") -> ProgressEvent:
    return progress.download_state(
        Download(
            pk=row.pk,
            user_id=row.user_id,
            cid=row.cid,
            fid=row.fid,
            state=state,
            revision=revision,
            save_path="/d/film.mov",
        )
    )


FILTERS = {
    "none": ("", {"a1", "a2", "b1", "é&="}),
    "cid": ("?cid=a", {"a1", "a2"}),
    "fid": ("?fid=b1", {"b1"}),
    "both": ("?cid=a&fid=a2", {"a2"}),
    "both-in-another-order": ("?fid=a2&cid=a", {"a2"}),
    "that-do-not-meet": ("?cid=b&fid=a1", set()),
    "unknown": ("?cid=none", set()),
    "encoded": ("?fid=%C3%A9%26%3D", {"é&="}),
    "empty-ones": ("?cid=&fid=", {"a1", "a2", "b1", "é&="}),
    "another-parameter": ("?state=failed&cid=b", {"b1"}),
    "twice": ("?cid=a&cid=b", {"a1", "a2"}),
    "no-pattern": ("?cid=%25", set()),
    "nul": ("?cid=%00", set()),
}


@pytest.mark.parametrize(("query", "fids"), FILTERS.values(), ids=FILTERS)
def test_filters_narrow_the_snapshot_and_the_events(query: str, fids: set[str]) -> None:
    ann = new_user("ann")
    rows = [new_download(ann, cid=cid, fid=fid) for cid, fid in (("a", "a1"), ("a", "a2"), ("b", "b1"), ("c", "é&="))]

    async def scenario() -> None:
        async with listening(ann, query) as listener:
            assert set(await listener.fids(len(fids))) == fids
            for row in rows:
                await tell(a_state(row, revision=1))
            assert set(await listener.fids(len(fids))) == fids

    run(scenario)


def test_everybody_hears_their_own_and_staff_hear_all() -> None:
    ann, bob, root = new_user("ann"), new_user("bob"), new_user("root", is_staff=True)
    mine, theirs = new_download(ann, fid="mine"), new_download(bob, fid="theirs")

    async def scenario() -> None:
        async with listening(ann) as of_ann, listening(bob) as of_bob, listening(root) as of_root:
            assert await of_ann.fids(1) == ["mine"]
            assert await of_bob.fids(1) == ["theirs"]
            assert await of_root.fids(2) == ["mine", "theirs"]
            for row in (theirs, mine):
                await tell(a_state(row, revision=1))
            assert await of_ann.fids(1) == ["mine"]
            assert await of_bob.fids(1) == ["theirs"]
            assert await of_root.fids(2) == ["theirs", "mine"]

    run(scenario)


def test_a_frame_to_the_letter() -> None:
    ann = new_user("ann")
    row = new_download(ann, cid="studio", fid="film-1", bytes_done=30169257, size=165051921, state="running")

    async def scenario() -> None:
        async with listening(ann) as listener:
            assert await listener.frame() == {
                "cid": "studio",
                "fid": "film-1",
                "message": {
                    "action": "stream_status",
                    "status": "STREAM_RUNNING",
                    "data": {"downloaded": 30169257, "totalSize": 165051921},
                },
                "id": str(row.pk),
                "revision": 0,
            }
            await tell(progress.download_began(row, 7))
            assert (await listener.frame())["message"] == {"Range": "bytes=7-"}
            await tell(a_state(row, revision=1, state="completed"))
            assert (await listener.frame())["message"] == {
                "action": "stream_status",
                "status": "STREAM_COMPLETED",
                "data": {"savePath": "/d/film.mov"},
            }

    run(scenario)


def test_an_end_is_told_once_and_nothing_older_after_it() -> None:
    ann = new_user("ann")
    row = new_download(ann)

    async def scenario() -> None:
        async with listening(ann) as listener:
            await listener.fids(1)
            for revision, state in ((3, "running"), (5, "failed"), (5, "failed"), (4, "running"), (4, "stopped")):
                await tell(a_state(row, revision=revision, state=state))
            assert [(await listener.frame())["revision"] for _ in range(2)] == [3, 5]
            await listener.hears_nothing()
            for revision, state in ((6, "running"), (7, "completed")):  # it was started again
                await tell(a_state(row, revision=revision, state=state))
            assert [(await listener.frame())["revision"] for _ in range(2)] == [6, 7]

    run(scenario)


def test_an_event_that_tells_no_state_concerns_whom_it_names() -> None:
    ann, bob, eve, root = new_user("ann"), new_user("bob"), new_user("eve"), new_user("root", is_staff=True)
    event = ProgressEvent("task_update", ann.pk, {"kind": "download"}, others=(bob.pk, ann.pk, root.pk))

    async def scenario() -> None:
        async with (
            listening(ann) as of_ann,
            listening(bob) as of_bob,
            listening(eve) as of_eve,
            listening(root) as of_root,
        ):
            await tell(event)
            for listener in (of_ann, of_bob, of_root):
                assert await listener.text() == ["task_update", '{"kind":"download"}']
                await listener.hears_nothing()
            await of_eve.hears_nothing()

    run(scenario)


def test_an_end_of_one_is_no_end_of_another() -> None:
    ann = new_user("ann")
    one, two = new_download(ann, fid="one"), new_download(ann, fid="two")

    async def scenario() -> None:
        async with listening(ann) as listener:
            await listener.fids(2)
            await tell(a_state(one, revision=9, state="failed"))
            await tell(a_state(two, revision=1))
            assert await listener.fids(2) == ["one", "two"]

    run(scenario)


def test_the_present_state_is_sent_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "SNAPSHOT_SECONDS", 0.1)
    ann = new_user("ann")
    row = new_download(ann, state="running")

    async def scenario() -> None:
        async with listening(ann) as listener:
            frames = [await listener.frame() for _ in range(3)]
            assert {frame["message"]["status"] for frame in frames} == {"STREAM_RUNNING"}
            await database_sync_to_async(row.mark_failed)("x", "it answered 404")  # and the event of it was lost
            while (frame := await listener.frame())["message"]["status"] == "STREAM_RUNNING":
                pass
            assert frame["message"]["data"]["error"] == "Error: it answered 404"
            await listener.hears_nothing(0.3)  # an end is told once

    run(scenario)


def test_who_may_listen_no_more_is_told_so_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "SNAPSHOT_SECONDS", 0.1)
    ann = new_user("ann")
    row = new_download(ann)

    async def still_active() -> bool:
        return await User.objects.filter(pk=ann.pk, is_active=True).aexists()

    async def scenario() -> None:
        async with listening(ann, still_valid=still_active) as listener:
            await listener.frame()
            await listener.frame()
            await User.objects.aupdate(is_active=False)
            assert await listener.is_closed() == 4401
            await tell(a_state(row, revision=1))
            await listener.hears_nothing(0.3)

    run(scenario)


def test_a_database_that_is_away_for_a_while_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "SNAPSHOT_SECONDS", 0.1)
    ann = new_user("ann")
    new_download(ann)
    failures = [OperationalError("server closed the connection"), InterfaceError("connection already closed")]

    async def failing_twice() -> bool:
        if failures:
            raise failures.pop()
        return True

    async def scenario() -> None:
        async with listening(ann, still_valid=failing_twice) as listener:
            for _ in range(2):
                await listener.frame()
            assert not failures

    run(scenario)


def test_what_ended_long_ago_is_told_to_who_asks_for_its_key() -> None:
    ann = new_user("ann")
    new_download(ann, cid="studio", fid="old", state="failed", ended_at=in_seconds(-3600))

    async def scenario() -> None:
        async with listening(ann) as listener:
            await listener.hears_nothing()
        async with listening(ann, "?fid=old") as listener:
            assert await listener.fids(1) == ["old"]

    run(scenario)


def test_whatever_a_listener_says_is_not_taken_amiss() -> None:
    ann = new_user("ann")
    row = new_download(ann, fid="mine")

    async def scenario() -> None:
        async with listening(ann) as listener:
            await listener.fids(1)
            for data in ({"text": "hello"}, {"text": "{"}, {"bytes": b"\xff\0"}, {"text": ""}):
                await listener.says(**data)
            await tell(a_state(row, revision=1))
            assert await listener.fids(1) == ["mine"]

    run(scenario)


def test_who_left_is_told_nothing_more() -> None:
    ann = new_user("ann")

    async def scenario() -> None:
        layer = get_channel_layer()  # type: ignore[no-untyped-call]
        async with listening(ann) as listener:
            await listener.hears_nothing()
            assert set(layer.groups) == {progress.group_of(ann.pk)}
        assert not layer.groups

    run(scenario)
