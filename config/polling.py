"""Answers polls that find nothing new in the event loop: one question to Redis, no thread, no database.

A 304 tells nobody anything but that what they have is still so, so it needs no other permission than the note, which is
found under the very credentials that its answer was given to.
"""

from __future__ import annotations

import functools
from http import HTTPStatus
from typing import Any

import redis.asyncio
from django.conf import settings
from django.utils.http import parse_etags

from config.edge import Application, Receive, Scope, Send
from tasks_api import polls
from transfers.redis import Absence, options

POLLED = "/api/v1/"


def polling(http: Application) -> Application:
    """Answer what is unchanged, and leave the rest to `http`."""
    notes = _Notes()

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        known = _known(scope)
        if known:
            key = polls.note_key(scope["raw_path"], scope["query_string"], scope["headers"])
            etag = await notes.standing(key)
            if etag is not None and etag in known:
                await _unchanged(etag, send)
                return
            scope[polls.KEY] = key
        await http(scope, receive, send)

    return answering


def _known(scope: Scope) -> list[str]:
    """The ETags that a poll says it has; none for other requests."""
    if scope["method"] != "GET" or not scope["path"].startswith(POLLED):
        return []
    lines = [value.decode("latin-1") for name, value in scope["headers"] if name == b"if-none-match"]
    return [etag.removeprefix("W/") for line in lines for etag in parse_etags(line)]


class _Notes:
    """The notes, for as long as Redis answers; after a failure nobody asks it again for a while."""

    def __init__(self) -> None:
        self._away = Absence()

    async def standing(self, key: str) -> str | None:
        """The ETag of what was answered under the key, if that is still so."""
        if self._away:
            return None
        try:
            etag = await _script()(keys=[key])
        except redis.RedisError as error:
            self._away.begin(error)
            return None
        return etag.decode() if etag else None


@functools.cache
def _script() -> Any:
    client = redis.asyncio.Redis.from_url(settings.REDIS_URL, **options())
    return client.register_script(polls.STANDING)


async def _unchanged(etag: str, send: Send) -> None:
    headers = [(b"etag", etag.encode()), (b"cache-control", polls.CACHE_CONTROL.encode())]
    await send({"type": "http.response.start", "status": HTTPStatus.NOT_MODIFIED.value, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
