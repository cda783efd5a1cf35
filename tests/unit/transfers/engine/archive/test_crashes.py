"""`kill -9` in the midst of an archive: what is synced is kept, and the archive is the same in the end."""

from __future__ import annotations

import os
import random
import signal
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.sources import fetch
from tests.unit.transfers.engine.archive.building import FilesOnDisk, on_disk
from transfers.engine import copying
from transfers.engine.copying import Watch, WholePlan, copy
from transfers.engine.local import LocalSink, checkpoints
from transfers.engine.plan import MIB, Plan

SIZES = [5 * MIB, 700_000, 0, 100, 6 * MIB, *[20_000] * 50]
CONTENTS = {f"{number}.bin": random.Random(number).randbytes(size) for number, size in enumerate(SIZES)}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FilesOnDisk:
    monkeypatch.setattr(copying, "MOVED_BYTES", 300_000)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_BYTES", MIB)
    return on_disk(tmp_path / "members", CONTENTS)


def build(files: FilesOnDisk, path: Path, plan: Plan, follow: Callable[[int], None] | None = None) -> int:
    """Build the archive as far as it is not built yet; the bytes that were fetched for it."""
    sink = LocalSink(path, generation=files.layout.validator)
    sink.begin(plan)
    stored = sink.stored_parts()
    watch = Watch(plan, stored, follow=follow)
    copy(files.source(), sink, WholePlan(plan, stored), watch)
    sink.complete(files.layout.size)
    sink.close()
    return watch.fetched


def killed_at(frontier: int, files: FilesOnDisk, path: Path, plan: Plan) -> None:
    """Build it in a process that is killed once it has come so far."""

    def follow(reached: int) -> None:
        if reached >= frontier:
            os.kill(os.getpid(), signal.SIGKILL)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: the child uses none of theirs
        child = os.fork()
    if not child:
        try:
            build(files, path, plan, follow)
        except BaseException:  # noqa: BLE001 - whatever it is, pytest must not go on in this process
            traceback.print_exc()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("part_size", [2 * MIB, 2**30], ids=["parts", "one part"])
def test_killed_again_and_again(files: FilesOnDisk, tmp_path: Path, part_size: int) -> None:
    path, size = tmp_path / "order.zip", files.layout.size
    plan = Plan(size, min(part_size, size))
    for share in (0.05, 0.3, 0.6, 0.95):
        killed_at(int(size * share), files, path, plan)
        assert not path.exists()
    assert build(files, path, plan) < size / 2, "what was synced is not fetched again"
    assert path.read_bytes() == fetch(files.source())
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["order.zip"]


def test_killed_and_then_laid_out_anew(files: FilesOnDisk, tmp_path: Path) -> None:
    path = tmp_path / "order.zip"
    killed_at(files.layout.size // 2, files, path, Plan(files.layout.size, 2 * MIB))
    fewer = on_disk(tmp_path / "members", {name: content for name, content in CONTENTS.items() if name != "4.bin"})
    assert build(fewer, path, Plan(fewer.layout.size, 2 * MIB)) == fewer.layout.size, (
        "no byte of another layout is kept"
    )
    assert path.read_bytes() == fetch(fewer.source())
