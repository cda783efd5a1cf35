"""The files that are synced: made once, copied for each run, changed, and compared."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

MIB = 2**20
SMALL_BYTES = 4096
FILES_A_FOLDER = 100

Contents = Mapping[str, tuple[int, str]]
"""Of a tree: each file's bytes and MD5, by its path."""


def make_small(folder: Path, count: int) -> None:
    """So many files of 4 KiB, a hundred to a folder."""
    for number in range(count):
        path = folder / f"{number // FILES_A_FOLDER:04}" / f"{number:06}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(SMALL_BYTES))


def make_large(folder: Path, size: int) -> None:
    """One file."""
    folder.mkdir(parents=True)
    with (folder / "large.bin").open("wb") as file:
        for start in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - start)))


def edit(folder: Path, count: int) -> None:
    """Give so many files, spread over the whole tree, other bytes of the same size."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in paths[:: max(1, len(paths) // count)][:count]:
        path.write_bytes(os.urandom(path.stat().st_size))


def contents(folder: Path) -> Contents:
    """What there is."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            found[str(path.relative_to(folder))] = (path.stat().st_size, md5)
    return found
