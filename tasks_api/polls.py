"""What pollers were last answered: kept in Redis for seconds, so that a poll which finds nothing new costs nothing.

An answer is noted with its ETag and the generation that its user's view had before the database was asked. Whatever
changes what users may see gives their views new generations, after its commit and before anybody is told of it. So a
note that still stands was made of what is still so. Users and their tokens have one generation, from before it was
asked who the user is. Without Redis nothing is noted, and the database is asked.

Redis that is away keeps its notes and generations, also over a restart. What it could not be told of, it is told by a
thread as soon as it answers, and until then this process takes no note for standing and makes none. That leaves a
moment in which another process that reaches Redis sooner takes a note for standing that is not; and the rest of
`NOTE_SECONDS`, if the process that has to tell ends before it can.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import redis

from transfers.redis import Redis

if TYPE_CHECKING:  # the app's registration, which imports this, comes before any model
    from django.contrib.auth.models import User

NOTE_SECONDS = 15
"""How long a note lasts: what was changed and nobody told of shows after that time."""
_GENERATION_SECONDS = 60
"""Longer than any note that names the generation before it."""
_NOTE = "carryon:poll:{}"
_GENERATION = "carryon:generation:{}"
KEY = "carryon.poll"
"""Where the ASGI scope of a poll has the key that its answer is to be noted under."""
CACHE_CONTROL = "private, no-cache"
"""Kept by its user alone, who asks each time whether it is still so."""
STAFF = "staff"
PEOPLE = "people"
"""Users and their tokens: who may see anything at all, and as whom."""
VARY = (
    *("Accept", "Accept-Language", "Authorization", "Cookie", "HTTP_TOKEN", "Origin", "Sec-Fetch-Site", "Token"),
    "X-Access-Token",
)
"""The headers that an answer may depend on; besides `Host`, which is part of its address."""
_VARYING = frozenset(name.lower().encode() for name in (*VARY, "Host"))
RETRY_SECONDS = 0.1
"""How long Redis is left alone before it is told again what it could not be told."""

STANDING = """
local function standing(key)
  local note = redis.call('GET', key)
  if not note then return false end
  note = cjson.decode(note)
  for generation_key, generation in pairs(note.generations) do
    if (redis.call('GET', generation_key) or '') ~= generation then return false end
  end
  return note.etag
end
local etags = {}
for number, key in ipairs(KEYS) do etags[number] = standing(key) end
return etags
"""
"""Lua that tells the ETag of each note that still stands, and nil for the others."""

_redis = Redis()


def note_key(path: bytes, query: bytes, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Where the answer to such a GET is noted: nobody else's request has the same."""
    digest = hashlib.sha256(repr((path, query)).encode())
    for name, value in headers:
        if name in _VARYING:
            digest.update(repr((name, value)).encode())
    return _NOTE.format(digest.hexdigest())


def topic_of(user: User) -> str:
    """Whatever the user may see; staff may see everything."""
    return STAFF if user.is_staff else f"user.{user.pk}"


def topics_of(user_ids: Iterable[int]) -> set[str]:
    """Whatever these users may see, and staff with them."""
    return {STAFF, *(f"user.{user_id}" for user_id in user_ids)}


def changed(topics: Iterable[str]) -> None:
    """No note on these topics stands any more; to be called after the commit, and before anybody hears of it."""
    renewal = _Renewal(frozenset(topics))
    if _redis.ask(renewal) is None:
        _untold.add(renewal.topics)


def is_behind() -> bool:
    """Whether Redis has still to be told of a change, and no note can be trusted."""
    return bool(_untold)


@dataclass(frozen=True, slots=True)
class _Renewal:
    """New generations for these topics, as a question to Redis."""

    topics: frozenset[str]

    def __call__(self, client: redis.Redis) -> Any:
        with client.pipeline(transaction=False) as pipeline:
            for topic in self.topics:
                pipeline.set(_GENERATION.format(topic), secrets.token_hex(8), ex=_GENERATION_SECONDS)
            return pipeline.execute()


class _Untold:
    """The topics whose change Redis has still to be told of; while there are any, a thread tries to."""

    def __init__(self) -> None:
        self._topics: set[str] = set()
        self._thread: threading.Thread | None = None
        self._changing = threading.Lock()

    def __bool__(self) -> bool:
        return self._thread is not None

    def add(self, topics: Iterable[str]) -> None:
        """Have it told of these too."""
        with self._changing:
            self._topics.update(topics)
            if self._thread is None:
                self._thread = threading.Thread(target=self._tell, name="polls", daemon=True)
                self._thread.start()

    def _tell(self) -> None:
        while topics := self._next():
            if _redis.ask_again(_Renewal(topics)) is None:
                self.add(topics)
                time.sleep(RETRY_SECONDS)

    def _next(self) -> frozenset[str]:
        """All of them; the thread is over when there are none."""
        with self._changing:
            topics, self._topics = frozenset(self._topics), set()
            if not topics:
                self._thread = None
            return topics


_untold = _Untold()


@dataclass(frozen=True, slots=True)
class Poll:
    """A poll whose answer is worth noting: where, and the generations before the database was asked."""

    key: str
    generations: Mapping[str, str] = field(default_factory=dict)

    def seeing(self, topic: str) -> Poll | None:
        """The poll, of whose answer a part is about to be read that is on this topic; None while Redis is away."""
        generation = _GENERATION.format(topic)
        found = _redis.ask(lambda client: client.mget([generation]))
        return None if found is None else Poll(self.key, {**self.generations, generation: (found[0] or b"").decode()})

    def note(self, etag: str) -> None:
        """Note what it was answered with."""
        if not is_behind():
            text = json.dumps({"etag": etag, "generations": dict(self.generations)})
            _redis.ask(lambda client: client.set(self.key, text, ex=NOTE_SECONDS))


def begin(key: str) -> Poll | None:
    """A poll, of which it is not known yet whose it is; None while Redis is away."""
    return Poll(key).seeing(PEOPLE)
