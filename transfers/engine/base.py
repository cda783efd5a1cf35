"""What the engine asks of a place that bytes come from and of a place that they go to.

The smallest interface comes first; what only some places can do is a Protocol of its own. Nothing here knows a
framework, and every adapter translates its library's failures into `transfers.errors` at its own edge.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from transfers.engine.plan import Part, Plan

CHUNK_BYTES = 2**20
"""Bytes moved at once through one reused buffer: past 1 MiB the copy gets no faster, only larger."""


class ValidatorKind(enum.StrEnum):
    """What proves that the remote file is still the same."""

    ETAG = "etag"
    LAST_MODIFIED = "last-modified"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class Validator:
    """A strong validator: two equal ones stand for the same bytes (RFC 9110, section 8.8)."""

    kind: ValidatorKind
    value: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.value}"


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source says of its file before the first byte."""

    size: int | None
    """Bytes, or None when the source does not tell."""
    validator: Validator | None
    """Strong, or None: without one no byte of an earlier run may be kept."""
    ranges: bool
    """Whether any range can be opened; otherwise only the whole, from 0."""
    content_type: str = "application/octet-stream"
    digests: Mapping[str, str] = field(default_factory=dict)
    """Checksums the source itself promises: `md5` or `sha256` to lowercase hex."""

    @property
    def resumable(self) -> bool:
        """Whether bytes of an earlier run can be proved to belong to this file."""
        return self.ranges and self.validator is not None


class Reader(Protocol):
    """An open run of bytes."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the start of the buffer with what is there, waiting for at least a byte; 0 only at the end.

        Fewer bytes than were opened is an error of the reader's (`SourceInterruptedError`), never a quiet 0.
        """


@runtime_checkable
class Promising(Protocol):
    """A reader that knows, once it has ended, which MD5 its bytes were promised to have: lowercase hex, "" for none."""

    promised_md5: str


def promised_md5(reader: Reader) -> str:
    """The MD5 that the bytes of a reader which has ended were promised to have; "" for none."""
    return reader.promised_md5 if isinstance(reader, Promising) else ""


@runtime_checkable
class Moving(Reader, Protocol):
    """A reader whose bytes need not pass through memory on their way into a file."""

    def move(self, fileno: int, offset: int, most: int, /) -> int:
        """Write the next bytes, at least one and at most `most`, to the open file from `offset` on; 0 only at the end.

        What the reader cannot give is a SourceError, as with `readinto`; what the file cannot take is an OSError.
        """


@dataclass(frozen=True, slots=True)
class ObjectRange:
    """A half-open range of an object in a store, told in words that are no library's."""

    bucket: str
    key: str
    etag: str
    """The object's own, as the store writes it, without quotes."""
    offset: int
    end: int
    endpoint_url: str = ""
    """Where the store is; "" for Amazon's S3."""
    region: str = ""


@runtime_checkable
class Located(Reader, Protocol):
    """A reader whose bytes may lie in a store, which can take them from there itself."""

    def stored_at(self) -> ObjectRange | None:
        """The range that all of the bytes left to read are; None where they are no such thing."""


@runtime_checkable
class LocatedSource(Protocol):
    """A source whose file is an object in a store."""

    def stored_at(self, offset: int, end: int) -> ObjectRange | None:
        """These bytes of the object that `stat` described; None when it was not asked."""


class Source(Protocol):
    """A file to read, one that may change or vanish between two reads."""

    def stat(self) -> SourceInfo:
        """Ask the source what it has now."""

    def open(self, offset: int, end: int | None) -> AbstractContextManager[Reader]:
        """Open the bytes from `offset` up to before `end` (None: to the end) of the file that `stat` described.

        `SourceChangedError` when the file is no longer that one.
        """


@runtime_checkable
class Abortable(Protocol):
    """A source whose blocked reads another thread can end."""

    def abort(self) -> None:
        """Make every open reader fail soon and every later open at once; from any thread, any number of times."""


@dataclass(frozen=True, slots=True)
class StoredPart:
    """What a sink holds of one part, safe against power loss."""

    number: int
    size: int
    """Bytes from the part's start; fewer than the part's own only at sinks that keep a part's beginning."""
    etag: str = ""
    copied: bool = field(default=False, compare=False)
    """Whether the store has just taken it from where it lay, and no byte was read."""


class Sink(Protocol):
    """A place for one file, which appears there whole or not at all."""

    def begin(self, plan: Plan) -> None:
        """Make ready for the plan's parts, keeping what is stored already; may be repeated."""

    def stored_parts(self) -> dict[int, StoredPart]:
        """What is stored, by part number, as the place itself knows it."""

    def write_part(self, part: Part, reader: Reader, start: int = 0) -> StoredPart:
        """Store the reader's bytes as the part's from its byte `start` on, until the reader ends.

        When the reader fails, what came before is kept where the sink can keep it, and its error goes on.
        """

    def complete(self, size: int) -> None:
        """Make the whole file of `size` bytes appear, durably, or raise and leave what is stored."""

    def abort(self) -> None:
        """Forget everything stored; nothing to forget is fine."""


@dataclass(frozen=True, slots=True)
class Collected:
    """A whole file that came together from parts."""

    location: str
    """Where the place has it: a path, or an object's key."""
    size: int
    """Bytes."""
    modified_ns: int = 0
    """The file system's time of it, in nanoseconds; 0 where there is none."""


class Collection(Protocol):
    """A place where one file comes together from parts that are sent from outside.

    Parts come in any order, of any size, more than once and from several senders at once; each is stored whole or not
    at all, and the last to be stored counts.
    """

    def begin(self, size: int | None) -> str:
        """Make ready for a file of `size` bytes, None if unknown, and tell what the place itself calls the collection.

        That name ("" where it needs none) is what the collection is made with again. OutOfSpaceError when the place
        cannot hold so much.
        """

    def stored_parts(self) -> dict[int, StoredPart]:
        """What is stored, by part number, as the place itself knows it; `etag` is the part's MD5 as lowercase hex."""

    def write_part(self, number: int, reader: Reader, size: int | None, md5: str = "") -> StoredPart:
        """Store the reader's bytes as this part, durably, in place of what it was before.

        `size` is how many bytes to expect, None when that is not known. With `md5`, as hex, or what a `Promising`
        reader tells at its end, bytes of another MD5 are refused (PartChecksumError). Whatever fails leaves the part as
        it was.
        """

    def complete(self, expected: Mapping[int, str]) -> Collected:
        """Make the whole file appear, durably, in a time that does not grow with it; may be repeated after a crash.

        `expected` is the MD5 of every part, 1 to n, as hex: PartsDifferError when other parts than these are stored.
        """

    def abort(self) -> None:
        """Remove all parts; a file that is complete stays. Nothing to remove is fine."""
