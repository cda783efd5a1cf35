"""Archives of more than 4 GiB, with members of more than that: made for real, and read by others for real."""

from __future__ import annotations

import functools
import shutil
import subprocess
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bsdtar import bsdtar
from tests.readers import libarchive_reader, seven_zip
from tests.unit.transfers.engine.archive.building import FilesOnDisk, build, stored
from transfers.engine.archive import Layout, Member, MemberRange, Method
from transfers.engine.archive.headers import FULL_32

MIB = 2**20
SPARSE = FULL_32 + 10 * MIB
"""Bytes of a member that needs Zip64 for its size; the disk has none of them."""
ROOM_BYTES = 6 * 2**30
LAST = b"what comes behind it needs Zip64 for its place"


@functools.cache
def crc32_of_nothing(size: int) -> int:
    """Of so many zeros."""
    zeros, crc32 = bytes(MIB), 0
    for _ in range(size // MIB):
        crc32 = zlib.crc32(zeros, crc32)
    return zlib.crc32(bytes(size % MIB), crc32)


def members() -> list[Member]:
    nothing = Member("sparse.bin", SPARSE, crc32_of_nothing(SPARSE), 1_700_000_000, Method.STORED, SPARSE)
    return [stored("first.txt", LAST), nothing, stored("last.txt", LAST)]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The archive as a worker makes it, of a file that is all hole; gone with the last test."""
    folder = tmp_path_factory.mktemp("large").resolve()
    if shutil.disk_usage(folder).free < ROOM_BYTES:
        pytest.skip(f"needs {ROOM_BYTES} free bytes on {folder}")
    files = FilesOnDisk(folder, Layout.of(members()))
    for number in (0, 2):
        files.path(number).write_bytes(LAST)
    with files.path(1).open("wb") as sparse:
        sparse.truncate(SPARSE)
    path = build(files, folder / "order.zip", part_size=256 * MIB, connections=2)
    assert path.stat().st_size == files.layout.size > FULL_32
    yield path
    path.unlink()


READERS = {
    "7-Zip": (seven_zip(), "t"),
    "Info-ZIP": ("unzip", "-tq"),
    "libarchive": libarchive_reader(),
    "bsdtar": (*bsdtar(), "-tf"),
}


@pytest.mark.parametrize("command", READERS.values(), ids=READERS)
def test_others_read_it(command: tuple[str, ...], archive: Path) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed here")
    ran = subprocess.run([*command, str(archive)], capture_output=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]


def test_what_lies_behind_four_gibibytes_is_found(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        assert opened.read("last.txt") == opened.read("first.txt") == LAST
        assert opened.getinfo("last.txt").header_offset > FULL_32
        assert opened.getinfo("sparse.bin").file_size == SPARSE


def test_it_is_read_as_it_comes(tmp_path: Path) -> None:
    """By who cannot jump about in it, as where a streamed zip goes into a pipe: the headers tell all."""
    layout, zeros = Layout.of(members()), memoryview(bytes(MIB))
    with subprocess.Popen(libarchive_reader(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdin is not None
        for run in layout.runs(0, layout.size):
            if isinstance(run, bytes):
                reader.stdin.write(run)
            else:
                for piece in _content(run, zeros):
                    reader.stdin.write(piece)
        told, _ = reader.communicate()
    assert (reader.returncode, told.split()) == (0, [b"first.txt", b"sparse.bin", b"last.txt"])


def _content(run: MemberRange, zeros: memoryview) -> Iterator[bytes | memoryview]:
    if run.number != 1:
        yield LAST[run.offset : run.end]
        return
    for offset in range(run.offset, run.end, MIB):
        yield zeros[: run.end - offset]
