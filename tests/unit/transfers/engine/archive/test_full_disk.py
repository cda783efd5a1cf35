"""A disk that fills while members are moved there is told as what it is, and the archive is gone on with."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.conformance.sources import fetch
from tests.unit.transfers.engine.archive.building import build, on_disk
from tests.unit.transfers.engine.local.test_full_disk import disk, fill
from transfers.engine import copying
from transfers.engine.copying import Watch, WholePlan, copy
from transfers.engine.local import LocalSink, checkpoints
from transfers.engine.plan import MIB, Plan
from transfers.errors import OutOfSpaceError

__all__ = ["disk"]

CONTENTS = {f"{number}.bin": random.Random(number).randbytes(MIB) for number in range(3)}


def test_a_disk_that_fills_while_members_are_moved(
    disk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(copying, "MOVED_BYTES", 256 * 1024)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_BYTES", 256 * 1024)
    files = on_disk(tmp_path / "members", CONTENTS)
    plan = Plan(files.layout.size, MIB)
    sink = LocalSink(disk / "order.zip", generation=files.layout.validator)
    sink.begin(plan)
    sink.share()
    filling = fill(disk, leave_bytes=2 * MIB)
    with pytest.raises(OutOfSpaceError):
        copy(files.source(), sink, WholePlan(plan, {}), Watch(plan, {}))
    kept = sum(part.size for part in sink.stored_parts().values())
    sink.close()
    assert kept >= MIB
    filling.unlink()
    assert build(files, disk / "order.zip").read_bytes() == fetch(files.source())
