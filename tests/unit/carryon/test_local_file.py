"""A file is read as it was when its upload began, or not at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from carryon.errors import FileChangedError, FileError, Stopped
from carryon.local_file import READ_BYTES, LocalFile, PartBody
from carryon.plan import Part, Plan
from carryon.stop import Stop

CONTENT = os.urandom(2 * READ_BYTES + 5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "file"
    place.write_bytes(CONTENT)
    return place


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_md5(path: Path) -> None:
    told: list[int] = []
    with LocalFile(path, Stop()) as file:
        assert file.md5(told.append) == md5(CONTENT)
        assert (file.size, file.name) == (len(CONTENT), "file")
        assert [file.md5_of(part) for part in Plan(file.size, READ_BYTES)] == [
            md5(CONTENT[:READ_BYTES]),
            md5(CONTENT[READ_BYTES : 2 * READ_BYTES]),
            md5(CONTENT[2 * READ_BYTES :]),
        ]
    assert sum(told) == len(CONTENT)
    assert max(told) <= READ_BYTES, "that much is in memory at once"


def test_a_body(path: Path) -> None:
    told: list[int] = []
    with LocalFile(path, Stop()) as file:
        body = PartBody(file, Part(2, 3, READ_BYTES), told.append)
        assert len(body) == READ_BYTES
        assert b"".join(body) == CONTENT[3 : READ_BYTES + 3]
        assert list(PartBody(file, Part(1, 0, 0), told.append)) == []
    assert sum(told) == READ_BYTES


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(bytes(len(CONTENT))),
        lambda path: path.write_bytes(CONTENT + b"more"),
        lambda path: path.open("ab").close() or os.utime(path, ns=(0, 1)),
    ],
    ids=["other bytes", "more bytes", "another time"],
)
def test_a_change_is_noticed(path: Path, change: object) -> None:
    assert callable(change)
    with LocalFile(path, Stop()) as file:
        file.check_unchanged()
        change(path)
        with pytest.raises(FileChangedError):
            file.check_unchanged()
        with pytest.raises(FileChangedError):
            file.md5(lambda _: None)


def test_a_file_that_becomes_shorter(path: Path) -> None:
    with LocalFile(path, Stop()) as file:
        os.truncate(path, 10)
        with pytest.raises(FileChangedError, match="shorter"):
            file.md5_of(Part(1, 0, 20))


def test_a_file_that_another_one_takes_the_place_of(path: Path, tmp_path: Path) -> None:
    with LocalFile(path, Stop()) as file:
        other = tmp_path / "other"
        other.write_bytes(b"x")
        other.replace(path)
        file.check_unchanged()
        assert file.md5(lambda _: None) == md5(CONTENT), "the one that was opened goes on being read"


def test_reading_stops(path: Path) -> None:
    stop = Stop()
    with LocalFile(path, stop) as file, pytest.raises(Stopped):
        file.md5(lambda _: stop.say())


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, why in {
        "": "is a folder",
        "none": "there is no such file",
        "pipe": "no regular file",
        "loop": "symbolic links",
        "a\0b": "null",
        "n" * 300: "too long",
    }.items():
        with pytest.raises(FileError, match=why):
            LocalFile(tmp_path / name, Stop())


def test_names_that_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.bin")
    path.write_bytes(b"")
    with LocalFile(path, Stop()) as file:
        assert file.name == "\N{REPLACEMENT CHARACTER}.bin"
