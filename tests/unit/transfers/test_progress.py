"""What is told of transfers costs those who work nothing, and no more than so much memory."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from transfers import progress
from transfers.progress import MAX_PENDING, ProgressEvent

EVENT = ProgressEvent("download_stream", 1, {})


class Layer:
    """A channel layer that sends nothing before it may."""

    def __init__(self) -> None:
        self.may_send = threading.Event()
        self.sent = 0

    async def group_send(self, _group: str, _message: dict[str, Any]) -> None:
        while not self.may_send.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.01)
        self.sent += 1


class SlowPublisher(progress._Publisher):
    """Others get their turn between any look at the count and its change."""

    count = 0

    @property
    def _pending(self) -> int:
        count = self.count
        time.sleep(0.0005)
        return count

    @_pending.setter
    def _pending(self, count: int) -> None:
        self.count = count


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> Layer:
    layer = Layer()
    monkeypatch.setattr(progress, "get_channel_layer", lambda: layer)
    return layer


def end(publisher: progress._Publisher) -> None:
    """Let it send the rest, and end its thread."""
    deadline = time.monotonic() + 10
    while publisher._pending:
        assert time.monotonic() < deadline, f"{publisher._pending} of the frames are never sent"
        time.sleep(0.01)
    assert publisher._loop is not None
    publisher._loop.call_soon_threadsafe(publisher._loop.stop)
    while publisher._loop.is_running():
        time.sleep(0.01)
    publisher._loop.close()


def test_many_threads_lose_no_count(layer: Layer) -> None:
    layer.may_send.set()
    publisher = SlowPublisher()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(publisher.publish, [EVENT] * 80))
    end(publisher)
    assert (publisher._pending, layer.sent) == (0, 160)


def test_only_so_many_frames_wait(layer: Layer) -> None:
    publisher = progress._Publisher()
    for _ in range(MAX_PENDING + 50):
        publisher.publish(EVENT)
    layer.may_send.set()
    end(publisher)
    assert layer.sent == 2 * MAX_PENDING


def test_nobody_hears_an_event_twice() -> None:
    groups = ProgressEvent("task_update", 7, {}, others=(9, 7, 9)).groups
    assert groups == (progress.group_of(7), progress.group_of(9), progress.EVERYBODY)
