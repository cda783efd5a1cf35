"""Ends in memory: the reference that says in the fewest lines what a source and a sink are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transfers.engine.base import CHUNK_BYTES, Reader, SourceInfo, StoredPart, Validator, ValidatorKind
from transfers.engine.plan import Part, Plan
from transfers.errors import SinkError, SourceChangedError, SourceInterruptedError


class MemorySource:
    """Bytes to read; giving `content` other bytes is what a changed file is."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._seen: bytes | None = None

    def stat(self) -> SourceInfo:
        """The bytes' size and their version, which is their hash."""
        self._seen = self.content
        version = Validator(ValidatorKind.VERSION, str(hash(self.content)))
        return SourceInfo(size=len(self.content), validator=version, ranges=True)

    @contextmanager
    def open(self, offset: int, end: int | None) -> Iterator[Reader]:
        """Open a range; SourceChangedError when the bytes are no longer those that `stat` saw."""
        if self._seen is not None and self._seen != self.content:
            raise SourceChangedError("the bytes were replaced")
        if end is not None and end > len(self.content):
            raise SourceInterruptedError(f"there are {len(self.content)} bytes, not {end}")
        yield _MemoryReader(self.content[offset:end])


class _MemoryReader:
    def __init__(self, content: bytes) -> None:
        self._rest = memoryview(content)

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class MemorySink:
    """A file being built in memory; `content` is None until it is whole."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self._plan: Plan | None = None
        self._parts: dict[int, bytes] = {}

    def begin(self, plan: Plan) -> None:
        """Keep what is stored when the plan is the same, and forget it when not."""
        if plan != self._plan:
            self._plan, self._parts = plan, {}

    def stored_parts(self) -> dict[int, StoredPart]:
        """The beginnings of parts that have arrived."""
        return {number: StoredPart(number, len(content)) for number, content in self._parts.items()}

    def write_part(self, part: Part, reader: Reader, start: int = 0) -> StoredPart:
        """Keep all that the reader gives, also when it fails at last."""
        content = bytearray(self._parts.get(part.number, b"")[:start])
        buffer = memoryview(bytearray(CHUNK_BYTES))
        try:
            while count := reader.readinto(buffer):
                content += buffer[:count]
        finally:
            self._parts[part.number] = bytes(content)
        return StoredPart(part.number, len(content))

    def complete(self, size: int) -> None:
        """Put the parts together; SinkError when they are not `size` bytes."""
        content = b"".join(self._parts[number] for number in sorted(self._parts))
        missing = [p.number for p in self._plan or () if p.size and len(self._parts.get(p.number, b"")) != p.size]
        if missing or len(content) != size:
            raise SinkError(f"{len(content)} of {size} bytes are stored; parts {missing} are not whole")
        self.content = content

    def abort(self) -> None:
        """Forget every part."""
        self._plan, self._parts = None, {}
