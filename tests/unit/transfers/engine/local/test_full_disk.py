"""A full disk is told as what it is, keeps what is stored, and hinders nothing once there is room again."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.transfers.engine.local.building import NAME, begun, finish, names, sizes
from transfers.engine.copying import Watch, WholePlan, copy
from transfers.engine.local import LocalSink, checkpoints
from transfers.engine.memory import MemorySource
from transfers.engine.plan import MIB, Plan, whole
from transfers.errors import OutOfSpaceError

CONTENT = os.urandom(3 * MIB)
SIZE = len(CONTENT)
DISK_BYTES = 4 * MIB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for four megabytes."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only Linux's root can mount a small file system; the tests with a limit on file sizes run anyway")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"this root may not mount: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # also when a test that failed has a file open


def fill(disk: Path, *, leave_bytes: int) -> Path:
    """Take all the room but so much."""
    status = os.statvfs(disk)
    filling = disk / "filling"
    with filling.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - leave_bytes)
    return filling


def move(sink: LocalSink, plan: Plan) -> Watch:
    """Copy what is missing."""
    stored = sink.stored_parts()
    watch = Watch(plan, stored)
    copy(MemorySource(CONTENT), sink, WholePlan(plan, stored), watch)
    return watch


def test_a_file_that_does_not_fit_is_told_before_its_first_byte_and_leaves_nothing(disk: Path) -> None:
    filling = fill(disk, leave_bytes=MIB)
    plan = whole(SIZE)
    sink = LocalSink(disk / NAME, generation="one")
    with pytest.raises(OutOfSpaceError, match="no space"):
        sink.begin(plan)
    assert names(disk) == ["filling"]
    filling.unlink()
    sink.begin(plan)
    finish(sink, content=CONTENT, plan=plan)
    assert (disk / NAME).read_bytes() == CONTENT


def test_a_partial_file_is_kept_when_another_takes_the_rest(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_BYTES", 256 * 1024)
    plan = Plan(SIZE, MIB)
    sink = begun(disk, plan=plan)
    sink.share()
    filling = fill(disk, leave_bytes=2 * MIB)
    with pytest.raises(OutOfSpaceError):
        move(sink, plan)
    kept = sum(sizes(sink).values())
    sink.close()
    assert kept >= MIB
    assert names(disk) == ["filling", f"{NAME}.part", f"{NAME}.part.journal"]

    filling.unlink()
    sink = begun(disk, plan=plan)
    assert finish(sink, content=CONTENT, plan=plan) <= SIZE - kept
    assert (disk / NAME).read_bytes() == CONTENT
    assert names(disk) == [NAME]


def test_a_disk_that_fills_under_a_file_of_unknown_size(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_BYTES", 256 * 1024)
    filling = fill(disk, leave_bytes=2 * MIB)
    plan = whole(None)
    sink = begun(disk, plan=plan)
    sink.share()
    with pytest.raises(OutOfSpaceError):
        move(sink, plan)
    sink.close()
    assert names(disk) == ["filling", f"{NAME}.part", f"{NAME}.part.journal"]

    sink = begun(disk, plan=plan)
    kept = sizes(sink)[1]
    assert kept >= MIB
    with pytest.raises(OutOfSpaceError):
        move(sink, plan)
    assert sizes(sink)[1] >= kept, "asking again while it is full loses nothing"
    sink.close()

    filling.unlink()
    sink = begun(disk, plan=plan)
    assert finish(sink, content=CONTENT, plan=plan) <= SIZE - kept
    assert (disk / NAME).read_bytes() == CONTENT
    assert names(disk) == [NAME]


@pytest.mark.parametrize("plan", [whole(SIZE), Plan(SIZE, MIB)], ids=["one-part", "parts"])
def test_a_disk_too_full_for_the_journal(disk: Path, plan: Plan) -> None:
    filling = fill(disk, leave_bytes=SIZE)
    sink = begun(disk, plan=plan)
    with pytest.raises(OutOfSpaceError):
        finish(sink, content=CONTENT, plan=plan)
    sink.close()
    assert not (disk / NAME).exists()
    filling.unlink()
    finish(begun(disk, plan=plan), content=CONTENT, plan=plan)
    assert (disk / NAME).read_bytes() == CONTENT
    assert names(disk) == [NAME]


# The same by a limit on the size of files, which every system has ----------------------------------------------------


@contextlib.contextmanager
def file_limit(limit: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_over_the_limit_is_told_before_its_first_byte(tmp_path: Path) -> None:
    with file_limit(MIB), pytest.raises(OutOfSpaceError):
        begun(tmp_path, plan=whole(SIZE))
    assert names(tmp_path) == []
    finish(begun(tmp_path, plan=whole(SIZE)), content=CONTENT, plan=whole(SIZE))
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_file_that_grows_over_the_limit_is_kept_and_gone_on_with(tmp_path: Path) -> None:
    plan = whole(None)
    sink = begun(tmp_path, plan=plan)
    with file_limit(2 * MIB), pytest.raises(OutOfSpaceError):
        move(sink, plan)
    sink.close()
    sink = begun(tmp_path, plan=plan)
    kept = sizes(sink)[1]
    assert kept == 2 * MIB
    assert finish(sink, content=CONTENT, plan=plan) == SIZE - kept
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert names(tmp_path) == [NAME]
