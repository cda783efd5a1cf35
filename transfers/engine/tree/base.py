"""What sync asks of a tree of files, wherever it lies.

A tree tells everything it has in one sorted listing. Files are read as the version that was listed, or not at all, and
written whole or not at all; what a write or a removal finds changed since it was listed is never lost.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from transfers.engine.base import Sink, Source
from transfers.engine.plan import MAX_PARTS, Part, Plan

SMALL_BYTES = 8 * 2**20
"""A file up to this size is read and written at once, in memory; a larger one in parts."""
PART_BYTES = 16 * 2**20
"""What the parts of a larger file have, unless `MAX_PARTS` of them are too few."""


class Kind(enum.StrEnum):
    """What an entry is."""

    FILE = "file"
    FOLDER = "folder"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing of a listing."""

    path: str
    """From the tree's root, with "/" between names; a folder's ends with one. Names are as found."""
    kind: Kind = Kind.FILE
    size: int = 0
    """Bytes."""
    version: str = ""
    """Opaque; another one whenever the content may be another."""
    mtime_ns: int = 0
    """When its content was made, in nanoseconds since the epoch; 0 where a listing does not tell."""
    is_empty: bool = True
    """Of a folder: whether nothing is in it."""
    problem: str = ""
    """Why it cannot be synced (a link, a pipe, a name that cannot be one elsewhere), in words for people.

    What is below a folder that has one is not told.
    """
    is_passing: bool = False
    """Of a problem: whether it is no fault of what lies there (it may not be looked at, it was changed meanwhile)."""


@dataclass(frozen=True, slots=True)
class Checksum:
    """What proves a file's bytes: its MD5, or the MD5 of its parts' MD5s, as S3 makes ETags."""

    md5: str
    """Lowercase hex."""
    part_size: int = 0
    """Bytes of each part but the last; 0 where the MD5 is the whole file's."""

    def __str__(self) -> str:
        return f"md5:{self.md5}" if not self.part_size else f"md5-of-parts-{self.part_size}:{self.md5}"


def parse_checksum(text: str) -> Checksum | None:
    """The checksum that was written so; None for "" and what is none."""
    kind, _, md5 = text.partition(":")
    if len(md5) != 32 or not all(character in "0123456789abcdef" for character in md5):  # noqa: PLR2004 - hex digits of an MD5
        return None
    if kind == "md5":
        return Checksum(md5)
    part_size = kind.removeprefix("md5-of-parts-")
    return Checksum(md5, int(part_size)) if kind != part_size and part_size.isdecimal() and int(part_size) else None


def md5_of(chunks: Iterable[bytes | memoryview]) -> str:
    """The MD5 of all these bytes together as lowercase hex."""
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def checksum_of_parts(md5s: Iterable[str], part_size: int) -> Checksum:
    """The checksum of a file whose parts, in order, have these MD5s."""
    return Checksum(md5_of(bytes.fromhex(md5) for md5 in md5s), part_size)


@dataclass(frozen=True, slots=True)
class Content:
    """A small file's bytes, proved to be the listed version's."""

    content: bytes
    md5: str
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Description:
    """What a listing does not tell of a file."""

    mtime_ns: int
    checksum: Checksum | None
    """What its bytes must have, as it was kept with it when it was written; None where nothing was."""


class TreeSink(Sink, Protocol):
    """A large file on its way into a tree; see `Sink` for the rest."""

    def begin(self, plan: Plan) -> None:
        """Make ready for the plan's parts, going on with what an earlier run has left of this very file."""

    def join(self, plan: Plan) -> bool:
        """Take part in what another process began; False when there is nothing of it."""

    def trust(self, part: Part, md5: Callable[[], str]) -> bool:
        """Whether the part is stored whole with the bytes of this MD5; stored with others, it no longer counts.

        `md5`, which may cost a reading of the part, is only asked for where the place cannot prove whose bytes it has.
        """

    def checksum(self, part_size: int | None = None) -> Checksum:
        """Of what is stored, which is whole, as the place itself knows it or reads it back.

        In parts of `part_size` bytes, 0 for the whole file's MD5, where the place can tell it so; else in the plan's.
        """

    def publish(self, size: int) -> Entry:
        """Make the file appear whole in place of `replaced`, and tell it; it is durable once the tree is settled.

        May be repeated, also by another sink after a crash, until `complete` forgets how the file came.
        """

    def close(self) -> None:
        """Let go of whatever is open; what is stored stays."""


class Tree(Protocol):
    """A tree of files."""

    checks_what_it_takes: bool
    """Whether what it stores was compared with the bytes as they were read; otherwise it only knows what it has."""

    def entries(self) -> Iterator[Entry]:
        """Everything in it, sorted by the UTF-8 bytes of the paths; any TransferError rather than half of it.

        A place that has no folders of its own tells only those that were made with `make_folder`.
        """

    def find(self, path: str) -> Entry | None:
        """The file or folder with this path as it is now; None when there is none.

        The place itself is asked, and not its listing, which may be behind.
        """

    def read(self, entry: Entry) -> Content:
        """A small file; SourceChangedError when it is no longer the entry, ChecksumMismatchError when damaged."""

    def source(self, entry: Entry) -> Source:
        """A file, to read in parts; its `open` raises SourceChangedError when it is another than the entry."""

    def describe(self, entry: Entry) -> Description:
        """More of a file, to be asked once before a large one is read."""

    def write(self, path: str, content: Content, replaced: Entry | None) -> Entry:
        """Make a small file appear whole in place of `replaced` (None: where nothing is), and tell it.

        It is durable once the tree is settled. What lies there and is another than `replaced` is kept: beside it under
        a `conflict_path`, or this fails (ChangedElsewhereError) and changes nothing.
        """

    def sink(self, path: str, source_version: str, description: Description, replaced: Entry | None) -> TreeSink:
        """The same for a large file. `source_version` tells one version of it from another."""

    def make_folder(self, path: str) -> Entry:
        """Have an empty folder; one that is there is fine."""

    def set_aside(self, entry: Entry) -> Entry:
        """Keep a file, or a folder with all in it, under a `conflict_path`, and tell it; its own name may be free then.

        ChangedElsewhereError, or what is there now is kept as well, when that is another than the entry.
        """

    def settle(self) -> None:
        """Make durable what was written, set aside or removed before: to be called before anybody relies on it."""

    def sweep(self, older_than_seconds: float) -> int:
        """Remove what unfinished writes have left so long ago, and tell how many."""

    def remove(self, entry: Entry) -> None:
        """Remove a file, or an empty folder, and folders that became empty by it; one that is gone is fine.

        ChangedElsewhereError, and nothing is removed, when it is another than the entry, or a folder that is not empty;
        in a place that has no folders of its own, one that has a file in it: marks may go in any order.
        """


def part_plan(size: int) -> Plan:
    """The parts of a large file of `size` bytes: a function of its size alone, so that its ETag can be told."""
    part_size = PART_BYTES
    while len(plan := Plan(size, part_size)) > MAX_PARTS:
        part_size *= 2
    return plan
