"""What a path in a tree must be, and what is kept beside a file is called: alike wherever the tree lies."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime

MAX_NAME_BYTES = 255
"""Bytes of one name that file systems take (NAME_MAX)."""
MAX_KEY_BYTES = 1024
"""The longest key of an object (docs: Amazon S3, naming objects)."""
MAX_PATH_BYTES = 4096
"""Bytes of a whole path that programs can name to a kernel (PATH_MAX)."""
_MAX_EXTENSION_BYTES = 32
"""A longer end of a name is no extension that a shortened name must keep."""
_CONFLICT = re.compile(r"\.conflict-[0-9]{8}T[0-9]{6}Z(-[0-9]+)?$")


def problem_of_path(path: str) -> str:
    """Why no file or folder can have this path in every tree, in words for people; "" when one can.

    A folder's path may end in "/".
    """
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if size > MAX_PATH_BYTES:
        return f"its path has more than {MAX_PATH_BYTES} bytes"
    if path.startswith("/"):
        return 'its path begins with "/"'
    if "\0" in path:
        return "its name has a NUL character in it"
    return next(filter(None, map(_problem_of_name, path.removesuffix("/").split("/"))), "")


def _problem_of_name(name: str) -> str:
    if not name:
        return "a name in its path is empty"
    if name in (".", ".."):
        return f'a name in its path is "{name}"'
    if len(name) * 4 > MAX_NAME_BYTES and len(name.encode()) > MAX_NAME_BYTES:
        return f"a name in its path has more than {MAX_NAME_BYTES} bytes"
    return ""


def conflict_path(path: str, when: datetime, number: int = 1, *, most_bytes: int = MAX_PATH_BYTES) -> str:
    """What the file or folder with this path is kept as beside it: `<name>.conflict-<UTC time>`.

    From `number` 2 on, `-2`, `-3` … follow: for when the names before are taken. A name that would get too long, or
    with which the path would have more than `most_bytes`, has its stem shortened.
    """
    folder, slash, name = path.removesuffix("/").rpartition("/")
    suffix = f".conflict-{when.astimezone(UTC):%Y%m%dT%H%M%SZ}" + (f"-{number}" if number > 1 else "")
    end = "/" if path.endswith("/") else ""
    room = min(MAX_NAME_BYTES, most_bytes - len((folder + slash + end).encode())) - len(suffix)
    return folder + slash + _shortened(name, max(room, 1)) + suffix + end


def conflict_paths(path: str, when: datetime, *, most_bytes: int = MAX_PATH_BYTES) -> Iterator[str]:
    """All that it may be kept as, the first choice first; there is no end to them."""
    return (conflict_path(path, when, number, most_bytes=most_bytes) for number in itertools.count(1))


def is_conflict_path(kept: str, path: str) -> bool:
    """Whether `kept` is what something with this path may have been kept as, at any time."""
    found = _CONFLICT.search(kept)
    if found is None:
        return False
    folder, slash, name = path.rpartition("/")
    return kept == folder + slash + _shortened(name, MAX_NAME_BYTES - len(found[0])) + found[0]


def _shortened(name: str, room: int) -> str:
    """The name in at most so many bytes; where its stem is cut, its extension stays."""
    if len(name.encode()) <= room:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > _MAX_EXTENSION_BYTES:
        stem, dot, extension = name, "", ""
    if room <= len((dot + extension).encode()):
        stem, dot, extension = name, "", ""
    room -= len((dot + extension).encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + extension
