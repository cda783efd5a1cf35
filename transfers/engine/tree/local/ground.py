"""What all of a tree on disk stands on: its folders, and the one where unfinished files lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from transfers.engine.tree.local.folders import Folders, Names, open_folder
from transfers.engine.tree.local.renaming import Spot
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
        try:
            fileno = open_folder(self.staging)
        except FileNotFoundError:
            self.staging.mkdir(parents=True, exist_ok=True)
            fileno = open_folder(self.staging)
        try:
            yield fileno
        finally:
            os.close(fileno)

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
