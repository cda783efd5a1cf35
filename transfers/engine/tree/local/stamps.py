"""What is written on a file beside its bytes: its time, and the checksum of a tree that keeps them."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress

from transfers.engine.tree.base import Checksum, parse_checksum

ATTRIBUTE = "user.carryon.checksum"
"""The extended attribute that has a file's checksum, and the mtime, in nanoseconds, and size that it had with it."""
_ACCESS = 0o777


def stamp(fileno: int, mtime_ns: int, checksum: Checksum | None) -> None:
    """Give an unfinished file its time, and the checksum where the file system can keep one."""
    with suppress(OverflowError):  # a time that no file system knows: the time of writing stays
        os.utime(fileno, ns=(mtime_ns, mtime_ns))
    if checksum is not None and sys.platform == "linux":
        with suppress(OSError):
            os.setxattr(fileno, ATTRIBUTE, f"{checksum} {_looks(fileno)}".encode())


def kept_checksum(fileno: int) -> Checksum | None:
    """The checksum that the file was written with; None when there is none, or somebody has edited the file since."""
    if sys.platform != "linux":
        return None
    try:
        checksum, _, looked = os.getxattr(fileno, ATTRIBUTE).decode(errors="replace").partition(" ")
    except OSError:
        return None
    return parse_checksum(checksum) if looked == _looks(fileno) else None


def _looks(fileno: int) -> str:
    """What an edit changes, unless it hides itself: that cannot be told from damage, and is taken for it."""
    status = os.fstat(fileno)
    return f"{status.st_mtime_ns} {status.st_size}"


def take_over_mode(fileno: int, replaced: os.stat_result | None) -> None:
    """Let those, and only those, use the file who could use the one that it replaces."""
    if replaced is None or not stat.S_ISREG(replaced.st_mode):
        return
    if (mode := replaced.st_mode & _ACCESS) != os.fstat(fileno).st_mode & _ACCESS:
        os.fchmod(fileno, mode)
