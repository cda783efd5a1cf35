"""Writing, syncing, and what an OSError means for a transfer."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transfers.errors import FolderUnusableError, OutOfSpaceError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def sink_errors(folder: Path | str) -> Iterator[None]:
    """Tell an OSError as what it means for a transfer; the folder as its user may know it."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise OutOfSpaceError(f"no space is left in {folder}") from error
        raise FolderUnusableError(f"{folder}: {error.strerror or error}") from error


def write_all(fileno: int, chunk: memoryview, offset: int) -> None:
    """Write the whole chunk at the offset; OSError when no more of it fits."""
    while chunk:
        count = os.pwrite(fileno, chunk, offset)
        chunk, offset = chunk[count:], offset + count


def fdatasync(fileno: int) -> None:
    """Make the file's bytes, and what is needed to find them, safe against power loss."""
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(fileno)


def sync_folder(folder: Path) -> None:
    """Make the folder's names safe against power loss."""
    fileno = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fileno)
    finally:
        os.close(fileno)
