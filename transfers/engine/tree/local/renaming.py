"""Renames that take no other file's place: by renameat2 on Linux, and by what comes closest to it elsewhere."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

NOREPLACE = 1
EXCHANGE = 2
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)
_NO_LINKS = (*_CANNOT, errno.EPERM, errno.EMLINK)


@dataclass(frozen=True, slots=True)
class Spot:
    """A name in an open folder."""

    folder: int
    name: bytes


def look(spot: Spot) -> os.stat_result | None:
    """What is there now, without following a link; None when nothing is."""
    try:
        return os.stat(spot.name, dir_fd=spot.folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def unlink(spot: Spot) -> None:
    """Remove that name of a file."""
    os.unlink(spot.name, dir_fd=spot.folder)


def move(old: Spot, new: Spot) -> None:
    """Rename what may be somebody else's; FileExistsError when the new name is taken."""
    if _renamed(old, new, NOREPLACE):
        return
    # The name is reserved, and then taken by one atomic rename: between a link and an unlink somebody might put another
    # file under the old name, which the unlink would remove.
    take_back = _reserve(new, like=os.stat(old.name, dir_fd=old.folder, follow_symlinks=False))
    try:
        os.rename(old.name, new.name, src_dir_fd=old.folder, dst_dir_fd=new.folder)
    except OSError:
        take_back(new.name, dir_fd=new.folder)
        raise


def give(old: Spot, new: Spot) -> None:
    """Rename a file of our own; FileExistsError when the new name is taken. At no time is anything else under it."""
    if _renamed(old, new, NOREPLACE):
        return
    try:
        os.link(old.name, new.name, src_dir_fd=old.folder, dst_dir_fd=new.folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if look(new) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        os.rename(old.name, new.name, src_dir_fd=old.folder, dst_dir_fd=new.folder)  # there is no better way
        return
    unlink(old)


def exchange(one: Spot, other: Spot) -> bool:
    """Let two names swap what they stand for, at once; False where that cannot be done."""
    return _renamed(one, other, EXCHANGE)


def _renamed(old: Spot, new: Spot, flags: int) -> bool:
    try:
        renameat2(old, new, flags)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise
    return True


def _reserve(spot: Spot, like: os.stat_result) -> Callable[..., None]:
    """Make an empty folder or file there; what removes it again."""
    if stat.S_ISDIR(like.st_mode):
        os.mkdir(spot.name, dir_fd=spot.folder)
        return os.rmdir
    os.close(os.open(spot.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=spot.folder))
    return os.unlink


def _system_call() -> Callable[[int, bytes, int, bytes, int], int] | None:
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return call


_RENAMEAT2 = _system_call()


def renameat2(old: Spot, new: Spot, flags: int) -> None:
    """The system call of that name; OSError with ENOSYS where there is none."""
    if _RENAMEAT2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _RENAMEAT2(old.folder, old.name, new.folder, new.name, flags):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
