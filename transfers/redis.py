"""Redis for what is courtesy and not truth: it is asked while it answers, and nobody waits for it while it does not."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import redis
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 0.5
"""How long Redis may take to answer: a transfer, its heartbeat or a request waits for it."""
AWAY_SECONDS = 5.0
"""How long Redis is left alone after it failed to answer."""


class Absence:
    """Whether Redis failed to answer a little while ago."""

    def __init__(self) -> None:
        self._until = 0.0

    def __bool__(self) -> bool:
        """Whether nobody should ask."""
        return time.monotonic() < self._until

    def begin(self, error: redis.RedisError) -> None:
        """It has just failed to answer."""
        if not self:
            log.debug("redis is away", error=type(error).__name__)
        self._until = time.monotonic() + AWAY_SECONDS

    def end(self) -> None:
        """It has just answered."""
        self._until = 0.0


class Redis:
    """Redis for as long as it answers; after a failure nobody asks it again for a while."""

    def __init__(self) -> None:
        self._away = Absence()

    def ask(self, question: Callable[[redis.Redis], Any]) -> Any:
        """What Redis answers to the question; None while it is away."""
        return None if self._away else self.ask_again(question)

    def ask_again(self, question: Callable[[redis.Redis], Any]) -> Any:
        """What Redis answers, asked even if it has failed to only just now; None if it fails to again."""
        try:
            answer = question(_client())
        except redis.RedisError as error:
            self._away.begin(error)
            return None
        self._away.end()
        return answer


def options() -> dict[str, Any]:
    """Keyword arguments of a client, of either kind, that gives up soon."""
    return {
        **settings.REDIS_OPTIONS,
        "socket_timeout": PATIENCE_SECONDS,
        "socket_connect_timeout": PATIENCE_SECONDS,
    }


@functools.cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, **options(), retry=Retry(NoBackoff(), retries=0))
