"""The bytes that are uploaded, in one prepared file, and their checksums, taken before anything is measured."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MIB = 2**20
SHIFT_BYTES = 4096
SLACK_MIB = 1


@dataclass(frozen=True)
class Piece:
    """A run of the prepared file."""

    offset: int
    size: int


class Source:
    """Random bytes in the page cache; any number of different pieces of them, and so files of any size."""

    def __init__(self, path: Path, size: int) -> None:
        """Write `size` bytes and a little more, synced, so that they disturb no measurement."""
        with path.open("wb") as file:
            for _ in range(size // MIB + SLACK_MIB):
                file.write(os.urandom(MIB))
            file.flush()
            os.fsync(file.fileno())
        self.file: BinaryIO = path.open("rb")
        self._size = size
        self._bytes = mmap.mmap(self.file.fileno(), 0, prot=mmap.PROT_READ)
        self._digests: dict[tuple[str, Piece], bytes] = {}

    def pieces(self, size: int, piece_bytes: int, first: int = 0) -> list[Piece]:
        """A file of that size, cut up; past its end the source is used again shifted, so that no two are alike.

        `first` pieces of the source are left out: several files need not be the same.
        """
        lap_pieces = self._size // piece_bytes
        pieces = []
        for number, start in enumerate(range(0, size, piece_bytes), first):
            lap, index = divmod(number, lap_pieces)
            pieces.append(Piece(index * piece_bytes + lap * SHIFT_BYTES, min(piece_bytes, size - start)))
        return pieces

    def digest(self, name: str, piece: Piece) -> bytes:
        """A piece's checksum, computed once."""
        if (name, piece) not in self._digests:
            with memoryview(self._bytes) as whole, whole[piece.offset : piece.offset + piece.size] as part:
                self._digests[name, piece] = hashlib.new(name, part, usedforsecurity=False).digest()
        return self._digests[name, piece]

    def sha256(self, pieces: Sequence[Piece]) -> str:
        """What the file of these pieces must have, as hex."""
        digest = hashlib.sha256()
        with memoryview(self._bytes) as whole:
            for piece in pieces:
                digest.update(whole[piece.offset : piece.offset + piece.size])
        return digest.hexdigest()

    def close(self) -> None:
        """Let go of the file."""
        self._bytes.close()
        self.file.close()
