"""The file on this machine: read in slices by any number of threads, and watched for changes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from carryon.errors import FileChangedError, FileError
from carryon.plan import Part
from carryon.stop import Stop

READ_BYTES = 2**20
SEND_BYTES = 2**18
"""Handed to a socket at once: a line of 10 KiB/s takes that within the time that a socket may stand still."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What changes when a file's bytes do: as good as a hash for the time between two runs, and free."""

    size: int
    modified_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """The fingerprint of the file that was asked about."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


class LocalFile:
    """An open regular file; a context manager, to be used by any thread."""

    def __init__(self, path: Path, stop: Stop) -> None:
        """FileError when there is no such file, or it cannot be read."""
        self.path = path
        self._stop = stop
        self._descriptor = _open(path)
        self.fingerprint = Fingerprint.of(os.fstat(self._descriptor))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    @property
    def size(self) -> int:
        """Bytes, when it was opened."""
        return self.fingerprint.size

    @property
    def name(self) -> str:
        """Its name without folders, as text that any server can take."""
        return os.fsencode(self.path.name).decode("utf-8", "replace")

    def md5(self, told: Callable[[int], None]) -> str:
        """The MD5 of the whole file as hex; `told` hears of each number of bytes. FileChangedError, FileError."""
        digest = self._md5(Part(1, 0, self.size), told)
        self.check_unchanged()
        return digest

    def md5_of(self, part: Part) -> str:
        """The MD5 of one part as hex; FileChangedError, FileError."""
        return self._md5(part, lambda _: None)

    def chunks(self, part: Part, chunk_bytes: int = SEND_BYTES) -> Iterator[bytes]:
        """The part's bytes, piece by piece; FileChangedError when there are fewer, FileError, Stopped."""
        offset, end = part.offset, part.offset + part.size
        while offset < end:
            self._stop.check()
            chunk = self._read(min(chunk_bytes, end - offset), offset)
            yield chunk
            offset += len(chunk)

    def check_unchanged(self) -> None:
        """FileChangedError when somebody wrote into the file since it was opened."""
        if Fingerprint.of(os.fstat(self._descriptor)) != self.fingerprint:
            raise FileChangedError("the file changed while it was read; run the command again when it is at rest")

    def _md5(self, part: Part, told: Callable[[int], None]) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in self.chunks(part, READ_BYTES):
            digest.update(chunk)
            told(len(chunk))
        return digest.hexdigest()

    def _read(self, count: int, offset: int) -> bytes:
        try:
            chunk = os.pread(self._descriptor, count, offset)
        except OSError as error:
            raise FileError(f"cannot be read: {error.strerror}") from error
        if not chunk:
            raise FileChangedError(
                "the file became shorter while it was read; run the command again when it is at rest"
            )
        return chunk


class PartBody:
    """One part as the body of a request: its length is known, and no more than a chunk of it is in memory."""

    def __init__(self, file: LocalFile, part: Part, told: Callable[[int], None]) -> None:
        """`told` hears of each number of bytes once the socket has taken them."""
        self._file, self._part, self._told = file, part, told

    def __len__(self) -> int:
        return self._part.size

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._file.chunks(self._part):
            yield chunk
            self._told(len(chunk))


def _open(path: Path) -> int:
    try:
        kind = path.stat().st_mode  # first, because opening a pipe would wait for its other end
        if stat.S_ISDIR(kind):
            raise FileError("is a folder; name the files in it")
        if not stat.S_ISREG(kind):
            raise FileError("is no regular file")
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise FileError(_reason(error)) from error


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "may not be read by you"
    return f"cannot be opened: {getattr(error, 'strerror', None) or error}"
