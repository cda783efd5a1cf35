"""What the origin serves: bytes at any offset, as deterministic as they are cheap."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

PERIOD = 1_048_583
"""A prime just above 1 MiB, so that no usual part size is a multiple of it and a misplaced part shows."""
_ONE_PERIOD = random.Random("carryon").randbytes(PERIOD)
_TWO_PERIODS = memoryview(_ONE_PERIOD * 2)  # any run up to PERIOD long lies in one piece here


class Content(Protocol):
    """A file as the origin sees it."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def tag(self) -> str:
        """A short name for exactly these bytes; other bytes have another."""

    def piece(self, offset: int, end: int) -> memoryview:
        """Bytes from `offset` on, at least one and not past `end`; no copy where possible."""


def read(content: Content, offset: int = 0, end: int | None = None) -> bytes:
    """The bytes from `offset` up to before `end` (None: to the end)."""
    end = content.size if end is None else min(end, content.size)
    pieces = []
    while offset < end:
        piece = content.piece(offset, end)
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)


@dataclass(frozen=True)
class GeneratedFile:
    """A file of any size that needs neither disk nor memory; two seeds differ at nearly every offset."""

    size: int
    seed: int = 0

    @property
    def tag(self) -> str:
        """Seed and size."""
        return f"g{self.seed:x}-{self.size:x}"

    def piece(self, offset: int, end: int) -> memoryview:
        """A view into the one block of noise that all generated files share, each at its own phase."""
        phase = (offset + self.seed * 611_953) % PERIOD
        return _TWO_PERIODS[phase : phase + min(end - offset, PERIOD)]

    def read(self, offset: int = 0, end: int | None = None) -> bytes:
        """The bytes from `offset` up to before `end` (None: to the end)."""
        return read(self, offset, end)

    def sha256(self) -> str:
        """The SHA-256 of the whole, as hex; computed once per file."""
        return _digest(self, "sha256")

    def md5(self) -> str:
        """The MD5 of the whole, as hex; computed once per file."""
        return _digest(self, "md5")


@lru_cache(maxsize=4096)
def _digest(file: GeneratedFile, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    offset = 0
    while offset < file.size:
        piece = file.piece(offset, file.size)
        digest.update(piece)
        offset += len(piece)
    return digest.hexdigest()


@dataclass(frozen=True)
class Bytes:
    """A file held in memory."""

    body: bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.body)

    @cached_property
    def tag(self) -> str:
        """The start of the bytes' own digest."""
        return hashlib.sha256(self.body).hexdigest()[:16]

    def piece(self, offset: int, end: int) -> memoryview:
        """A view."""
        return memoryview(self.body)[offset:end]


@dataclass(frozen=True)
class DiskFile:
    """A file on disk, which plain connections send without copying it through Python."""

    path: Path

    @property
    def size(self) -> int:
        """Bytes, as the disk says now."""
        return self.path.stat().st_size

    @property
    def tag(self) -> str:
        """Time of change and size, as web servers do."""
        stat = self.path.stat()
        return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"

    def piece(self, offset: int, end: int) -> memoryview:
        """Up to 1 MiB, read."""
        with self.path.open("rb") as file:
            return memoryview(os.pread(file.fileno(), min(end - offset, 2**20), offset))


def gzipped(content: Content) -> Bytes:
    """The content as a gzip body, the same for the same bytes."""
    return Bytes(gzip.compress(read(content), compresslevel=1, mtime=0))


def as_content(content: bytes | str | Path | Content) -> Content:
    """Bytes, text or a path as content; content as it is."""
    if isinstance(content, str):
        return Bytes(content.encode())
    if isinstance(content, bytes):
        return Bytes(content)
    return DiskFile(content) if isinstance(content, Path) else content
