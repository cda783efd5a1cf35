"""What a client asked, and what became of it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import urlsplit

_ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


@dataclass(eq=False, slots=True)
class Request:
    """One request in the origin's log; the last fields grow while it is answered."""

    method: str
    target: str
    headers: Mapping[str, str]
    """By lower-case name."""
    connection: int
    """Which connection it came on, from 1."""
    at: float = field(default_factory=time.monotonic)
    number: int = 0
    """Which request for its path it is, from 1."""
    status: int | None = None
    """None while, or if, no answer began."""
    sent: int = 0
    """Body bytes handed to the kernel: a client that goes away may have received fewer."""
    finished: bool = False
    """Whether the answer went out as it was meant to, to its end."""

    @property
    def path(self) -> str:
        """The path alone."""
        return urlsplit(self.target).path

    @property
    def query(self) -> str:
        """What stands after the question mark."""
        return urlsplit(self.target).query

    def range_of(self, size: int) -> tuple[int, int] | None:
        """The half-open range asked of a file of `size` bytes; None for no Range or one to ignore.

        A range that cannot be satisfied is empty: start and end are equal.
        """
        match = _ONE_RANGE.match(self.headers.get("range", ""))
        if match is None or match.groups() == ("", ""):
            return None
        first, last = match.groups()
        if not first:
            return max(size - int(last), 0), size
        end = min(int(last) + 1, size) if last else size
        return int(first), max(end, int(first))

    def as_json(self) -> dict[str, Any]:
        """The log's line for another process."""
        names = ("method", "target", "connection", "number", "status", "sent", "finished")
        return {**{name: getattr(self, name) for name in names}, "headers": dict(self.headers)}


def read_request(stream: BinaryIO, connection: int) -> Request | None:
    """The next request on the connection, without a body; None when the client has ended it."""
    words = stream.readline(65536).decode("latin-1").split()
    if len(words) != 3:
        return None
    headers: dict[str, str] = {}
    while line := stream.readline(65536).decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    stream.read(int(headers.get("content-length", "0")))
    return Request(words[0], words[1], headers, connection)
