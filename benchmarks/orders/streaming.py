"""A zip of a folder's files by stream-zip, nothing compressed: `python streaming.py FOLDER ZIP`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stream_zip import NO_COMPRESSION_64, stream_zip

CHUNK_BYTES = 2**20


def members(folder: Path) -> Iterator[Any]:
    """The files as stream-zip wants them: it takes their CRC-32s by itself."""
    for path in sorted(folder.iterdir()):
        modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        yield path.name, modified, 0o644, NO_COMPRESSION_64, content(path)


def content(path: Path) -> Iterator[bytes]:
    """The file's bytes."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


if __name__ == "__main__":
    with Path(sys.argv[2]).open("wb") as file:
        file.writelines(stream_zip(members(Path(sys.argv[1]))))
