"""Whether the place that a file lies at is there: a disk that is away says nothing of its files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from django.conf import settings

from transfers import storage
from transfers.errors import (
    FolderUnusableError,
    SourceBusyError,
    SourceError,
    SourceInterruptedError,
    SourceUnreachableError,
)
from transfers.models import StoredFile

AWAY = (SourceBusyError, SourceInterruptedError, SourceUnreachableError)
"""What may pass: the bytes are not to be had right now."""
MAX_PROBED = 4
"""Other files that are tried before a place counts as away."""


def check_reachable(path: Path) -> None:
    """FolderUnusableError where a file may well be there, but its disk cannot be asked, or is not mounted."""
    try:
        path.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise FolderUnusableError(f"the disk of the files cannot be looked at: {error.strerror}") from None
        if any(path.is_relative_to(root) and _is_bare(root) for root in _roots()):
            raise FolderUnusableError("the disk of the files is not there") from None


def answers_without(stored: StoredFile) -> bool:
    """Whether the file's place gives out other files, so that it is this one's own fault if it cannot be read.

    Where there is no other one, it is enough that the file itself is found.
    """
    others = StoredFile.objects.kept().below(_root(stored.path)).filter(size__gt=0).exclude(pk=stored.pk)
    tried = list(others.order_by("-id")[:MAX_PROBED])
    return any(_can_be_read(other) for other in tried) if tried else _is_found(stored)


def _root(location: str) -> str:
    """The folder that comes and goes with the file's disk, or the file's bucket."""
    if storage.of(location).path(location) is None:
        return "/".join(location.split("/", 3)[:3])
    path = Path(location)
    return str(next((root for root in _roots() if path.is_relative_to(root)), path.parent))


def _roots() -> tuple[Path, ...]:
    environment = settings.ENVIRONMENT
    return (environment.files_root, environment.download_root, environment.sync_save_path)


def _is_bare(root: Path) -> bool:
    """Whether there is nothing where all files of a kind should be: as where their disk is not mounted."""
    try:
        with os.scandir(root) as entries:
            return next(entries, None) is None
    except OSError:
        return True


def _can_be_read(stored: StoredFile) -> bool:
    """Whether its first byte can be had."""
    try:
        with storage.of(stored.path).source(stored.path).open(0, 1) as reader:
            return bool(reader.readinto(memoryview(bytearray(1))))
    except SourceError:
        return False


def _is_found(stored: StoredFile) -> bool:
    place = storage.of(stored.path)
    if place.path(stored.path) is not None:
        return stored.untouched()
    try:
        return place.source(stored.path).stat().size == stored.size
    except SourceError:
        return False
