"""Files that came to their places otherwise than by upload or download: when their checksums are taken."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from tests.integration.transfers.rows import in_seconds
from transfers import leases
from transfers.models import StoredFile
from transfers.services.stored_file import Kept, keep
from transfers.tasks import take_checksums

pytestmark = pytest.mark.django_db


def kept(path: Path, content: bytes, **digests: str) -> StoredFile:
    """A file with this content that somebody keeps as it is now."""
    path.write_bytes(content)
    status = path.stat()
    owner, _ = User.objects.get_or_create(username="bob")
    looks = {"size": status.st_size, "modified_ns": status.st_mtime_ns}
    keep(owner_id=owner.pk, files=[Kept(path=path, folder="folder", digests=digests, **looks)])
    return StoredFile.objects.get()


def test_they_are_taken_later(tmp_path: Path) -> None:
    stored = kept(tmp_path / "file", b"content")
    take_checksums(str(stored.pk))
    assert StoredFile.objects.get().sha256 == ""
    StoredFile.objects.update(lease_expires_at=Now())
    take_checksums(str(stored.pk))
    assert StoredFile.objects.get().sha256 == hashlib.sha256(b"content").hexdigest()


def test_what_has_them_waits_for_nothing(tmp_path: Path) -> None:
    stored = kept(tmp_path / "file", b"content", md5="1", sha256="2", crc32="3")
    assert (stored.md5, stored.sha256, stored.crc32, stored.lease_expires_at) == ("1", "2", "3", None)


def test_whoever_hashes_what_was_there_before_says_nothing_of_what_is(tmp_path: Path) -> None:
    kept(tmp_path / "file", b"before")
    StoredFile.objects.update(lease_expires_at=in_seconds(-1))
    holder = leases.claim(StoredFile.objects.unhashed(), StoredFile.objects.get().pk, leases.new_owner())
    assert holder is not None
    kept(tmp_path / "file", b"afterwards")
    assert not leases.release(holder, checksum_error="the file was changed after it was stored")
    assert (StoredFile.objects.get().checksum_error, StoredFile.objects.get().sha256) == ("", "")
