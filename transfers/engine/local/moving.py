"""Bytes that go from file to file without passing through memory."""

from __future__ import annotations

import os

from transfers.engine.local.disk import FULL

MOST_BYTES = 2**30
"""What is asked of the kernel at once: some systems take no more than 2 GiB."""


def move_in_kernel(reading: int, start: int, writing: int, offset: int, count: int) -> int | None:
    """Copy up to `count` bytes between open files, sharing blocks where the file system can; how many, 0 at the end.

    None where the system cannot (between these two), or says only that something failed: then reading and writing will
    tell. OSError when there is no space left.
    """
    if not hasattr(os, "copy_file_range"):
        return None
    try:
        return os.copy_file_range(reading, writing, min(count, MOST_BYTES), start, offset)
    except OSError as error:
        if error.errno in FULL:
            raise
        return None
