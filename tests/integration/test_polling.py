"""Polls that find nothing new, on the real broker: what stands is told, and nothing else."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.conf import settings

from config import polling
from config.edge import Message, Receive, Scope, Send
from tasks_api import polls
from transfers import redis as courtesy

ETAG = '"the-etag"'
TOPIC = "user.1"


@pytest.fixture(autouse=True)
def client(broker: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """The server, which no earlier test has found to be away."""
    monkeypatch.setattr(polls, "_redis", courtesy.Redis())
    with redis.Redis.from_url(broker, protocol=2) as client:
        yield client


async def _last(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"all of it"})


def scope_of(path: str = "/api/v1/tasks/download/1/", method: str = "GET", **headers: str) -> Scope:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": named,
    }


def key_of(scope: Scope) -> str:
    return polls.note_key(scope["raw_path"], scope["query_string"], scope["headers"])


def ask(scope: Scope) -> list[Message]:
    """What is sent in answer to the request."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError

    async def asking() -> None:
        polling._script.cache_clear()
        try:
            await polling.polling(_last)(scope, receive, send)
        finally:
            await polling._script().registered_client.aclose()

    asyncio.run(asking())
    return sent


def status(scope: Scope) -> int:
    found: int = ask(scope)[0]["status"]
    return found


@pytest.fixture
def token() -> str:
    """Of a user that no other test has."""
    return uuid.uuid4().hex


@pytest.fixture
def noted(token: str) -> Callable[..., Scope]:
    """Ask as the view does, and note its answer."""

    def note(known: str = ETAG) -> Scope:
        scope = scope_of(authorization=f"Bearer {token}", if_none_match=known)
        poll = polls.begin(key_of(scope), TOPIC)
        assert poll is not None
        poll.note(ETAG)
        return scope

    return note


def test_what_stands_is_not_asked_for_again(noted: Callable[..., Scope]) -> None:
    answer = ask(noted())
    assert answer[0]["status"] == 304
    assert dict(answer[0]["headers"]) == {b"etag": ETAG.encode(), b"cache-control": b"private, no-cache"}
    assert answer[1:] == [{"type": "http.response.body", "body": b""}]


@pytest.mark.parametrize("known", ['"other"', "", "*x", '"the-etag'])
def test_who_has_something_else_gets_all(noted: Callable[..., Scope], known: str) -> None:
    assert status(noted(known)) == 200


@pytest.mark.parametrize("known", [f'"a", {ETAG}', f"W/{ETAG}", f'W/"a",W/{ETAG} , "b"'])
def test_any_of_several_is_enough(noted: Callable[..., Scope], known: str) -> None:
    assert status(noted(known)) == 304


def test_what_changes_is_asked_for_again(noted: Callable[..., Scope]) -> None:
    scope = noted()
    polls.changed(["user.3", "staff"])
    assert status(scope) == 304
    polls.changed(["user.3", TOPIC])
    assert status(scope) == 200


def test_what_changes_while_the_answer_is_made_is_not_noted_for_long(token: str) -> None:
    scope = scope_of(authorization=token, if_none_match=ETAG)
    poll = polls.begin(key_of(scope), TOPIC)
    polls.changed([TOPIC])
    assert poll is not None
    poll.note(ETAG)
    assert status(scope) == 200


@pytest.mark.parametrize(
    "other",
    [
        {"authorization": "Bearer another"},
        {"accept_language": "en"},
        {"cookie": "sessionid=1"},
        {"x_access_token": "another"},
        {"origin": "https://elsewhere.test"},
    ],
    ids=str,
)
def test_a_note_is_for_one_user_and_one_form_alone(
    noted: Callable[..., Scope], token: str, other: dict[str, str]
) -> None:
    noted()
    assert status(scope_of(**{"authorization": f"Bearer {token}", **other}, if_none_match=ETAG)) == 200


@pytest.mark.parametrize("change", [{"method": "PATCH"}, {"method": "HEAD"}, {"path": "/api/v1/tasks/download/2/"}])
def test_a_note_is_for_one_request_alone(noted: Callable[..., Scope], token: str, change: dict[str, str]) -> None:
    noted()
    assert status(scope_of(**change, authorization=f"Bearer {token}", if_none_match=ETAG)) == 200


def test_paths_that_nobody_polls_are_left_alone(token: str) -> None:
    scope = scope_of("/files/", authorization=token, if_none_match=ETAG)
    assert status(scope) == 200
    assert polls.KEY not in scope


def test_a_server_that_has_forgotten_everything_is_no_harm(noted: Callable[..., Scope], client: redis.Redis) -> None:
    scope = noted()
    polls.changed([TOPIC])
    scope = noted()
    assert status(scope) == 304
    client.delete(*(key for key in client.keys("carryon:generation:*")))
    assert status(scope) == 200
    scope = noted()
    client.flushdb()
    assert status(scope) == 200


def test_notes_are_soon_forgotten(noted: Callable[..., Scope], client: redis.Redis) -> None:
    client.flushdb()
    noted()
    assert [0 < client.ttl(key) <= polls.NOTE_SECONDS for key in client.keys("carryon:poll:*")] == [True]
    polls.changed([TOPIC])
    assert all(client.ttl(key) > polls.NOTE_SECONDS for key in client.keys("carryon:generation:*"))


def test_a_server_that_is_away_is_asked_once_in_a_while(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    async def fail(**options: Any) -> None:
        asked.append(options)
        raise redis.ConnectionError

    monkeypatch.setattr(polling, "_script", lambda: fail)
    answering = polling.polling(_last)
    answers: list[Message] = []

    async def send(message: Message) -> None:
        answers.append(message)

    async def poll() -> None:
        for _ in range(3):
            await answering(scope_of(authorization=token, if_none_match=ETAG), _nothing, send)

    asyncio.run(poll())
    assert [answer["status"] for answer in answers if "status" in answer] == [200] * 3
    assert len(asked) == 1


class _Slow:
    """A script that knows two keys, and takes its time."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.asked: list[list[str]] = []
        self._failure = failure

    async def __call__(self, *, keys: list[str]) -> list[bytes | None]:
        self.asked.append(keys)
        await asyncio.sleep(0.02)
        if self._failure:
            raise self._failure
        return [b"of-" + key.encode() if key in ("a", "b") else None for key in keys]


def test_what_is_asked_meanwhile_is_asked_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    script = _Slow()
    monkeypatch.setattr(polling, "_script", lambda: script)

    async def asking() -> list[str | None]:
        notes = polling._Notes()
        first = asyncio.create_task(notes.standing("a"))
        await asyncio.sleep(0.01)
        later = [asyncio.create_task(notes.standing(key)) for key in ("b", "c", "a", "b")]
        await asyncio.sleep(0)
        later.pop().cancel()  # who leaves takes the answer from nobody else
        return [*await asyncio.gather(first, *later), await notes.standing("b")]

    assert asyncio.run(asking()) == ["of-a", "of-b", None, "of-a", "of-b"]
    assert script.asked == [["a"], ["b", "c", "a"], ["b"]]


def test_nobody_waits_for_a_question_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "_script", lambda: _Slow(ZeroDivisionError()))

    async def asking() -> list[Any]:
        notes = polling._Notes()
        polls = [notes.standing(key) for key in ("a", "b", "a")]
        answers = await asyncio.wait_for(asyncio.gather(*polls, return_exceptions=True), 5)
        return [*answers, *await asyncio.gather(notes.standing("a"), return_exceptions=True)]

    assert [type(answer) for answer in asyncio.run(asking())] == [ZeroDivisionError] * 4


async def _nothing() -> Message:
    raise AssertionError


def test_without_redis_nothing_is_noted_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = redis.Redis.from_url(f"unix://{settings.ENVIRONMENT.run_dir}/nobody.sock")
    monkeypatch.setattr(courtesy, "_client", lambda: nowhere)
    assert polls.begin("carryon:poll:x", TOPIC) is None
    polls.changed([TOPIC])
    polls.Poll("carryon:poll:x", {}).note(ETAG)
