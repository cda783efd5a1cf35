"""What is known of a file at rest."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.transfers.rows import new_user
from transfers.models import StoredFile

pytestmark = pytest.mark.django_db


def _replace(path: Path) -> None:
    path.with_name("fresh").write_bytes(b"other")
    path.with_name("fresh").replace(path)


def _behind_a_file(path: Path) -> None:
    path.unlink()
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.write_bytes(b"")


CHANGES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "none": (Path.stat, True),
    "read": (Path.read_bytes, True),
    "removed": (Path.unlink, False),
    "replaced": (_replace, False),
    "grown": (lambda path: os.truncate(path, 6), False),
    "touched": (lambda path: os.utime(path, ns=(0, 1)), False),
    "its-folder-is-a-file": (_behind_a_file, False),
}


@pytest.mark.parametrize(("change", "untouched"), CHANGES.values(), ids=CHANGES)
def test_whether_it_is_still_the_one_that_was_stored(
    tmp_path: Path, change: Callable[[Path], object], *, untouched: bool
) -> None:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_bytes(b"bytes")
    stored = StoredFile(path=str(path), size=5, modified_ns=path.stat().st_mtime_ns)
    change(path)
    assert stored.untouched() is untouched


def test_the_unhashed_ones_are_those_whose_checksums_are_to_come() -> None:
    owner = new_user()

    def new(name: str, **facts: str) -> StoredFile:
        return StoredFile.objects.create(owner=owner, name=name, path=f"/{name}", size=1, **facts)

    new("hashed", md5="a", sha256="b", crc32="c")
    new("unreadable", checksum_error="it cannot be read")
    waiting = new("waiting")
    assert list(StoredFile.objects.unhashed()) == [waiting]
