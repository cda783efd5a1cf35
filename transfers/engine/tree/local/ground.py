"""What all of a tree on disk stands on: its folders, and the one where unfinished files lie."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from transfers.engine.local import JOURNAL_SUFFIX
from transfers.engine.local.disk import sink_errors
from transfers.engine.tree.local.folders import Folders, Names, open_folder
from transfers.engine.tree.local.renaming import Spot, look, unlink
from transfers.engine.tree.names import conflict_paths

_JOURNAL = JOURNAL_SUFFIX.encode()


@dataclass(frozen=True, slots=True)
class Ground:
    """A tree's folders, and the staging folder, which is on the same file system and not within them."""

    folders: Folders
    staging: Path
    keeps_checksums: bool

    @contextmanager
    def staging_folder(self) -> Iterator[int]:
        """Open the staging folder; it is made when it is not there."""
        with sink_errors("the staging folder"):
            try:
                fileno = open_folder(self.staging)
            except FileNotFoundError:
                self.staging.mkdir(parents=True, exist_ok=True)
                fileno = open_folder(self.staging)
        try:
            yield fileno
        finally:
            os.close(fileno)

    def sweep(self, older_than_seconds: float) -> int:
        """Remove from the staging folder what nobody has touched for so long, and tell how many files."""
        limit_ns = time.time_ns() - int(older_than_seconds * 10**9)
        with sink_errors("the staging folder"):
            try:
                staging = open_folder(self.staging)
            except FileNotFoundError:
                return 0
            try:
                return sum(_unlinked(Spot(staging, name), limit_ns) for name in _journals_first(staging))
            finally:
                os.close(staging)

    @contextmanager
    def target(self, names: Names, *, make: bool = False) -> Iterator[Spot]:
        """Where the file with this path is or shall be; what happens to it there is made durable by `settle`."""
        with self.folders.opened(names[:-1], make=make) as folder:
            try:
                yield Spot(folder, names[-1])
            finally:
                self.folders.touched(names[:-1])


def beside(path: str) -> Iterator[bytes]:
    """The names that what has this path can be kept under beside it."""
    return (kept.removesuffix("/").rpartition("/")[2].encode() for kept in conflict_paths(path, datetime.now(UTC)))


def _journals_first(staging: int) -> list[bytes]:
    """The names in the staging folder; no journal may outlive its file, whose inode could be another's then."""
    with os.scandir(staging) as found:
        return sorted((os.fsencode(child.name) for child in found), key=lambda name: not name.endswith(_JOURNAL))


def _unlinked(spot: Spot, limit_ns: int) -> bool:
    status = look(spot)
    if status is None or status.st_ctime_ns > limit_ns:  # the mtime may be the source's by now
        return False
    with suppress(FileNotFoundError):
        unlink(spot)
    return True
