"""The listing of a tree on disk: all of it in one order, in the memory that its largest folder needs."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from transfers.engine.tree.base import Entry, Kind
from transfers.engine.tree.local.failures import reading, reading_failure
from transfers.engine.tree.local.folders import Folders, Names, identity, open_folder
from transfers.engine.tree.local.versions import entry_of
from transfers.engine.tree.names import MAX_PATH_BYTES
from transfers.errors import SourceChangedError, SourceRefusedError

_CHANGED = "it was changed while it was listed"
_SPECIAL = {
    stat.S_IFLNK: "it is a link",
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFBLK: "it is a device",
    stat.S_IFCHR: "it is a device",
}


def walk(folders: Folders) -> Iterator[Entry]:
    """Tell everything below the root, sorted by the UTF-8 bytes of the paths; nothing where there is no root."""
    with reading(""):
        try:
            root = folders.open(())
        except FileNotFoundError:
            return
        except NotADirectoryError:
            raise SourceRefusedError("the folder is none: it is a link, or a file") from None
    found = _Walk(folders, root)
    try:
        yield from found.entries()
    except OSError as error:
        raise reading_failure(found.path, error) from error
    finally:
        found.close()


def entry_of_any(path: str, status: os.stat_result, now_ns: int) -> Entry:
    """The entry of what is taken for a file: a problem when it is something else."""
    if stat.S_ISREG(status.st_mode):
        return entry_of(path, status, now_ns)
    special = _SPECIAL.get(stat.S_IFMT(status.st_mode))
    return _problem(path, special) if special else _problem(path, _CHANGED, is_passing=True)


def is_empty(folder: int) -> bool:
    """Whether nothing is in this open folder."""
    with os.scandir(folder) as found:
        return next(found, None) is None


@dataclass(slots=True)
class _Level:
    """A folder that is being listed."""

    path: str
    names: Names
    identity: tuple[int, int]
    left: list[str]
    """The names in it that are still to be told, the first one last; a folder's has "/" behind it."""
    not_utf8: set[str]
    """Those of them that only look like this."""


class _Walk:
    """One folder is open at a time, however deep it lies: the way back is "..", and is proved to lead back."""

    def __init__(self, folders: Folders, root: int) -> None:
        self._folders = folders
        self._open = root
        self._levels: list[_Level] = []

    def entries(self) -> Iterator[Entry]:
        self._levels.append(_level("", (), self._open))
        while self._levels:
            level = self._levels[-1]
            while level.left:
                name = level.left.pop()
                entry = self._problem_of(level, name) or self._look(level, name)
                if entry is not None:
                    yield entry
                    if entry.kind is Kind.FOLDER:
                        break
            else:
                self._leave()

    @property
    def path(self) -> str:
        """The folder that is being listed."""
        return self._levels[-1].path if self._levels else ""

    def close(self) -> None:
        os.close(self._open)

    def _problem_of(self, level: _Level, name: str) -> Entry | None:
        if name in level.not_utf8:
            return _problem(level.path + name, "its name is not UTF-8")
        if len(level.path) + len(name) > MAX_PATH_BYTES // 4 and len((level.path + name).encode()) > MAX_PATH_BYTES:
            return _problem(level.path + name, f"its path has more than {MAX_PATH_BYTES} bytes")
        return None

    def _look(self, level: _Level, name: str) -> Entry | None:
        """What has this name; None when it is gone by now."""
        path = level.path + name
        try:
            if name.endswith("/"):
                return self._enter(path, (*level.names, name[:-1].encode()))
            now_ns = time.time_ns()
            return entry_of_any(path, os.stat(name.encode(), dir_fd=self._open, follow_symlinks=False), now_ns)
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            return _problem(path, _CHANGED, is_passing=True)
        except PermissionError as error:
            return _problem(path, f"it cannot be looked at: {error.strerror}", is_passing=True)

    def _enter(self, path: str, names: Names) -> Entry:
        below = open_folder(names[-1], self._open)
        try:
            level = _level(path, names, below)
        except BaseException:
            os.close(below)
            raise
        os.close(self._open)
        self._open = below
        self._levels.append(level)
        return Entry(path, Kind.FOLDER, is_empty=not level.left)

    def _leave(self) -> None:
        """Go back to the folder above, if there is one in the tree."""
        self._levels.pop()
        if self._levels:
            below = self._open
            self._open = self._back(self._levels[-1])
            os.close(below)

    def _back(self, level: _Level) -> int:
        ways: tuple[Callable[[], int], ...] = (
            lambda: open_folder(b"..", self._open),
            lambda: self._folders.open(level.names),
        )
        for way in ways:
            try:
                fileno = way()
            except OSError:  # one may be allowed to list a folder, and not to go through it
                continue
            if identity(fileno) == level.identity:
                return fileno
            os.close(fileno)
        raise SourceChangedError(f"{level.path or 'the folder'} was moved while it was listed")


def _level(path: str, names: Names, folder: int) -> _Level:
    """List the open folder, which has this path; FileNotFoundError when it was removed."""
    left, not_utf8 = _names_in(folder)
    if not os.fstat(folder).st_nlink:  # it was not found empty: nothing is found in what is gone
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return _Level(path, names, identity(folder), left, not_utf8)


def _names_in(folder: int) -> tuple[list[str], set[str]]:
    """The names in the open folder, the last one first, and which of them only stand for one that is not UTF-8."""
    names, odd = [], []
    with os.scandir(folder) as found:
        for child in found:
            name, end = os.fsencode(child.name), "/" if child.is_dir(follow_symlinks=False) else ""
            try:
                names.append(name.decode() + end)
            except UnicodeDecodeError:
                odd.append(name.decode(errors="backslashreplace") + end)
    not_utf8 = set(_unlike(odd, names))
    # The order of characters by their numbers is that of their bytes in UTF-8.
    return sorted({*names, *not_utf8}, reverse=True), not_utf8


def _unlike(shown: Iterable[str], names: list[str]) -> Iterator[str]:
    """These, made unlike all names that there really are."""
    taken = set(names) if shown else set()
    for name in shown:
        stem, end = name.removesuffix("/"), "/" * name.endswith("/")
        while stem + end in taken:
            stem += "?"
        taken.add(stem + end)
        yield stem + end


def _problem(path: str, problem: str, *, is_passing: bool = False) -> Entry:
    return Entry(path, Kind.PROBLEM, problem=problem, is_passing=is_passing)
