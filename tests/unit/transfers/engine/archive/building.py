"""Archives for tests, and the same bytes by the shortest way there is."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from transfers.engine.archive import ArchiveSource, Layout, Member, Method
from transfers.engine.copying import Watch, WholePlan, copy
from transfers.engine.local import LocalSink, LocalSource
from transfers.engine.plan import Plan

MODIFIED = 1_700_000_000


def stored(name: str, content: bytes, modified: float = MODIFIED) -> Member:
    """A member that lies in the archive as it is."""
    return Member(name, len(content), zlib.crc32(content), modified, Method.STORED, len(content))


def deflated(name: str, content: bytes, modified: float = MODIFIED) -> tuple[Member, bytes]:
    """A member that is deflated, and its stored bytes."""
    deflating = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    small = deflating.compress(content) + deflating.flush()
    return Member(name, len(content), zlib.crc32(content), modified, Method.DEFLATED, len(small)), small


def pieces(layout: Layout, contents: list[bytes], offset: int = 0, end: int | None = None) -> Iterator[bytes]:
    """The runs of a range with the members' bytes put in."""
    for run in layout.runs(offset, layout.size if end is None else end):
        yield run if isinstance(run, bytes) else contents[run.number][run.offset : run.end]


def zipped(members: Mapping[Member, bytes]) -> bytes:
    """The whole archive of these members and their stored bytes."""
    return b"".join(pieces(Layout.of(members), list(members.values())))


@dataclass
class FilesOnDisk:
    """Stored members that are files of a folder, by number."""

    folder: Path
    layout: Layout

    def path(self, number: int) -> Path:
        return self.folder / str(number)

    def source(self) -> ArchiveSource:
        return ArchiveSource(self.layout, lambda number: LocalSource(self.path(number)))


def on_disk(folder: Path, contents: Mapping[str, bytes]) -> FilesOnDisk:
    """Write these to files; they are members by these names."""
    folder.mkdir(parents=True, exist_ok=True)
    files = FilesOnDisk(folder, Layout.of(stored(name, content) for name, content in contents.items()))
    for number, content in enumerate(contents.values()):
        files.path(number).write_bytes(content)
    return files


def build(files: FilesOnDisk, path: Path, part_size: int = 2**20, connections: int = 1) -> Path:
    """Build the archive as a worker does, going on with what is there; where it is now."""
    layout = files.layout
    plan = Plan(layout.size, part_size)
    sink = LocalSink(path, generation=layout.validator)
    sink.begin(plan)
    already = sink.stored_parts()
    try:
        copy(files.source(), sink, WholePlan(plan, already), Watch(plan, already), connections=connections)
        sink.complete(layout.size)
    finally:
        sink.close()
    return sink.path
