"""What stands between the server's socket and Django: it refuses or mends what no view should have to know of.

Servers hand over a header whose name has an underscore, and WSGI reads `_` and `-` as one, so `X_Forwarded_Proto`
could speak for `X-Forwarded-Proto`. They hand over a body that was cut off, and the bridge to WSGI reads that as its
end. And they hand over a request before its body is there, so that a slow client would hold a thread.

Whether the process lives is answered here too, so that the answer waits for no thread.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog

from config.addresses import Network, believed, client_of
from config.exception_handler import problem, worded
from transfers.errors import Problem

logger = structlog.get_logger(__name__)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

UNDERSCORED = b"http_token"
"""The one header with an underscore that clients of ours send."""
SILENCE_SECONDS = 60.0
"""How long a client may send nothing of the body it has announced."""
BODY_SECONDS = 60.0
"""How long the whole of a body may take that is awaited."""
LIVEZ = frozenset(("/livez", "/livez/"))
PAGES = ("/admin/", "/login", "/logout", "/upload")
"""Paths whose views read the body of anybody, before they know who it is; all others ask that first."""

BULK = "/ehealth-base/multipart/upload"
"""Where bodies bring files."""


class CutOffError(ConnectionError):
    """The body ended before the client said it would; an OSError, as Django expects of a body that fails."""


def edge(
    *,
    http: Application,
    bulk: Application,
    websocket: Application,
    unsized_bytes: int,
    trusted_proxies: Sequence[Network] = (),
) -> Application:
    """Join the applications behind one port.

    A body of up to `unsized_bytes` is awaited before a thread is taken, unless the client would first be told whether
    it is wanted. A larger one must come with a Content-Length, and not to a page. `bulk` takes those that may bring a
    file, awaits none of them, and holds a thread for each. All of them see the client, and the scheme, that the trusted
    proxies name.
    """
    applications = _ByBody(http, bulk, unsized_bytes)

    async def joined(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] == "http" and scope["path"] in LIVEZ:
            await _livez(scope["method"], send)
            return
        peer = scope.get("client")
        scope["headers"] = believed(peer, passable(scope["headers"]), trusted_proxies)
        scope["client"] = client_of(peer, scope["headers"], trusted_proxies)
        if scope["type"] == "websocket":
            await websocket(scope, receive, send)
        else:
            await _with_whole_body(applications, scope, receive, send)

    return joined


def passable(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers without those that could pass for another."""
    return [(name, value) for name, value in headers if b"_" not in name or name.lower() == UNDERSCORED]


class WholeBody:
    """A request's body as the server receives it, which fails where it would otherwise end too early.

    `size` is what Content-Length announced, in bytes; None when nothing did.
    """

    def __init__(self, receive: Receive, size: int | None) -> None:
        self._receive = receive
        self._size = size
        self._arrived = 0
        self._ended = False

    async def __call__(self) -> Message:
        """The next piece, and after the last one whatever comes; CutOffError when there is no next piece."""
        if self._ended:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), SILENCE_SECONDS)
        except TimeoutError:
            raise CutOffError(f"nothing came for {SILENCE_SECONDS:.0f} s") from None
        if message["type"] != "http.request":
            raise CutOffError("the client is gone")
        self._arrived += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        if self._ended and self._size not in (None, self._arrived):
            raise CutOffError(f"{self._arrived} of {self._size} bytes came")
        return message

    async def read(self, limit: int) -> bytes | None:
        """The whole body, or None when it has more than `limit` bytes; CutOffError when it takes too long."""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._read(limit)
        except TimeoutError:
            raise CutOffError(f"it was not whole after {BODY_SECONDS:.0f} s") from None

    async def _read(self, limit: int) -> bytes | None:
        body = bytearray()
        more = True
        while more:
            message = await self()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > limit:
                return None
        return bytes(body)


class LastingSend:
    """The server's `send`, made to outlive its own failure: the bridge's thread waits for ever behind a dead one."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.failure: Exception | None = None

    async def __call__(self, message: Message) -> None:
        """Send it, or, once sending has failed, drop it."""
        if self.failure is None:
            try:
                await self._send(message)
            except Exception as failure:  # noqa: BLE001 - raised again when the application is done
                self.failure = failure


@dataclass(frozen=True, slots=True)
class _ByBody:
    """Which application takes a body: `bulk` what may bring a file, at any pace, `http` all else."""

    http: Application
    bulk: Application
    unsized_bytes: int


async def _with_whole_body(applications: _ByBody, scope: Scope, receive: Receive, send: Send) -> None:
    unsized_bytes = applications.unsized_bytes
    names = {name.lower(): value for name, value in scope["headers"]}
    size = int(names[b"content-length"]) if b"content-length" in names else None
    is_bulk = bool(size) and scope["path"].startswith(BULK)
    application = applications.bulk if is_bulk else applications.http
    unsized = size is None and b"transfer-encoding" in names
    is_page = scope["path"].startswith(PAGES)
    if is_page and size and size > unsized_bytes:
        detail = f"No page takes a body of more than {unsized_bytes} bytes."
        await _refuse(problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, "too_large"), scope, send)
        return
    body = WholeBody(receive, size)
    source: Receive = body
    # Who asked to be told first whether the body is wanted is told so by the view that reads it.
    awaited = size and size <= unsized_bytes and not is_bulk and (is_page or b"expect" not in names)
    if unsized or awaited:
        try:
            whole = await body.read(unsized_bytes)
        except CutOffError as cut:
            await _refuse(problem(HTTPStatus.BAD_REQUEST, f"The body was cut off: {cut}.", "body_cut_off"), scope, send)
            return
        if whole is None:
            detail = f"A body of more than {unsized_bytes} bytes needs a Content-Length."
            await _refuse(problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, "too_large"), scope, send)
            return
        if unsized:
            scope["headers"] = _sized(scope["headers"], len(whole))
        source = _replay(whole, receive)
        application = applications.http
    lasting = LastingSend(send)
    await application(scope, source, lasting)
    if lasting.failure:
        raise lasting.failure


def _sized(headers: Headers, size: int) -> Headers:
    """WSGI knows no body without a length, and would show none."""
    kept = [(name, value) for name, value in headers if name.lower() != b"transfer-encoding"]
    return [*kept, (b"content-length", str(size).encode())]


def _replay(body: bytes, receive: Receive) -> Receive:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def _refuse(refusal: Problem, scope: Scope, send: Send) -> None:
    """Answer in place of Django, and close: where the next request would begin is not known."""
    languages = dict(scope["headers"]).get(b"accept-language", b"").decode("latin-1")
    told, media_type = worded(refusal, scope["path"], languages)
    body = json.dumps(told).encode()
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _livez(method: str, send: Send) -> None:
    """Say that the process lives; neither a user nor the database is asked."""
    known = method in ("GET", "HEAD")
    body = json.dumps({"status": "ok"}).encode() if known else b""
    headers = [(b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    headers.append((b"content-type", b"application/json") if known else (b"allow", b"GET, HEAD"))
    status = HTTPStatus.OK if known else HTTPStatus.METHOD_NOT_ALLOWED
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})


async def _live(receive: Receive, send: Send) -> None:
    """Answer the server that asks whether we are ready to start, and to stop: at once."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
