"""Polls that find nothing new, on the real broker: what stands is told, and nothing else."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from django.http import HttpRequest
from django.test import Client
from knox.models import AuthToken

from config import authentication, polling
from config.edge import Message, Receive, Scope, Send
from config.redis import embedded_socket
from tasks_api import polls
from tasks_api.polls import Poll
from tests.broker import running_broker
from tests.integration.conftest import Web
from tests.servers import manage, web_server
from tests.service import wait_until
from transfers import redis as courtesy

ETAG = '"the-etag"'
TOPIC = "user.1"


@pytest.fixture(autouse=True)
def client(broker: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """The server, which no earlier test has found to be away."""
    monkeypatch.setattr(polls, "_redis", courtesy.Redis())
    monkeypatch.setattr(polls, "_untold", polls._Untold())
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


def begun(key: str, topic: str = TOPIC) -> Poll:
    """A poll by somebody who sees what is on the topic."""
    poll = polls.begin(key)
    seeing = poll and poll.seeing(topic)
    assert seeing is not None
    return seeing


@pytest.fixture
def token() -> str:
    """Of a user that no other test has."""
    return uuid.uuid4().hex


@pytest.fixture
def noted(token: str) -> Callable[..., Scope]:
    """Ask as the view does, and note its answer."""

    def note(known: str = ETAG) -> Scope:
        scope = scope_of(authorization=f"Bearer {token}", if_none_match=known)
        begun(key_of(scope)).note(ETAG)
        return scope

    return note


def test_what_stands_is_not_asked_for_again(noted: Callable[..., Scope]) -> None:
    answer = ask(noted())
    assert answer[0]["status"] == 304
    headers = dict(answer[0]["headers"])
    assert headers.pop(b"vary").decode().split(", ") == list(polls.VARY)
    assert headers == {b"etag": ETAG.encode(), b"cache-control": b"private, no-cache"}
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
    poll = begun(key_of(scope))
    polls.changed([TOPIC])
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


@contextmanager
def out_of_reach() -> Iterator[None]:
    """The server, which others may reach, is nowhere for what this process tells it and notes."""
    nowhere = redis.Redis.from_url(f"unix://{settings.ENVIRONMENT.run_dir}/nobody.sock")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(courtesy, "_client", lambda: nowhere)
        yield


def test_without_redis_nothing_is_noted_and_nothing_fails() -> None:
    with out_of_reach():
        assert polls.begin("carryon:poll:x") is None
        polls.changed([TOPIC])
        Poll("carryon:poll:x").note(ETAG)


# What the server could not be told ------------------------------------------------------------------------------------


def test_what_could_not_be_told_stands_for_nobody_here_and_is_told_as_soon_as_it_can_be(
    noted: Callable[..., Scope],
) -> None:
    scope = noted()
    with out_of_reach():
        polls.changed([TOPIC])
        assert status(scope) == 200
    wait_until(lambda: not polls.is_behind(), 5)
    assert status(scope) == 200
    noted()
    assert status(scope) == 304, "at once: the server, which has answered, is not left alone any longer"


def test_what_is_not_even_tried_to_be_told_is_told_too(noted: Callable[..., Scope]) -> None:
    scope = noted()
    with out_of_reach():
        assert polls.begin("carryon:poll:x") is None
    polls.changed([TOPIC])
    assert status(scope) == 200
    wait_until(lambda: not polls.is_behind(), 5)
    assert status(scope) == 200


def test_nothing_is_noted_while_a_change_is_untold(
    token: str, monkeypatch: pytest.MonkeyPatch, client: redis.Redis
) -> None:
    key = key_of(scope_of(authorization=token))
    poll = begun(key)
    monkeypatch.setattr(polls, "is_behind", lambda: True)
    poll.note(ETAG)
    assert client.get(key) is None


def test_what_changes_again_while_it_is_told_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[frozenset[str]] = []
    answers = iter([None, [True], [True]])

    def ask_again(renewal: Any) -> Any:
        told.append(renewal.topics)
        if len(told) == 2:
            untold.add(["b", "c"])
        return next(answers)

    untold = polls._Untold()
    monkeypatch.setattr(polls._redis, "ask_again", ask_again)
    monkeypatch.setattr(polls, "RETRY_SECONDS", 0)
    untold.add(["a", "b"])
    wait_until(lambda: not untold, 5)
    assert told == [{"a", "b"}, {"a", "b"}, {"b", "c"}]


@dataclass(frozen=True)
class Caller:
    """A client of a running web process."""

    url: str
    token: str

    def asks(self, method: str, path: str, known: str = "", **fields: Any) -> requests.Response:
        headers = {"HTTP_TOKEN": self.token} | ({"If-None-Match": known} if known else {})
        return requests.request(method, f"{self.url}{path}", data=fields, headers=headers, timeout=10)


def test_a_broker_that_is_killed_and_comes_back_makes_no_poll_hear_of_what_was(tmp_path: Path) -> None:
    folder, socket = tmp_path / "broker", embedded_socket(tmp_path / "run")
    uploads = "/api/v1/tasks/upload/pbulic/"
    with web_server(tmp_path) as url:
        ann = Caller(url, manage(tmp_path, "create_token", "--user", "ann").splitlines()[-1])
        with running_broker(folder, socket) as server:
            task = ann.asks("POST", uploads, series_id=1, uuid="u", source_name="film.mov").json()["data"]
            path = f"{uploads}{task['id']}"
            known = ann.asks("GET", path).headers["ETag"]
            assert ann.asks("GET", path, known).status_code == 304
            server.kill()
            server.wait()
        assert ann.asks("PATCH", path, status=1).status_code == 200
        with running_broker(folder, socket):
            for _ in range(20):
                fresh = ann.asks("GET", path, known)
                assert fresh.status_code == 200
                assert fresh.json()["data"]["status"] == 1
                time.sleep(0.1)


def test_what_stands_is_told_with_the_headers_of_what_is_answered(web: Web) -> None:
    ann, path = Caller(web.url, web.token), "/api/v1/users/me"
    whole = ann.asks("GET", path)
    for told in (ann.asks("GET", path, '"other"'), ann.asks("GET", path, whole.headers["ETag"])):
        same = ("ETag", "Cache-Control", "Vary")
        assert [told.headers[name] for name in same] == [whole.headers[name] for name in same]
    assert told.status_code == 304


# Users and their tokens -----------------------------------------------------------------------------------------------


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann")


def _rename(user: User) -> None:
    user.first_name = "Ann"
    user.save(update_fields=["first_name"])


def _revoke(user: User) -> None:
    AuthToken.objects.filter(user=user).delete()


def _issue(user: User) -> None:
    AuthToken.objects.create(user)  # type: ignore[no-untyped-call]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", [_rename, _revoke, User.delete])
def test_what_becomes_of_a_user_or_a_token_is_asked_for_again(
    act: Callable[[User], object], noted: Callable[..., Scope], ann: User
) -> None:
    _issue(ann)
    scope = noted()
    with transaction.atomic():
        act(ann)
        assert status(scope) == 304, "nothing is committed yet"
    assert status(scope) == 200


@pytest.mark.django_db(transaction=True)
def test_a_login_costs_nobody_a_note(noted: Callable[..., Scope], ann: User) -> None:
    scope = noted()
    _issue(ann)
    user_logged_in.send(sender=User, request=HttpRequest(), user=ann)
    User.objects.create_user("bob")
    assert status(scope) == 304


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", [None, _rename, _revoke])
def test_what_becomes_of_a_user_or_a_token_while_it_is_asked_for_is_not_noted_for_long(
    act: Callable[[User], object] | None, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = AuthToken.objects.create(ann)  # type: ignore[no-untyped-call]
    real = authentication.live_token

    def outrun(text: str) -> AuthToken:
        found = real(text)
        if act:
            act(User.objects.get(pk=ann.pk))
        return found

    monkeypatch.setattr(authentication, "live_token", outrun)
    scope = scope_of("/api/v1/users/me", authorization=f"Bearer {token}")
    meta: dict[str, Any] = {"asgi.scope": {polls.KEY: key_of(scope)}}
    answer = Client().get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"}, **meta)
    assert answer.json()["data"]["first_name"] == ""
    asked = scope_of("/api/v1/users/me", authorization=f"Bearer {token}", if_none_match=answer["ETag"])
    assert status(asked) == (200 if act else 304)
