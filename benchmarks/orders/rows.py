"""Stored files for the benchmark: `python -m benchmarks.orders.rows USER FOLDER NAME COUNT SIZE [--no-bytes]`.

Makes COUNT files of SIZE bytes in FOLDER, and puts them among the user's stored files in the logical folder NAME as a
sync does, with their CRC-32. Without bytes there are only rows, for what looks at rows alone.
"""

from __future__ import annotations

import random
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402 - what follows needs the settings
from django.db import connection, transaction  # noqa: E402

from transfers.services import stored_file as files  # noqa: E402
from transfers.services.stored_file import Kept  # noqa: E402

MIB = 2**20
BATCH = 5_000
CHECKSUMS = {"md5": "0" * 32, "sha256": "0" * 64}
"""So that no worker takes them while others are measured."""


def main() -> None:
    """Make them."""
    user, folder, name, count, size = sys.argv[1:6]
    with_bytes = "--no-bytes" not in sys.argv
    owner_id = User.objects.get(username=user).pk
    for first in range(0, int(count), BATCH):
        numbers = range(first, min(first + BATCH, int(count)))
        made = [_made(Path(folder), name, number, int(size), with_bytes=with_bytes) for number in numbers]
        with transaction.atomic():
            files.keep(owner_id=owner_id, files=made)
    if connection.vendor == "postgresql":
        connection.cursor().execute("VACUUM ANALYZE")  # as the server does by itself a minute later


def _made(folder: Path, name: str, number: int, size: int, *, with_bytes: bool) -> Kept:
    path, crc32, modified_ns = folder / f"file-{number:06}.mov", 0, 1
    if with_bytes:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for chunk in _chunks(size, number):
                file.write(chunk)
                crc32 = zlib.crc32(chunk, crc32)
        modified_ns = path.stat().st_mtime_ns
    digests = {**CHECKSUMS, "crc32": f"{crc32:08x}"}
    return Kept(path=path, folder=name, size=size, modified_ns=modified_ns, digests=digests)


def _chunks(size: int, seed: int) -> Iterator[bytes]:
    """Bytes that no compression makes smaller."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    while size:
        chunk = chance.randbytes(min(size, MIB))
        yield chunk
        size -= len(chunk)


if __name__ == "__main__":
    main()
