"""What other programs, whoever has them, make of our archives."""

from __future__ import annotations

import random
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.bsdtar import bsdtar
from tests.readers import libarchive_reader, seven_zip
from tests.unit.transfers.engine.archive.building import deflated, pieces, stored, zipped
from transfers.engine.archive import EntryNames, Layout

PROGRAMS = {
    "Info-ZIP": (("unzip", "-tq", "{}"), ("unzip", "-tq", "{}")),
    "7-Zip": ((seven_zip(), "t", "{}"), (seven_zip(), "t", "{}")),
    "libarchive": ((*libarchive_reader(), "{}"), (*libarchive_reader(), "{}")),
    "bsdtar": ((*bsdtar(), "-xOf", "{}"), (*bsdtar(), "-tf", "{}")),
    "Java": (("jar", "xf", "{}"), ("jar", "tf", "{}")),
}
"""How each reads all of an archive, and one with very many members."""
Commands = tuple[tuple[str, ...], tuple[str, ...]]
TEXT = b"the same again and again\n" * 9000
NOISE = random.Random(1).randbytes(100_000)


@pytest.fixture(params=PROGRAMS.values(), ids=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Commands:
    commands: Commands = request.param
    if shutil.which(commands[0][0]) is None:
        pytest.skip(f"{commands[0][0]} is not installed here")
    return commands


def check(command: tuple[str, ...], archive: Path) -> None:
    """Let the program read all of the archive; those that write files write them beside it."""
    filled = [each.format(archive) for each in command]
    ran = subprocess.run(filled, cwd=archive.parent, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert b"arning" not in ran.stdout + ran.stderr


def test_all_kinds_of_members(program: Commands, tmp_path: Path) -> None:
    names = EntryNames()
    files = [("", "a.txt"), ("Übergröße", "日本.txt"), ("Übergröße", "日本.txt"), ("a.txt", "x"), ("d/e/f", "x" * 300)]
    members = dict(deflated(names.add(*file), TEXT + str(number).encode()) for number, file in enumerate(files))
    members |= {stored(names.add(*file), NOISE): NOISE for file in files}
    members |= {stored(names.add("", "empty"), b"", 0): b"", stored(names.add("", "old"), b"1", -1e9): b"1"}
    members |= {stored(names.add("", "late"), b"2", 2**33): b"2"}
    (tmp_path / "order.zip").write_bytes(zipped(members))
    check(program[0], tmp_path / "order.zip")


def test_seventy_thousand_members(program: Commands, tmp_path: Path) -> None:
    layout = Layout.of(stored(f"{number % 100}/{number}.txt", b"abc") for number in range(70_000))
    with (tmp_path / "order.zip").open("wb") as file:
        file.writelines(pieces(layout, [b"abc"] * layout.count))
    check(program[1], tmp_path / "order.zip")


def test_times_are_told_in_utc_to_the_second(tmp_path: Path) -> None:
    if shutil.which("unzip") is None:
        pytest.skip("unzip is not installed here")
    (tmp_path / "order.zip").write_bytes(zipped({stored("a", b"abc", 1_700_000_001.9): b"abc"}))
    subprocess.run(
        ["unzip", "-q", "order.zip"], cwd=tmp_path, check=True, env={"TZ": "Asia/Tokyo", "PATH": "/usr/bin:/bin"}
    )
    assert (tmp_path / "a").stat().st_mtime == 1_700_000_001
    assert (tmp_path / "a").stat().st_mode & 0o777 & ~0o022 == 0o644


def test_an_empty_archive_is_one(tmp_path: Path) -> None:
    (tmp_path / "order.zip").write_bytes(zipped({}))
    with zipfile.ZipFile(tmp_path / "order.zip") as archive:
        assert archive.namelist() == []
