"""The folders of a tree on disk, entered name by name, so that no link in it is ever followed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from transfers.engine.local.disk import sync_folder

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Names = tuple[bytes, ...]
"""A path below the root, name by name; () is the root itself."""


def open_folder(name: bytes | Path, above: int | None = None) -> int:
    """Open a folder, in the open folder `above`; NotADirectoryError for a link, too."""
    return os.open(name, _FLAGS, dir_fd=above)


def identity(fileno: int) -> tuple[int, int]:
    """What tells this open folder from all others."""
    status = os.fstat(fileno)
    return status.st_dev, status.st_ino


class Folders:
    """A root and what is below it. Any thread may use it; it keeps nothing open."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unsynced: set[Names] = set()
        self._lock = threading.Lock()
        self._settling = threading.Lock()

    @contextmanager
    def opened(self, names: Names, *, make: bool = False) -> Iterator[int]:
        """Open the folder with this path; FileNotFoundError, or `make` it and what is missing above it."""
        fileno = self.open(names, make=make)
        try:
            yield fileno
        finally:
            os.close(fileno)

    def open(self, names: Names, *, make: bool = False) -> int:
        """The same, for the caller to close."""
        fileno = self._open_root(make=make)
        try:
            for depth, name in enumerate(names):
                above = fileno
                fileno = self._open_or_make(name, above, names[:depth]) if make else open_folder(name, above)
                os.close(above)
        except OSError:
            os.close(fileno)
            raise
        return fileno

    def touched(self, names: Names) -> None:
        """Names in this folder were changed, and are still to be made durable."""
        with self._lock:
            self._unsynced.add(names)

    def settle(self) -> None:
        """Make all durable that was touched before; whoever comes while another is at it waits for him."""
        with self._settling:
            with self._lock:
                unsynced, self._unsynced = self._unsynced, set()
            try:
                for names in list(unsynced):
                    self._sync(names)
                    unsynced.discard(names)
            finally:
                with self._lock:
                    self._unsynced |= unsynced

    def _sync(self, names: Names) -> None:
        # A folder that is gone was removed, which was noted at the one above it.
        with suppress(FileNotFoundError, NotADirectoryError), self.opened(names) as fileno:
            os.fsync(fileno)

    def _open_root(self, *, make: bool) -> int:
        try:
            return open_folder(self._root)
        except FileNotFoundError:
            if not make:
                raise
        self._make_root()
        return open_folder(self._root)

    def _make_root(self) -> None:
        missing = [folder for folder in (self._root, *self._root.parents) if not folder.exists()]
        self._root.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            sync_folder(folder.parent)

    def _open_or_make(self, name: bytes, above: int, names_above: Names) -> int:
        with suppress(FileNotFoundError):
            return open_folder(name, above)
        with suppress(FileExistsError):  # somebody else who needs it was quicker
            os.mkdir(name, dir_fd=above)
        self.touched(names_above)
        return open_folder(name, above)
