"""Every request has an id, in and out, and is counted by words of ours."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog

from config.edge import Message, Receive, Scope, Send
from config.tracing import VIEW
from config.watching import EDGE, Watch
from transfers import tally

SOUND = "req-1_2.3"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    found: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(
        tally, "add_all", lambda *counts: found.extend((name, dict(labels)) for (name, labels), _ in counts)
    )
    return found


def exchange(application: Any, *messages: Message, kind: str = "http", **scope: Any) -> tuple[list[Message], Watch]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    watch = Watch(application)
    asked = {"type": kind, "method": "GET", "path": "/", "headers": [], **scope}
    asyncio.run(watch(asked, receive, send))
    return sent, watch


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    assert structlog.contextvars.get_contextvars()["request_id"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-request-id", b"of the view")]})


def told(sent: list[Message]) -> list[str]:
    return [value.decode() for name, value in sent[0]["headers"] if name == b"x-request-id"]


@pytest.mark.usefixtures("counted")
def test_a_sound_id_is_taken_and_given_back() -> None:
    sent, _ = exchange(answering, headers=[(b"x-request-id", SOUND.encode())])

    assert told(sent) == [SOUND]


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize("bad", [b"", b"x" * 65, b"a b", b"a\nb", b"<script>", b"\xff", b"P-77/x"])
def test_any_other_is_replaced(bad: bytes) -> None:
    sent, _ = exchange(answering, headers=[(b"x-request-id", bad)])

    [found] = told(sent)
    assert len(found) == 32
    assert found.isalnum()


@pytest.mark.usefixtures("counted")
def test_each_request_has_another() -> None:
    assert told(exchange(answering)[0]) != told(exchange(answering)[0])


def test_answers_are_counted_by_view_method_and_status(counted: list[tuple[str, dict[str, str]]]) -> None:
    async def view(scope: Scope, receive: Receive, send: Send) -> None:
        scope[VIEW] = "upload-part"
        await send({"type": "http.response.start", "status": 409, "headers": []})

    exchange(view, method="PUT")

    assert ("requests", {"view": "upload-part", "method": "PUT", "status": "409"}) in counted


def test_a_clients_own_words_are_no_labels(counted: list[tuple[str, dict[str, str]]]) -> None:
    exchange(answering, method="P-77", path="/cases/P-77")

    assert ("requests", {"view": EDGE, "method": "other", "status": "200"}) in counted
    assert "P-77" not in repr(counted)


@pytest.mark.usefixtures("counted")
def test_open_sockets_are_counted_while_they_are_open() -> None:
    seen = []

    async def socket(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        seen.append(watch.sockets)
        raise ConnectionError

    watch = Watch(socket)
    with pytest.raises(ConnectionError):
        asyncio.run(watch({"type": "websocket", "path": "/", "headers": []}, _nothing, _nowhere))

    assert (seen, watch.sockets) == ([1], 0)


async def _nothing() -> Message:
    return {}


async def _nowhere(message: Message) -> None:
    assert message
