"""Readers over an answer: as many bytes as were asked for, or an error that says what is missing."""

from __future__ import annotations

import contextlib
import http.client
from http import HTTPStatus
from typing import Self

from transfers.engine.http.exchange import Exchange
from transfers.engine.http.failures import FOREIGN
from transfers.errors import SourceInterruptedError, SourceProtocolError


class EmptyReader:
    """No bytes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def readinto(self, _: memoryview, /) -> int:
        """Nothing, at once."""
        return 0


class HttpReader:
    """The body of an answer; its context is the exchange, which is closed at the end."""

    def __init__(self, exchange: Exchange, size: int | None, *, whole: bool) -> None:
        """Read `size` bytes (None: as many as come); `whole` when that is all that the answer is to have."""
        self._exchange = exchange
        self._size = size
        self._left = size
        self._whole = whole
        with exchange.closed_on_failure():
            self._body = exchange.open_body()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exchange.close()

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the start of the buffer with what is there, waiting for at least a byte; 0 only at the end.

        SourceInterruptedError when fewer bytes come than were opened, SourceProtocolError when more do.
        """
        if self._left is None:
            return self._read(buffer)
        if self._left == 0:
            self._check_framing()
            return 0
        count = self._read(buffer[: self._left])
        self._left -= count
        if count == 0 and len(buffer):
            raise self._cut()
        if self._left == 0 and self._length_alone_tells and self._exchange.has_surplus():
            raise self._too_long()
        return count

    @property
    def _length_alone_tells(self) -> bool:
        """Whether nothing but Content-Length says where the file ends; a Content-Range would agree with it."""
        return self._whole and self._body.ended and self._exchange.status == HTTPStatus.OK

    def _read(self, buffer: memoryview) -> int:
        try:
            count = self._body.readinto(buffer)
        except http.client.IncompleteRead:
            raise self._cut() from None
        except FOREIGN as error:
            raise self._exchange.failure(error) from None
        if count == 0 and self._exchange.ended:  # a broken connection looks like one that ended
            raise self._cut()
        return count

    def _check_framing(self) -> None:
        """Look past the last byte of a body whose framing has not told its length: it must end there."""
        if not self._whole or self._body.ended:
            return
        with contextlib.suppress(*FOREIGN):  # all bytes that were promised are there
            if self._body.readinto(memoryview(bytearray(1))):
                raise self._too_long()

    def _cut(self) -> SourceInterruptedError:
        if self._exchange.ended:
            return SourceInterruptedError("the transfer was told to end")
        text = f"{self._exchange.where} closed the connection before the end"
        if self._size is None or self._left is None:
            return SourceInterruptedError(text)
        return SourceInterruptedError(f"{text}: {self._size - self._left} of {self._size} bytes came")

    def _too_long(self) -> SourceProtocolError:
        return SourceProtocolError(f"{self._exchange.where} sends more than the {self._size} bytes it announced")
