"""An upload is copied while its parts are replaced: what the copied journal vouches for is in the copied bytes."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import Settings

from config.backup import databases, making, manifest
from config.backup.making import Backup
from config.settings.environment import read_environment
from transfers.engine.local import LocalCollection
from transfers.engine.local.part_journal import IN_PLACE, PartJournal, numbers_in

STRIDE = 2_000_000


class Bytes(io.BytesIO):
    """A reader."""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return super().readinto(buffer)


@pytest.fixture
def uploads(tmp_path: Path, settings: Settings) -> Path:
    """Where a service's uploads lie."""
    settings.ENVIRONMENT = read_environment(data_dir=tmp_path / "data")
    folder = tmp_path / "data" / "files" / ".uploads"
    folder.mkdir(parents=True)
    return folder


def backup_of(tmp_path: Path) -> Backup:
    (tmp_path / "backups").mkdir(exist_ok=True)
    return Backup(tmp_path / "backups" / "one", tmp_path / "backups", lambda *_: None)


def md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def stored(folder: Path) -> dict[int, tuple[bytes, bytes]]:
    """By part: the MD5 in the journal, and that of the bytes."""
    data = (folder / "data").read_bytes()
    found = {}
    for number, slot in PartJournal(folder / "journal").read().items():
        beside = folder / f"{number}.{slot.place:08x}"
        offset = (number - 1) * STRIDE
        content = data[offset : offset + slot.size] if slot.place == IN_PLACE else beside.read_bytes()
        found[number] = slot.md5, md5(content)
    return found


def test_parts_that_are_replaced_all_the_time(tmp_path: Path, uploads: Path) -> None:
    collection = LocalCollection(uploads / "7", STRIDE, tmp_path / "data" / "films" / "film.mov")
    collection.begin(None)
    for number in (1, 2, 3):
        collection.write_part(number, Bytes(os.urandom(STRIDE)), STRIDE)
    ended = threading.Event()

    def replace() -> None:
        for _ in range(12):
            collection.write_part(2, Bytes(os.urandom(STRIDE)), STRIDE)
        ended.set()

    sender = threading.Thread(target=replace)
    sender.start()
    backup = backup_of(tmp_path)
    backup.unfinished()
    sender.join()
    backup.close()
    folder = tmp_path / "backups" / "one" / "files" / "data" / "files" / ".uploads" / "7"
    if backup.failures:  # they were replaced too fast: then it is told, and no half of it is kept
        assert not (folder / "journal").exists()
        again = tmp_path / "again"
        again.mkdir()
        backup = backup_of(again)
        backup.unfinished()
        backup.close()
        folder = again / folder.relative_to(tmp_path)
    found = stored(folder)
    assert set(found) == {1, 2, 3}
    assert [number for number, (told, there) in found.items() if told != there] == []
    listed = {Path(entry.path).name for entry in manifest.entries(folder.parents[4])}
    assert {"journal", "data"} <= listed
    assert not any(name.endswith(".lock") for name in listed)


@pytest.mark.django_db
def test_what_the_first_of_two_steps_could_not_take_is_told_by_the_second(
    tmp_path: Path, uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LocalCollection(uploads / "9", STRIDE, tmp_path / "film.mov").begin(None)
    monkeypatch.setattr(making, "TRY_SECONDS", 0)
    monkeypatch.setattr(Backup, "_still_stands", lambda *_: False)
    destination = tmp_path / "backups"
    told = io.StringIO()
    call_command("backup", destination, begin=True, stdout=told)
    begun = Path(told.getvalue().strip())
    dump = begun / databases.file_name()
    assert dump.stat().st_mode & 0o777 == 0o600
    dump.write_bytes(b"PGDMP")
    with pytest.raises(SystemExit) as ended:
        call_command("backup", destination, finish=begun, stdout=told)
    assert ended.value.code == 3
    named = Path(told.getvalue().splitlines()[-1])
    (failure,) = manifest.read_about(named).failures
    assert failure in told.getvalue()
    assert str(uploads / "9") in failure
    assert not (named / "failures.json").exists()


def test_the_numbers_in_a_piece_of_a_journal(tmp_path: Path, uploads: Path) -> None:
    collection = LocalCollection(uploads / "8", STRIDE, tmp_path / "film.mov")
    collection.begin(None)
    for number in (1, 3, 1):
        collection.write_part(number, Bytes(os.urandom(100)), 100)
    records = (uploads / "8" / "journal").read_bytes()
    assert numbers_in(records) == {1, 3}
    assert numbers_in(records[:36] + b"torn") == {1}
    assert numbers_in(b"") == set()
