"""A tree in memory: the reference that says in the fewest lines what a tree is, and that tests change at will."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from transfers.engine.base import Reader, Source, SourceInfo, StoredPart, Validator, ValidatorKind
from transfers.engine.memory import MemorySink, MemorySource
from transfers.engine.plan import Part, Plan
from transfers.engine.tree.base import (
    Checksum,
    Content,
    Description,
    Entry,
    Kind,
    TreeSink,
    checksum_of_parts,
    md5_of,
)
from transfers.engine.tree.names import conflict_paths, problem_of_path
from transfers.errors import (
    ChangedElsewhereError,
    ChecksumMismatchError,
    FolderUnusableError,
    SinkError,
    SourceChangedError,
)

MTIME_NS = 1_600_000_000_123_456_789
"""The time of files that are put here without one, in nanoseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    version: str
    mtime_ns: int
    checksum: Checksum


class MemoryTree:
    """Files by their paths; of folders, those that were made. Any thread may use it.

    `put`, `touch`, `damage`, `delete` and `put_problem` are what somebody else does to it.
    """

    checks_what_it_takes = True

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.unfinished: dict[str, Unfinished] = {}
        """Large files on their way, by their paths."""
        self._files: dict[str, _File] = {}
        self._folders: set[str] = set()
        self._problems: dict[str, str] = {}
        self._versions = itertools.count(1)

    # What somebody else does to it

    @property
    def contents(self) -> dict[str, bytes]:
        """The bytes of each file, by path, in order."""
        with self.lock:
            return {path: file.content for path, file in sorted(self._files.items())}

    def put(self, path: str, content: bytes, mtime_ns: int = MTIME_NS) -> Entry:
        """Make these the file's bytes."""
        return self._put(path, content, mtime_ns, Checksum(md5_of([content])))

    def touch(self, path: str) -> None:
        """Give the file another version with the same bytes, a second younger."""
        with self.lock:
            file = self._files[path]
            self._files[path] = replace(file, version=self._new_version(), mtime_ns=file.mtime_ns + 10**9)

    def damage(self, path: str, content: bytes) -> None:
        """Let the file have these bytes unnoticed."""
        with self.lock:
            self._files[path] = replace(self._files[path], content=content)

    def delete(self, path: str) -> None:
        """Have no such file any more."""
        with self.lock:
            del self._files[path]

    def put_problem(self, path: str, problem: str) -> None:
        """Have something there that cannot be synced."""
        self._problems[path] = problem

    # What a tree does

    def entries(self) -> Iterator[Entry]:
        """Everything in it as it is now."""
        with self.lock:
            found = [self.find(path) for path in sorted({*self._files, *self._folders, *self._problems})]
        yield from filter(None, found)

    def find(self, path: str) -> Entry | None:
        """What has this path now."""
        with self.lock:
            if path in self._problems:
                return Entry(path, Kind.PROBLEM, problem=self._problems[path])
            if path in self._folders:
                return Entry(path, Kind.FOLDER, is_empty=not self._below(path))
            if path not in self._files:
                return None
            file = self._files[path]
            return Entry(path, size=len(file.content), version=file.version, mtime_ns=file.mtime_ns)

    def read(self, entry: Entry) -> Content:
        """A small file."""
        file = self.listed(entry)
        md5 = md5_of([file.content])
        if not file.checksum.part_size and md5 != file.checksum.md5:
            raise ChecksumMismatchError(f"{entry.path} has the MD5 {md5}, it was written with {file.checksum.md5}")
        return Content(file.content, md5, file.mtime_ns)

    def source(self, entry: Entry) -> Source:
        """A file, to read in parts."""
        return _MemoryTreeSource(self, entry)

    def describe(self, entry: Entry) -> Description:
        """Its time and its checksum."""
        file = self.listed(entry)
        return Description(file.mtime_ns, file.checksum)

    def write(self, path: str, content: Content, replaced: Entry | None) -> Entry:
        """A small file in place of another; what is there and is another than `replaced` is kept beside it."""
        return self.place(path, content.content, content.mtime_ns, Checksum(content.md5), replaced)

    def sink(self, path: str, source_version: str, description: Description, replaced: Entry | None) -> TreeSink:
        """The same for a large file."""
        _check_path(path)
        return MemoryTreeSink(self, path, source_version, description, replaced)

    def make_folder(self, path: str) -> Entry:
        """Have a folder."""
        _check_path(path)
        with self.lock:
            if path.removesuffix("/") in self._files:
                raise ChangedElsewhereError(f"{path} is a file")
            self._folders.add(path)
            return Entry(path, Kind.FOLDER, is_empty=not self._below(path))

    def set_aside(self, entry: Entry) -> Entry:
        """Rename a file, or a folder with all that is in it."""
        with self.lock:
            self._check_unchanged(entry)
            kept = next(path for path in conflict_paths(entry.path, datetime.now(UTC)) if self.find(path) is None)
            for path in [entry.path, *self._below(entry.path)]:
                renamed = kept + path.removeprefix(entry.path)
                if path in self._files:
                    self._files[renamed] = self._files.pop(path)
                if path in self._folders:
                    self._folders.remove(path)
                    self._folders.add(renamed)
            return self.find(kept) or Entry(kept, entry.kind)

    def sweep(self, older_than_seconds: float) -> int:  # noqa: ARG002 - nothing here has an age
        """Forget everything unfinished."""
        with self.lock:
            count = len(self.unfinished)
            self.unfinished.clear()
        return count

    def settle(self) -> None:
        """Nothing: memory is as durable as it will ever be."""

    def remove(self, entry: Entry) -> None:
        """Remove a file, or an empty folder, and the folders that became empty by it."""
        with self.lock:
            if self.find(entry.path) is not None:
                self._check_unchanged(entry)
            if entry.kind is Kind.FOLDER and not self._folders.issuperset(self._below(entry.path)):
                raise ChangedElsewhereError(f"{entry.path} is not empty")
            self._files.pop(entry.path, None)
            self._folders.discard(entry.path)
            above = entry.path.removesuffix("/")
            while (above := above.rpartition("/")[0]) and not self._below(above + "/"):
                self._folders.discard(above + "/")

    # What its sources and sinks ask of it

    def listed(self, entry: Entry) -> _File:
        """The file when it is as it was listed; SourceChangedError when it is not."""
        with self.lock:
            file = self._files.get(entry.path)
        if file is None or file.version != entry.version:
            raise SourceChangedError(f"{entry.path} was changed since it was listed")
        return file

    def place(self, path: str, content: bytes, mtime_ns: int, checksum: Checksum, replaced: Entry | None) -> Entry:
        """Put a finished file in its place."""
        _check_path(path)
        with self.lock:
            there = self._files.get(path)
            if path + "/" in self._folders or path in self._problems:
                raise ChangedElsewhereError(f"{path} is no file")
            if there is not None and (replaced is None or replaced.version != there.version):
                if there.content == content:
                    return self.find(path) or Entry(path)
                kept = next(kept for kept in conflict_paths(path, datetime.now(UTC)) if self.find(kept) is None)
                self._files[kept] = there
            return self._put(path, content, mtime_ns, checksum)

    def _put(self, path: str, content: bytes, mtime_ns: int, checksum: Checksum) -> Entry:
        with self.lock:
            file = self._files[path] = _File(content, self._new_version(), mtime_ns, checksum)
        return Entry(path, size=len(content), version=file.version, mtime_ns=mtime_ns)

    def _new_version(self) -> str:
        return str(next(self._versions))

    def _below(self, path: str) -> list[str]:
        if not path.endswith("/"):
            return []
        everything = (*self._files, *self._folders, *self._problems)
        return [other for other in everything if other.startswith(path) and other != path]

    def _check_unchanged(self, entry: Entry) -> None:
        found = self.find(entry.path)
        if found is None or (found.kind, found.version) != (entry.kind, entry.version):
            raise ChangedElsewhereError(f"{entry.path} was changed since it was listed")


class _MemoryTreeSource:
    """A listed file, to read in parts."""

    def __init__(self, tree: MemoryTree, entry: Entry) -> None:
        self._tree, self._entry = tree, entry

    def stat(self) -> SourceInfo:
        self._tree.listed(self._entry)
        version = Validator(ValidatorKind.VERSION, self._entry.version)
        return SourceInfo(size=self._entry.size, validator=version, ranges=True)

    @contextmanager
    def open(self, offset: int, end: int | None) -> Iterator[Reader]:
        with MemorySource(self._tree.listed(self._entry).content).open(offset, end) as reader:
            yield reader
        self._tree.listed(self._entry)


@dataclass(slots=True)
class Unfinished:
    """A large file on its way, of one version of its source."""

    source_version: str
    plan: Plan
    sink: MemorySink = field(default_factory=MemorySink)
    entry: Entry | None = None
    """What it is in the tree, once it is."""


class MemoryTreeSink:
    """A large file on its way into a tree in memory, by any number of sinks."""

    def __init__(
        self, tree: MemoryTree, path: str, source_version: str, description: Description, replaced: Entry | None
    ) -> None:
        self._tree, self._path = tree, path
        self._source_version = source_version
        self._description = description
        self._replaced = replaced
        self._file: Unfinished | None = None

    def begin(self, plan: Plan) -> None:
        """Go on with what is there of this version and plan, or begin anew."""
        with self._tree.lock:
            if not self.join(plan):
                self._file = self._tree.unfinished[self._path] = Unfinished(self._source_version, plan)
                self._file.sink.begin(plan)

    def join(self, plan: Plan) -> bool:
        """Take part in what was begun."""
        file = self._tree.unfinished.get(self._path)
        if file is None or (file.source_version, file.plan) != (self._source_version, plan):
            return False
        self._file = file
        return True

    def stored_parts(self) -> dict[int, StoredPart]:
        """The beginnings of parts that have arrived."""
        return self._begun.sink.stored_parts()

    def trust(self, part: Part, md5: Callable[[], str]) -> bool:  # noqa: ARG002 - nobody else's bytes are here
        """Whether it is stored whole."""
        stored = self.stored_parts().get(part.number)
        return stored is not None and stored.size == part.size

    def write_part(self, part: Part, reader: Reader, start: int = 0) -> StoredPart:
        """Keep all that the reader gives."""
        return self._begun.sink.write_part(part, reader, start)

    def checksum(self, part_size: int | None = None) -> Checksum:
        """Of the bytes that are here."""
        content = self._whole(sum(part.size for part in self.stored_parts().values()))
        if part_size == 0:
            return Checksum(md5_of([content]))
        plan = self._begun.plan if part_size is None else Plan(len(content), part_size)
        return checksum_of_parts((md5_of([content[part.offset : part.end]]) for part in plan), plan.part_size)

    def publish(self, size: int) -> Entry:
        """Put it in its place, once."""
        with self._tree.lock:
            file = self._begun
            if file.entry is None:
                content = self._whole(size)
                if self._tree.unfinished.get(self._path) is not file:
                    raise SinkError(f"{self._path} was begun anew by somebody else")
                mtime_ns = self._description.mtime_ns
                file.entry = self._tree.place(self._path, content, mtime_ns, self.checksum(), self._replaced)
            return file.entry

    def complete(self, size: int) -> None:
        """Publish it, and forget how it came."""
        self.publish(size)
        with self._tree.lock:
            if self._tree.unfinished.get(self._path) is self._file:
                del self._tree.unfinished[self._path]

    def abort(self) -> None:
        """Forget every part."""
        with self._tree.lock:
            self._tree.unfinished.pop(self._path, None)
        if self._file is not None:
            self._file.sink.abort()

    def close(self) -> None:
        """Nothing is open."""

    @property
    def _begun(self) -> Unfinished:
        if self._file is None:
            raise SinkError("nothing was begun")
        return self._file

    def _whole(self, size: int) -> bytes:
        self._begun.sink.complete(size)
        return self._begun.sink.content or b""


def _check_path(path: str) -> None:
    if problem := problem_of_path(path):
        raise FolderUnusableError(problem)
