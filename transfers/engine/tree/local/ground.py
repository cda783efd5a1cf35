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

    def sweep(self, older_than_seconds: float) -> None:
        """Remove from the staging folder what nobody has touched for so long."""
        deadline_ns = time.time_ns() - int(older_than_seconds * 10**9)
        with sink_errors("the staging folder"), suppress(FileNotFoundError):
            staging = open_folder(self.staging)
            try:
                # Journals first: none may ever vouch for an inode that could be another file's.
                for name in sorted(os.listdir(staging), key=lambda name: not name.endswith(JOURNAL_SUFFIX)):
                    spot = Spot(staging, os.fsencode(name))
                    status = look(spot)
                    # Not the time of the last change of the bytes, which may be the source's by now.
                    if status is not None and status.st_ctime_ns < deadline_ns:
                        unlink(spot)
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
