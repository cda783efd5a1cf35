"""The names that a file has while it is built and when it is whole, given and taken away without touching another's."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

PART_SUFFIX = ".part"
JOURNAL_SUFFIX = ".part.journal"
FRESH_SUFFIX = ".new"
OUR_SUFFIXES = (PART_SUFFIX, JOURNAL_SUFFIX, JOURNAL_SUFFIX + FRESH_SUFFIX)
"""What ends so is an unfinished file's, never a finished one."""
MAX_NAME_BYTES = 255 - len(JOURNAL_SUFFIX) - len(FRESH_SUFFIX) - len(" (99999)")
"""Bytes a file's name may have so that its journal's name, numbered too, still fits a file system (NAME_MAX is 255)."""
_MAX_GAPS = 100
"""How many of the names below a file's own may have become free since it got it."""
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def numbered(path: Path) -> Iterator[Path]:
    """The path, then `name (1).ext`, `name (2).ext` … as browsers do."""
    yield path
    for number in itertools.count(1):
        yield path.with_name(numbered_name(path.stem, number, path.suffix))


def numbered_name(stem: str, number: int, suffix: str) -> str:
    """The name of one of several files that would all have the same."""
    return f"{stem} ({number}){suffix}"


def inode_of(path: Path) -> int | None:
    """The inode that has this name; None when nothing has it."""
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return None


def name_of(inode: int, path: Path) -> Path | None:
    """Which of the names that a file for this path could have got is that inode's."""
    free = 0
    for candidate in numbered(path):
        found = inode_of(candidate)
        if found == inode:
            return candidate
        free += found is None
        if free > _MAX_GAPS:
            break
    return None


def open_own(path: Path, inode: int) -> int | None:
    """Open the file when it is that inode's."""
    if inode_of(path) != inode:
        return None
    fileno = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    if os.fstat(fileno).st_ino == inode:
        return fileno
    os.close(fileno)
    return None


def unlink_own(path: Path, inode: int) -> None:
    """Remove that name of the inode's, unless it is another file's by now."""
    if inode_of(path) == inode:
        path.unlink(missing_ok=True)


def link(path: Path, name: Path) -> bool:
    """Give the file another name; False when somebody has it: unlike a rename it takes no other file's place."""
    try:
        os.link(path, name)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if inode_of(name) is not None:
            return False
        path.rename(name)  # a file system without links leaves no better way
    return True
