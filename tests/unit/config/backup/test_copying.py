"""A file is copied as it is, holes included, and comes out of a backup whole, proved, and in nobody's place."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from config.backup.copying import ChangedError, copy, put, sha256_of

MIB = 2**20


def test_bytes_times_and_permissions(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    source.write_bytes(os.urandom(3 * MIB + 5))
    source.chmod(0o640)
    os.utime(source, ns=(1, 1_700_000_000_123_456_789))
    copied = copy(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert (copied.size, copied.sha256) == (3 * MIB + 5, sha256_of(source))
    assert (target.stat().st_mtime_ns, target.stat().st_mode) == (source.stat().st_mtime_ns, source.stat().st_mode)


def test_holes_stay_holes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        file.seek(50 * MIB)
        file.write(b"end")
        file.truncate(60 * MIB)
    assert copy(source, target).size == 60 * MIB
    assert sha256_of(target) == sha256_of(source)
    assert target.stat().st_blocks * 512 <= 2 * MIB


def test_a_file_that_changes_all_the_time(tmp_path: Path) -> None:
    source, ended = tmp_path / "source", threading.Event()
    source.write_bytes(bytes(40 * MIB))

    def write() -> None:
        with source.open("r+b") as file:
            while not ended.is_set():
                file.seek(0)
                file.write(os.urandom(8))
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(ChangedError):
            copy(source, tmp_path / "target")
        assert not (tmp_path / "target").exists()
        assert copy(source, tmp_path / "unsettled", settled=False).size == 40 * MIB
    finally:
        ended.set()
        writer.join()


def test_a_link_and_a_pipe_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError, match=r"(?i)too many|no file"):
            copy(tmp_path / name, tmp_path / "target")


def test_what_is_put_is_proved_and_takes_no_place(tmp_path: Path) -> None:
    kept, target = tmp_path / "kept", tmp_path / "there" / "film.mov"
    kept.write_bytes(b"film")
    assert not put(kept, target, sha256="0" * 64)
    assert list(target.parent.iterdir()) == []
    assert put(kept, target, sha256=sha256_of(kept))
    kept.write_bytes(b"other")
    with pytest.raises(FileExistsError):
        put(kept, target, sha256=sha256_of(kept))
    assert target.read_bytes() == b"film"
