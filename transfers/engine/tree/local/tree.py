"""A folder on a local or shared file system as a tree."""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from transfers.engine.base import Source
from transfers.engine.local.disk import write_all
from transfers.engine.tree.base import Checksum, Content, Description, Entry, Kind, TreeSink
from transfers.engine.tree.local import stamps
from transfers.engine.tree.local.failures import names_to_read, names_to_write, reading, writing
from transfers.engine.tree.local.folders import Folders, Names, open_folder
from transfers.engine.tree.local.ground import Ground, beside
from transfers.engine.tree.local.placing import place, remove_file, set_aside
from transfers.engine.tree.local.reading import LocalTreeSource, opened, read
from transfers.engine.tree.local.renaming import Spot, look, unlink
from transfers.engine.tree.local.sink import LocalTreeSink
from transfers.engine.tree.local.versions import entry_of
from transfers.engine.tree.local.walk import entry_of_any, is_empty, walk
from transfers.engine.tree.names import problem_of_path
from transfers.errors import ChangedElsewhereError


class LocalTree:
    """What is below a folder, `root`. Nothing outside is read or written: no link is followed below it.

    `staging` is a folder on the same file system, and not below `root`, in which unfinished files lie. Both are made
    when they are first needed. With `keeps_checksums` each file is given its checksum, where the file system can keep
    one, and is held against it when it is read. Any thread may use it.
    """

    checks_what_it_takes = False

    def __init__(self, root: Path, staging: Path, *, keeps_checksums: bool = False) -> None:
        self._folders = Folders(root)
        self._ground = Ground(self._folders, staging, keeps_checksums)

    def entries(self) -> Iterator[Entry]:
        """Everything below the root, which may be missing: files, every folder, and what cannot be synced."""
        return walk(self._folders)

    def find(self, path: str) -> Entry | None:
        """What has this path now; something else than a file or folder is a problem, as in a listing."""
        if problem_of_path(path):
            return None
        names = names_to_read(path)
        with reading(path):
            try:
                with self._folders.opened(names[:-1]) as folder:
                    return _found(path, names[-1], folder)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def read(self, entry: Entry) -> Content:
        """All of a small file."""
        return read(self._folders, entry, keeps_checksums=self._ground.keeps_checksums)

    def source(self, entry: Entry) -> Source:
        """A file to read in parts."""
        return LocalTreeSource(self._folders, entry)

    def describe(self, entry: Entry) -> Description:
        """The time that was listed, and the checksum that the file was written with, if it was and nobody edited it."""
        if not self._ground.keeps_checksums:
            return Description(entry.mtime_ns, None)
        with opened(self._folders, entry) as fileno:
            return Description(entry.mtime_ns, stamps.kept_checksum(fileno))

    def write(self, path: str, content: Content, replaced: Entry | None) -> Entry:
        """Put a small file in its place; whatever else than `replaced` is there is kept beside it."""
        names = names_to_write(path)
        with writing(path), self._ground.target(names, make=True) as target, self._ground.staging_folder() as staging:
            staged = Spot(staging, secrets.token_hex(12).encode())
            fileno = _create(staged)
            try:
                self._fill(fileno, content, look(target))
                place(staged, fileno, target, replaced, lambda: beside(path))
                now_ns = time.time_ns()
                return entry_of(path, os.fstat(fileno), now_ns)
            except BaseException:
                with suppress(OSError):
                    unlink(staged)
                raise
            finally:
                os.close(fileno)

    def sink(self, path: str, source_version: str, description: Description, replaced: Entry | None) -> TreeSink:
        """What a large file is written to in parts, by any number of processes; its parts lie in the staging folder."""
        return LocalTreeSink(self._ground, path, source_version, description, replaced)

    def make_folder(self, path: str) -> Entry:
        """Make the folder and all above it; ChangedElsewhereError when something else has its name."""
        names = names_to_write(path)
        with writing(path), self._folders.opened(names, make=True) as folder:
            return Entry(path, Kind.FOLDER, is_empty=is_empty(folder))

    def set_aside(self, entry: Entry) -> Entry:
        """Rename a file that is as it was listed, or a folder with all that is in it; the entry of what it is now."""
        names = names_to_write(entry.path)
        with writing(entry.path), self._ground.target(names) as target:
            kept = set_aside(target, entry, lambda: beside(entry.path))
            path = "/".join(name.decode() for name in (*names[:-1], kept.name))
            found = _found(path + "/" * (entry.kind is Kind.FOLDER), kept.name, kept.folder)
        if found is None:
            raise ChangedElsewhereError("somebody else was at it, too")
        return found

    def settle(self) -> None:
        """Sync every folder in which a name was changed."""
        with writing("the folder"):
            self._folders.settle()

    def sweep(self, older_than_seconds: float) -> int:
        """Remove what nobody has touched for so long in the staging folder; no file of the tree is ever there."""
        return self._ground.sweep(older_than_seconds)

    def remove(self, entry: Entry) -> None:
        """Remove a file, or an empty folder, and then those above it that are empty."""
        names = names_to_write(entry.path)
        with writing(entry.path), suppress(FileNotFoundError), self._ground.target(names) as target:
            if entry.kind is Kind.FOLDER:
                os.rmdir(target.name, dir_fd=target.folder)
            else:
                remove_file(target, entry, lambda: beside(entry.path))
        self._prune(names[:-1])

    def _prune(self, names: Names) -> None:
        for depth in range(len(names), 0, -1):
            try:
                with self._folders.opened(names[: depth - 1]) as folder:
                    os.rmdir(names[depth - 1], dir_fd=folder)
            except FileNotFoundError:
                continue
            except OSError:  # not empty, or not ours to remove: it stays, and so do those above it
                return
            self._folders.touched(names[: depth - 1])

    def _fill(self, fileno: int, content: Content, replaced: os.stat_result | None) -> None:
        write_all(fileno, memoryview(content.content), 0)
        checksum = Checksum(content.md5) if self._ground.keeps_checksums else None
        stamps.stamp(fileno, content.mtime_ns, checksum)
        stamps.take_over_mode(fileno, replaced)
        os.fsync(fileno)


def _create(staged: Spot) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(staged.name, flags, 0o644, dir_fd=staged.folder)


def _found(path: str, name: bytes, folder: int) -> Entry | None:
    """What has this path, and this name in the open folder; a file is no folder, and the other way round."""
    now_ns = time.time_ns()
    status = look(Spot(folder, name))
    if status is None or stat.S_ISDIR(status.st_mode) != path.endswith("/"):
        return None
    if not stat.S_ISDIR(status.st_mode):
        return entry_of_any(path, status, now_ns)
    fileno = open_folder(name, folder)
    try:
        return Entry(path, Kind.FOLDER, is_empty=is_empty(fileno))
    finally:
        os.close(fileno)
