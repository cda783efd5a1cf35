"""Answers polls that find nothing new in the event loop: one question to Redis, no thread, no database.

A 304 tells nobody anything but that what they have is still so, so it needs no other permission than the note, which is
found under the very credentials that its answer was given to.
"""

from __future__ import annotations

import asyncio
import functools
from http import HTTPStatus
from typing import Any, cast

import redis.asyncio
from django.conf import settings
from django.utils.http import parse_etags

from config.edge import Application, Headers, Receive, Scope, Send
from tasks_api import polls
from transfers.redis import Absence, options

POLLED = "/api/v1/"


def polling(http: Application) -> Application:
    """Answer what is unchanged, and leave the rest to `http`."""
    notes = _Notes()

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET" and scope["path"].startswith(POLLED) and not _for_another_origin(scope["headers"]):
            scope[polls.KEY] = key = polls.note_key(scope["raw_path"], scope["query_string"], scope["headers"])
            known = _known(scope["headers"])
            etag = await notes.standing(key) if known else None
            if etag is not None and etag in known and not polls.is_behind():
                await _unchanged(etag, send)
                return
        await http(scope, receive, send)

    return answering


def _for_another_origin(headers: Headers) -> bool:
    """Whether a page of another origin asks, which Django has to tell that it may read the answer."""
    return bool(settings.CORS_ALLOWED_ORIGINS) and any(name == b"origin" for name, _ in headers)


def _known(headers: Headers) -> list[str]:
    """The ETags that a poll says it has."""
    lines = [value.decode("latin-1") for name, value in headers if name == b"if-none-match"]
    return [etag.removeprefix("W/") for line in lines for etag in parse_etags(line)]


class _Notes:
    """The notes, for as long as Redis answers; after a failure nobody asks it again for a while.

    Polls that come while it is being asked are asked for together after that, over one connection. A question for each
    cost this process 90 us a poll with 16 at once, and this 56; with 256 230 and 118 (`make bench-tasks`).
    """

    def __init__(self) -> None:
        self._away = Absence()
        self._waiting: dict[str, asyncio.Future[str | None]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def standing(self, key: str) -> str | None:
        """The ETag of what was answered under the key, if that is still so."""
        if self._away:
            return None
        if key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().create_future()
        answer = self._waiting[key]
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(answer)  # others may wait for it too

    async def _ask(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, {}
            try:
                found = await self._found(list(asked))
            except Exception as failure:  # noqa: BLE001 - whatever it is, nobody shall wait for ever
                for answer in asked.values():
                    answer.set_exception(failure)
            else:
                for answer, etag in zip(asked.values(), found, strict=True):
                    answer.set_result(etag.decode() if etag else None)
        self._asking = None

    async def _found(self, keys: list[str]) -> list[bytes | None]:
        try:
            return cast("list[bytes | None]", await _script()(keys=keys))
        except redis.RedisError as error:
            self._away.begin(error)
            return [None] * len(keys)


@functools.cache
def _script() -> Any:
    client = redis.asyncio.Redis.from_url(settings.REDIS_URL, **options())
    return client.register_script(polls.STANDING)


async def _unchanged(etag: str, send: Send) -> None:
    told = {"ETag": etag, "Cache-Control": polls.CACHE_CONTROL, "Vary": ", ".join(polls.VARY)}
    headers = [(name.lower().encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": HTTPStatus.NOT_MODIFIED.value, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
