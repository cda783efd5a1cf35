"""Versions of local files, as far as the file system tells them apart."""

from __future__ import annotations

import os
import secrets

from transfers.engine.tree.base import Entry

TICK_NS = 50 * 10**6
"""Two edits within this time may leave the same time behind: kernels count time in steps of up to 10 ms."""
COARSE_TICK_NS = 2 * 10**9
"""The same where a time is in whole seconds, as on file systems that keep no others (FAT: every second one)."""
_UNSETTLED = "~"
"""Behind this a version that a later edit might leave as it is has what no other one has: so no two looks at the file,
though in the same tick, tell one version."""
_UNIQUE_BYTES = 8


def unsettled_ns(mtime_ns: int, now_ns: int) -> int:
    """For how long, in nanoseconds, an edit might leave this very mtime behind; 0 when it would not even now."""
    tick = TICK_NS if mtime_ns % 10**9 else COARSE_TICK_NS
    rest = mtime_ns + tick - now_ns
    return rest if 0 < rest < 2 * tick else 0


def entry_of(path: str, status: os.stat_result, now_ns: int) -> Entry:
    """The entry of a regular file; `now_ns` is a time, in nanoseconds since the epoch, before it was looked at."""
    mtime_ns = status.st_mtime_ns
    version = _version_of(status)
    if unsettled_ns(mtime_ns, now_ns):
        version += _UNSETTLED + secrets.token_hex(_UNIQUE_BYTES)
    return Entry(path, size=status.st_size, version=version, mtime_ns=mtime_ns)


def _version_of(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_ctime_ns:x}-{status.st_ino:x}"


def settled(version: str) -> str:
    """The version as those know it who waited until no edit could leave it as it is."""
    return version.partition(_UNSETTLED)[0]


def is_listed(status: os.stat_result, entry: Entry) -> bool:
    """Whether the file looks just as it was listed."""
    return _version_of(status) == settled(entry.version) and status.st_size == entry.size


def is_unchanged(status: os.stat_result, entry: Entry) -> bool:
    """Whether it is proved that nobody has edited the file since it was listed."""
    return is_listed(status, entry) and _UNSETTLED not in entry.version


def is_only_renamed(status: os.stat_result, entry: Entry) -> bool:
    """Whether this looks like the listed file after a rename, which changes no more than its ctime."""
    mtime, _, inode = _version_of(status).rsplit("-", 2)
    listed = settled(entry.version).rsplit("-", 2)
    return [mtime, inode] == [listed[0], listed[-1]] and status.st_size == entry.size
