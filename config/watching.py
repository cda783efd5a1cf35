"""What is seen of every request from outside all else: its id, its answer, how long that took; and open sockets."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from config import tracing
from config.edge import Application, Message, Receive, Scope, Send
from config.metrics import families
from transfers import tally
from transfers.tally import Counted

EDGE = "edge"
"""What is called the view of answers that no view gave: `/livez`, unchanged polls, refusals before Django."""
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_STARTS = frozenset(("http.response.start", "websocket.accept", "websocket.http.response.start"))


class Watch:
    """An application seen from outside; `sockets` is how many WebSockets it has open."""

    def __init__(self, application: Application) -> None:
        self.sockets = 0
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the request its id, and count its answer."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        began = time.perf_counter()
        found = tracing.request_id(_offered(scope))
        structlog.contextvars.bind_contextvars(**{tracing.REQUEST_ID: found})
        is_open = False

        async def watched(message: Message) -> None:
            nonlocal is_open
            if message["type"] in _STARTS:
                headers = [pair for pair in message.get("headers", ()) if pair[0] != tracing.HEADER]
                headers.append((tracing.HEADER, found.encode()))
                message["headers"] = headers
                if message["type"] == "http.response.start":
                    _count(scope, message["status"], time.perf_counter() - began)
                elif message["type"] == "websocket.accept":
                    is_open = True
                    self.sockets += 1
            await send(message)

        try:
            await self._application(scope, receive, watched)
        finally:
            self.sockets -= is_open


def noting_view(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Django's middleware that leaves the view's name in the scope that the request came from."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        try:
            return get_response(request)
        finally:
            scope = request.META.get("asgi.scope")
            if scope is not None:
                scope[tracing.VIEW] = tracing.view_of(request.resolver_match)

    return middleware


def _offered(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == tracing.HEADER), "")


def _count(scope: Scope, status: int, seconds: float) -> None:
    method = scope["method"] if scope["method"] in _METHODS else "other"
    answered, within, took = _counted(scope.get(tracing.VIEW, EDGE), method, status, families.bucket(seconds))
    tally.add_all((answered, 1), (within, 1), (took, int(seconds * families.MICROSECONDS)))


@functools.lru_cache(maxsize=4096)
def _counted(view: str, method: str, status: int, bucket: str) -> tuple[Counted, Counted, Counted]:
    """The names of what an answer counts for; few enough, and made often enough, to be kept."""
    labels = {"view": view, "method": method}
    return (
        tally.counted("requests", status=str(status), **labels),
        tally.counted(f"{families.DURATIONS}_bucket", le=bucket, **labels),
        tally.counted(f"{families.DURATIONS}_sum", **labels),
    )
