"""One file into a backup or out of it: read once, hashed on the way, never half there under its name."""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

BLOCK_BYTES = 2**20
TRIES = 3
_ZEROS = bytes(BLOCK_BYTES)
_FRESH = ".restoring"


class ChangedError(OSError):
    """The file was written to while it was read, again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What a file was when it was copied."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    sha256: str


def copy(source: Path, target: Path, *, settled: bool = True) -> Copied:
    """Copy a file with its times and permissions to a name that nothing has; holes stay holes.

    ChangedError when somebody writes to it all the time; one that is not `settled` is taken as it is found.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(TRIES):
        copied = _copied(source, target)
        if not settled or _mark(source.lstat()) == (copied.size, copied.mtime_ns, copied.ctime_ns, copied.inode):
            return copied
        target.unlink()
    raise ChangedError(f"changed {TRIES} times while it was read")


def put(source: Path, target: Path, *, sha256: str) -> bool:
    """Copy a file out of a backup under its name at once or not at all; False when its bytes are others than told."""
    fresh = target.with_name(target.name[:200] + _FRESH)
    fresh.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if _copied(source, fresh).sha256 != sha256:
        fresh.unlink()
        return False
    os.link(fresh, target)  # unlike a rename it takes no other file's place
    fresh.unlink()
    return True


def link(earlier: Path, target: Path) -> bool:
    """Give a file of an earlier backup a second name; False where that cannot be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        os.link(earlier, target)
        return True
    return False


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, safe against power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folders(root: Path) -> None:
    """Make the names in a folder, however deep, safe against power loss, and not all disks of the machine."""
    for folder, _, _ in os.walk(root):
        sync(Path(folder))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copied(source: Path, target: Path) -> Copied:
    digest, offset = hashlib.sha256(), 0
    with ExitStack() as closing:
        reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        closing.callback(os.close, reading)
        status = os.fstat(reading)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("is no file")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        writing = os.open(target, flags, 0o600)
        closing.callback(os.close, writing)
        while block := os.read(reading, BLOCK_BYTES):
            digest.update(block)
            if block != _ZEROS[: len(block)]:
                _write(writing, block, offset)
            offset += len(block)
        os.ftruncate(writing, offset)
        os.fchmod(writing, stat.S_IMODE(status.st_mode))
        os.utime(writing, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.fsync(writing)  # a name after a power cut means that the bytes are there
    mark = dict(zip(("size", "mtime_ns", "ctime_ns", "inode"), _mark(status), strict=True))
    return Copied(**mark | {"size": offset}, sha256=digest.hexdigest())


def _write(fileno: int, block: bytes, offset: int) -> None:
    left = memoryview(block)
    while left:
        count = os.pwrite(fileno, left, offset)
        left, offset = left[count:], offset + count


def _mark(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
