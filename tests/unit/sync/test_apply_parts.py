"""A large file, part by part: what is proved on its way is not read again, and what is wrong never gets its name."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from sync.apply import Alike, Sides
from sync.moving import Work
from sync.plan import Action, Stage, Verb
from transfers.engine.tree.base import PART_BYTES, SMALL_BYTES, Checksum, Description, Entry, checksum_of_parts, md5_of
from transfers.engine.tree.local import LocalTree
from transfers.engine.tree.local.sink import LocalTreeSink
from transfers.engine.tree.memory import MemoryTree
from transfers.errors import ChecksumMismatchError

SIZE = PART_BYTES + 12_345
CONTENT = random.Random(32).randbytes(SIZE)
MD5S = [md5_of([CONTENT[:PART_BYTES]]), md5_of([CONTENT[PART_BYTES:]])]
CHECKSUM = checksum_of_parts(MD5S, PART_BYTES)
assert SIZE > SMALL_BYTES


class Promising(MemoryTree):
    """A tree that promises what its large files have, as a store does."""

    promise: Checksum | None = CHECKSUM

    def describe(self, entry: Entry) -> Description:
        return Description(super().describe(entry).mtime_ns, self.promise)


@pytest.fixture
def cloud() -> Promising:
    cloud = Promising()
    cloud.put("large", CONTENT)
    return cloud


@pytest.fixture
def sides(cloud: Promising, tmp_path: Path) -> Sides:
    return Sides(cloud, LocalTree(tmp_path / "here", tmp_path / "staging"))


@pytest.fixture
def read_back(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every time that a sink reads back what it has."""
    times: list[str] = []
    as_it_is: Callable[[LocalTreeSink, int | None], Checksum] = LocalTreeSink.checksum

    def noted(sink: LocalTreeSink, part_size: int | None = None) -> Checksum:
        times.append("read back")
        return as_it_is(sink, part_size)

    monkeypatch.setattr(LocalTreeSink, "checksum", noted)
    return times


def bringing(sides: Sides) -> Action:
    winner = sides.winner.find("large")
    return Action(Verb.COPY, "large", SIZE, "new", Stage.BRING, winner=winner, loser=None, known=None)


def in_runs(sides: Sides) -> tuple[Action, list[str]]:
    """Bring both parts, each as a run of its own; their MD5s."""
    action = bringing(sides)
    sides.begin(action)
    return action, [
        *sides.bring_parts(action, 2, 2, Work(alone=True)),
        *sides.bring_parts(action, 1, 1, Work(alone=True)),
    ][::-1]


def test_what_was_proved_on_its_way_is_not_read_back(sides: Sides, read_back: list[str], tmp_path: Path) -> None:
    action, md5s = in_runs(sides)
    assert md5s == MD5S
    outcome = sides.finish(action, Work(), md5s, all_went_well=True)
    assert isinstance(outcome, Alike)
    assert (outcome.checksum, read_back) == (str(CHECKSUM), [])
    assert (tmp_path / "here/large").read_bytes() == CONTENT


def test_nor_is_a_file_that_one_brings_whole(sides: Sides, read_back: list[str], tmp_path: Path) -> None:
    sides.apply(bringing(sides), Work())
    assert read_back == []
    assert (tmp_path / "here/large").read_bytes() == CONTENT


@pytest.mark.parametrize("known", [[], [MD5S[0], ""], MD5S[:1]])
def test_what_nobody_has_hashed_is_read_back(
    sides: Sides, known: list[str], read_back: list[str], tmp_path: Path
) -> None:
    action, _ = in_runs(sides)
    sides.finish(action, Work(), known, all_went_well=True)
    assert read_back == ["read back"]
    assert (tmp_path / "here/large").read_bytes() == CONTENT


def test_parts_that_were_there_are_not_taken_for_proved(sides: Sides) -> None:
    action, _ = in_runs(sides)
    assert sides.bring_parts(action, 1, 2, Work()) == ["", ""]


def test_bytes_that_are_not_those_that_were_promised_get_no_name(
    cloud: Promising, sides: Sides, tmp_path: Path
) -> None:
    cloud.damage("large", CONTENT[:100] + b"x" + CONTENT[101:])
    action, md5s = in_runs(sides)
    with pytest.raises(ChecksumMismatchError):
        sides.finish(action, Work(), md5s, all_went_well=True)
    with pytest.raises(ChecksumMismatchError):
        sides.apply(action, Work())
    assert list((tmp_path / "here").glob("*")) == []


def test_what_somebody_has_put_there_meanwhile_is_kept(sides: Sides, tmp_path: Path) -> None:
    action, md5s = in_runs(sides)
    (tmp_path / "here").mkdir(exist_ok=True)
    (tmp_path / "here/large").write_bytes(b"somebody's")
    found = sides.loser.find("large")
    assert found is not None
    sides.finish(action.facing(found, Verb.CONFLICT), Work(), md5s, all_went_well=True)
    assert sorted(path.read_bytes() for path in (tmp_path / "here").iterdir()) == sorted([CONTENT, b"somebody's"])
    assert (tmp_path / "here/large").read_bytes() == CONTENT


def test_an_upload_is_held_against_what_was_read(tmp_path: Path) -> None:
    here, cloud = LocalTree(tmp_path, tmp_path.parent / "staging"), MemoryTree()
    (tmp_path / "large").write_bytes(CONTENT)
    sides = Sides(here, cloud)
    action, _ = in_runs(sides)
    with pytest.raises(ChecksumMismatchError):
        sides.finish(action, Work(), MD5S[::-1], all_went_well=True)
    assert cloud.contents == {}
    again, _ = in_runs(sides)
    sides.finish(again, Work(), MD5S, all_went_well=True)
    assert cloud.contents == {"large": CONTENT}
