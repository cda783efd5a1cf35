"""What happens on one connection: requests in turn, each treated as its behaviour says."""

from __future__ import annotations

import random
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from tests.origin.answer import Answer, answer, text
from tests.origin.behaviour import HONEST, After, Behaviour, Framing, Malformed
from tests.origin.content import Bytes, Content
from tests.origin.file import File
from tests.origin.request import Request, read_request
from tests.origin.wire import ClientGoneError, Wire

_NOT_FOUND = Behaviour(status=404)
_ENDS_IN_HEAD = (Malformed.NOT_HTTP, Malformed.EMPTY, Malformed.CUT_HEAD)
_BODILESS = (204, 304)
_CHUNK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and everything that decides how its answer goes out."""

    request: Request
    behaviour: Behaviour
    reply: Answer
    file: File

    @property
    def framing(self) -> Framing | str:
        """How the body's end is told; only for the file itself in another way than by its length."""
        return self.behaviour.framing if self.reply.is_file else Framing.LENGTH

    @property
    def has_body(self) -> bool:
        """Whether a body goes out."""
        return self.request.method != "HEAD" and self.reply.status not in _BODILESS

    @property
    def keeps_connection(self) -> bool:
        """Whether the connection is good for another request."""
        too_long = self.reply.is_file and self.behaviour.length_lie > 0
        as_said = self.behaviour.after != After.DROP and self.behaviour.malformed == Malformed.NO
        return as_said and not (self._says_close or too_long)

    @property
    def _says_close(self) -> bool:
        asked = self.request.headers.get("connection", "").lower() == "close"
        return asked or self.framing == Framing.CLOSE or self.behaviour.after == After.CLOSE

    def framing_headers(self) -> dict[str, str]:
        """What the head says about the body's length and the connection's end."""
        headers = {"Connection": "close"} if self._says_close else {}
        if self.reply.status in _BODILESS:
            return headers
        if self.framing == Framing.CHUNKED:
            headers["Transfer-Encoding"] = "chunked"
        elif self.framing == Framing.LENGTH:
            lie = self.behaviour.length_lie if self.reply.is_file else 0
            headers["Content-Length"] = str(self.reply.length + lie)
        return headers

    def breaks(self, draw: random.Random) -> tuple[int, int]:
        """After how many bytes to cut and to fall silent; the length or more stands for not at all."""
        never = self.reply.length
        behaviour = self.behaviour if self.reply.is_file else HONEST
        cut = never if behaviour.cut_after is None else behaviour.cut_after
        if behaviour.cut_before is not None:
            cut = draw.randrange(behaviour.cut_after or 0, behaviour.cut_before)
        return cut, never if behaviour.stall_after is None else behaviour.stall_after


class Connection:
    """One client's connection; `serve` runs in a thread of its own."""

    def __init__(
        self,
        connected: socket.socket,
        tls: ssl.SSLContext | None,
        number: int,
        enter: Callable[[Request], File | None],
        draw: random.Random,
    ) -> None:
        self._wire = Wire(connected, tls)
        self._number = number
        self._enter = enter
        self._draw = draw
        self._reset = False

    def serve(self) -> None:
        """Answer until one of the two sides ends it."""
        try:
            self._wire.shake_hands()
            while (request := read_request(self._wire.stream, self._number)) and self._treat(request):
                pass
        except (ClientGoneError, OSError):
            pass  # the client's right, and in most tests its point
        finally:
            self._wire.close(reset=self._reset)

    def end(self, *, reset: bool = False) -> None:
        """End the connection, from another thread."""
        self._reset = self._reset or reset
        self._wire.end(silently=reset)

    def _treat(self, request: Request) -> bool:
        """Answer one request; whether the connection is good for another."""
        file = self._enter(request)
        if file is None:
            return self._send(Exchange(request, _NOT_FOUND, text(404), File(Bytes(b""))))
        behaviour, content = file.choose(request)
        if behaviour.latency_seconds:
            self._wire.pause(behaviour.latency_seconds)
        if behaviour.never_answers:
            self._wire.pause(None)
        with file.answering() as at_once:
            if behaviour.most_at_once is not None and at_once > behaviour.most_at_once:
                return self._send(Exchange(request, behaviour, text(503), file))
            return self._send(Exchange(request, behaviour, answer(request, behaviour, content, self._draw), file))

    def _send(self, exchange: Exchange) -> bool:
        request, behaviour, reply = exchange.request, exchange.behaviour, exchange.reply
        reply.headers.update(exchange.framing_headers())
        self._wire.send(reply.head(behaviour.malformed), behaviour.head_rate)
        request.status = reply.status
        if behaviour.malformed in _ENDS_IN_HEAD:
            return False
        if exchange.has_body and not self._send_body(exchange):
            return False
        self._wire.send(b"?" * behaviour.extra_bytes)
        request.finished = True
        return exchange.keeps_connection

    def _send_body(self, exchange: Exchange) -> bool:
        """Send the body as far as it shall go; whether that was its end."""
        length = exchange.reply.length
        cut, stall = exchange.breaks(self._draw)
        self._send_run(exchange, min(cut, stall, length))
        if stall < length and stall <= cut:
            self._wire.pause(None)
        if cut < length:
            self._reset = exchange.behaviour.reset
            return False
        if exchange.framing == Framing.CHUNKED:
            self._wire.send(b"0\r\n\r\n")
        return True

    def _send_run(self, exchange: Exchange, count: int) -> None:
        offset, end = exchange.reply.start, exchange.reply.start + count
        send = self._send_chunk if exchange.framing == Framing.CHUNKED else self._wire.send_run
        while offset < end:
            allowed = exchange.file.admit(offset, end, self._wire.is_gone) if exchange.reply.is_file else end
            sent = send(exchange.reply.content, offset, allowed, exchange.behaviour.rate) if allowed > offset else 0
            if not sent:  # the gate saw the client leave, or the file on disk has become shorter
                raise ClientGoneError
            offset += sent
            exchange.request.sent += sent

    def _send_chunk(self, content: Content, offset: int, end: int, rate: float | None) -> int:
        piece = content.piece(offset, min(end, offset + _CHUNK_BYTES))
        self._wire.send(b"%x\r\n" % len(piece))
        self._wire.send(piece, rate)
        self._wire.send(b"\r\n")
        return len(piece)
