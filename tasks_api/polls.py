"""What pollers were last answered: kept in Redis for seconds, so that a poll which finds nothing new costs nothing.

An answer is noted with its ETag and the generation that its user's view had before the database was asked. Whatever
changes what users may see gives their views new generations, after its commit and before anybody is told of it. So a
note that still stands was made of what is still so. Without Redis nothing is noted, and the database is asked.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import redis
from django.contrib.auth.models import User

from transfers.redis import Redis

NOTE_SECONDS = 15
"""How long a note lasts: what was changed unnoticed (Redis was away, or has forgotten) shows after that time."""
_GENERATION_SECONDS = 60
"""Longer than any note that names the generation before it."""
_NOTE = "carryon:poll:{}"
_GENERATION = "carryon:generation:{}"
KEY = "carryon.poll"
"""Where the ASGI scope of a poll has the key that its answer is to be noted under."""
CACHE_CONTROL = "private, no-cache"
"""Kept by its user alone, who asks each time whether it is still so."""
STAFF = "staff"
VARYING = (
    *(b"authorization", b"x-access-token", b"token", b"http_token", b"cookie"),
    *(b"accept", b"accept-language", b"host", b"origin", b"sec-fetch-site"),
)
"""The headers that an answer may depend on."""

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
        if name in VARYING:
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
    fresh = {_GENERATION.format(topic): secrets.token_hex(8) for topic in topics}

    def renew(client: redis.Redis) -> object:
        with client.pipeline(transaction=False) as pipeline:
            for key, generation in fresh.items():
                pipeline.set(key, generation, ex=_GENERATION_SECONDS)
            return pipeline.execute()

    _redis.ask(renew)


@dataclass(frozen=True, slots=True)
class Poll:
    """A poll whose answer is worth noting: where, and the generations before the database was asked."""

    key: str
    generations: Mapping[str, str]

    def note(self, etag: str) -> None:
        """Note what it was answered with."""
        text = json.dumps({"etag": etag, "generations": dict(self.generations)})
        _redis.ask(lambda client: client.set(self.key, text, ex=NOTE_SECONDS))


def begin(key: str, topic: str) -> Poll | None:
    """A poll on the topic, begun before the database is asked; None while Redis is away."""
    generation = _GENERATION.format(topic)
    found = _redis.ask(lambda client: client.mget([generation]))
    return None if found is None else Poll(key, {generation: (found[0] or b"").decode()})
