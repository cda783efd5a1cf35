"""Answers `/readyz` and `/metrics` before Django: they work while threads, or the database, do not."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from prometheus_client import CONTENT_TYPE_LATEST

from config import tracing
from config.edge import Application, Receive, Scope, Send
from config.health.checks import KEEP_SECONDS
from config.health.report import Health
from config.metrics.access import may_read
from config.metrics.gather import Gathering

T = TypeVar("T")
READYZ = frozenset(("/readyz", "/readyz/"))
METRICS = frozenset(("/metrics", "/metrics/"))
_METHODS = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[bytes, bytes], ...] = ()


def answering(application: Application) -> Application:
    """Answer what is asked about the service itself, and leave the rest to `application`."""
    health = Health(is_logged=True)
    gathering = Gathering(health)
    readiness = _Shared(lambda: _readiness(health))
    numbers = _Shared(lambda: _numbers(gathering))

    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path not in READYZ and path not in METRICS:
            await application(scope, receive, send)
            return
        scope[tracing.VIEW] = path.strip("/")
        if scope["method"] not in _METHODS:
            await _send(_Answer(HTTPStatus.METHOD_NOT_ALLOWED, headers=((b"allow", b"GET, HEAD"),)), scope, send)
        elif path in READYZ:
            await _send(await readiness.answer(), scope, send)
        elif may_read(scope):
            await _send(await numbers.answer(), scope, send)
        else:
            await _send(_forbidden(), scope, send)

    return answered


class _Shared:
    """An answer that all who ask within a second get; there is one thread at it, however many they are."""

    def __init__(self, ask: Callable[[], _Answer]) -> None:
        self._ask = ask
        self._asking: asyncio.Task[_Answer] | None = None
        self._asked = float("-inf")

    async def answer(self) -> _Answer:
        """The answer, which is about a second old at most."""
        done = self._asking is not None and self._asking.done()
        if self._asking is None or (done and time.monotonic() - self._asked > KEEP_SECONDS):
            self._asking = asyncio.create_task(self._asked_anew())
        return await asyncio.shield(self._asking)  # others may wait for it too

    async def _asked_anew(self) -> _Answer:
        try:
            return await _apart(self._ask)
        finally:
            self._asked = time.monotonic()


def _readiness(health: Health) -> _Answer:
    report = health.report()
    status = HTTPStatus.OK if report.is_ready else HTTPStatus.SERVICE_UNAVAILABLE
    return _Answer(status, json.dumps(report.as_json()).encode(), "application/json")


def _numbers(gathering: Gathering) -> _Answer:
    return _Answer(HTTPStatus.OK, gathering.text(), CONTENT_TYPE_LATEST)


def _forbidden() -> _Answer:
    """The same for a wrong token, none, and an address that is not ours."""
    challenge = (b"www-authenticate", b'Bearer realm="carryon metrics"')
    return _Answer(HTTPStatus.UNAUTHORIZED, b"The numbers need METRICS_TOKEN.\n", headers=(challenge,))


async def _apart(ask: Callable[[], T]) -> T:
    """Wait for it in a thread of its own: the loop's pool is for others, and its threads would outlive a stop."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(found: T | None, failure: Exception | None) -> None:
        if answer.done():
            return
        if failure is not None:
            answer.set_exception(failure)
        else:
            answer.set_result(found)  # type: ignore[arg-type]

    def run() -> None:
        try:
            found = ask()
        except Exception as failure:  # noqa: BLE001 - raised again in the loop
            loop.call_soon_threadsafe(settle, None, failure)
        else:
            loop.call_soon_threadsafe(settle, found, None)

    threading.Thread(target=run, name="health", daemon=True).start()
    return await answer


async def _send(answer: _Answer, scope: Scope, send: Send) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        (b"cache-control", b"no-store"),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status.value, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})
