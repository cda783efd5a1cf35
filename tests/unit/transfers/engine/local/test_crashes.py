"""`kill -9` between any two changes to the disk: never a wrong file, nothing left lying about, and no start from zero.

A forked child builds the file and ends itself, as a kill would, when it is about to make its nth call that changes the
disk (a write is made by half first). Then another builder, which knows nothing of it, does what a new worker does.
"""

from __future__ import annotations

import itertools
import os
import random
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.unit.transfers.engine.local.building import (
    CONTENT,
    NAME,
    OTHER,
    PLAN,
    SIZE,
    begun,
    finish,
    half_built,
    names,
    sizes,
    write,
    write_beginning,
)
from transfers.engine.local import OUR_SUFFIXES, LocalSink, checkpoints
from transfers.engine.plan import Plan, whole

CALLS = (
    "open",
    "pwrite",
    "fdatasync",
    "fsync",
    "link",
    "rename",
    "replace",
    "unlink",
    "mkdir",
    "posix_fallocate",
    "ftruncate",
)
CRASHED, BROKE = 9, 3


def crash_at(nth: int, build: Callable[[], None]) -> bool:
    """Run this in a child that is killed at its nth change of the disk; False when it came to its end before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: the child uses none of theirs
        child = os.fork()
    if not child:
        _be_the_child(nth, build)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, CRASHED), "the builder failed; its trace is above"
    return code == CRASHED


def _be_the_child(nth: int, build: Callable[[], None]) -> NoReturn:
    turns = itertools.count(1)
    for name in filter(os.__dict__.get, CALLS):
        setattr(os, name, _fatal(getattr(os, name), turns, nth))
    try:
        build()
    except BaseException:  # noqa: BLE001 - whatever it is, pytest must not go on in this process
        traceback.print_exc()
        os._exit(BROKE)
    os._exit(0)


def _fatal(call: Callable[..., Any], turns: Iterator[int], nth: int) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        if next(turns) != nth:
            return call(*arguments, **options)
        if call.__name__ == "pwrite":
            fileno, content, offset = arguments
            call(fileno, memoryview(content)[: len(content) // 2], offset)
        os._exit(CRASHED)

    return counted


class Course:
    """One way to a finished file: what lies there before, how it is built, and what lies there in the end."""

    def __init__(
        self,
        *,
        plan: Plan = PLAN,
        generation: str = "one",
        replace: bool = False,
        before: Callable[[Path], object] = names,
        final: str = NAME,
        others: dict[str, bytes] | None = None,
    ) -> None:
        self.plan, self.generation, self.replace, self.before = plan, generation, replace, before
        self.final, self.others = final, others or {}

    def build(self, folder: Path) -> None:
        """Build the file as a worker does, as far as it is not built yet."""
        sink = begun(folder, generation=self.generation, plan=self.plan, replace=self.replace)
        if len(self.plan) > 1:
            sink.share()
        finish(sink, plan=self.plan)

    def check_on_the_way(self, folder: Path) -> None:
        """Nothing wrong lies under a name that a finished file may have."""
        for path in folder.iterdir():
            if not path.name.endswith(OUR_SUFFIXES):
                allowed = [self.others[path.name]] if path.name in self.others else [CONTENT]
                if self.replace:
                    allowed = [OTHER, CONTENT]
                assert path.read_bytes() in allowed, path.name
        journal = folder / f"{NAME}.part.journal"
        if journal.exists():  # it never outlives its file, whose inode could be another's then
            inodes = {path.lstat().st_ino for path in folder.iterdir() if path != journal}
            assert int.from_bytes(journal.read_bytes()[56:64], "little") in inodes

    def check_in_the_end(self, folder: Path) -> None:
        found = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert found == {**self.others, self.final: CONTENT}


def _old_file(folder: Path) -> None:
    (folder / NAME).write_bytes(OTHER)


def _old_files(folder: Path) -> None:
    _old_file(folder)
    (folder / "film (1).mov").write_bytes(OTHER)


def _another_generations_part(folder: Path) -> None:
    sink = begun(folder, generation="zero")
    write(sink, 1, content=OTHER)
    write(sink, 2, content=OTHER)
    sink.close()


def _interrupted_of_unknown_size(folder: Path) -> None:
    sink = begun(folder, plan=whole(None))
    write_beginning(sink, 1, 9000, plan=whole(None))
    sink.close()


COURSES = {
    "parts": Course(),
    "one-part": Course(plan=whole(SIZE)),
    "unknown-size": Course(plan=whole(None)),
    "resumed": Course(before=half_built),
    "resumed-of-unknown-size": Course(plan=whole(None), before=_interrupted_of_unknown_size),
    "after-another-generation": Course(before=_another_generations_part),
    "replacing": Course(replace=True, before=_old_file),
    "name-taken": Course(before=_old_file, final="film (1).mov", others={NAME: OTHER}),
    "names-taken": Course(
        plan=whole(SIZE), before=_old_files, final="film (2).mov", others={NAME: OTHER, "film (1).mov": OTHER}
    ),
}


@pytest.mark.parametrize("course", COURSES.values(), ids=COURSES)
def test_a_kill_at_any_point(tmp_path: Path, course: Course) -> None:
    for nth in itertools.count(1):
        folder = tmp_path / str(nth)
        folder.mkdir()
        course.before(folder)
        crashed = crash_at(nth, lambda folder=folder: course.build(folder))  # type: ignore[misc]
        course.check_on_the_way(folder)
        if crashed:
            course.build(folder)
        course.check_in_the_end(folder)
        if not crashed:
            break
    assert nth > 8, "hardly anything was counted"


@pytest.mark.parametrize("seed", range(12))
def test_kill_after_kill(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_BYTES", 1000)  # so that its thread takes part
    chance = random.Random(seed)
    course = COURSES[chance.choice(sorted(COURSES))]
    course.before(tmp_path)
    crashes = 0
    while crash_at(chance.randint(1, 30), lambda: course.build(tmp_path)):
        course.check_on_the_way(tmp_path)
        crashes += 1
        if crashes == 20:
            course.build(tmp_path)
            break
    course.check_in_the_end(tmp_path)


def test_a_killed_run_leaves_what_it_made_safe(tmp_path: Path) -> None:
    # The first run stores part after part and is killed later each time: what the next one finds only grows.
    kept = []
    for nth in itertools.count(1):
        folder = tmp_path / str(nth)
        folder.mkdir()

        def build(folder: Path = folder) -> None:
            sink = begun(folder)
            for number in (2, 1, 4, 3):
                write(sink, number)

        crashed = crash_at(nth, build)
        sink = begun(folder)
        kept.append(tuple(sizes(sink)))
        sink.close()
        if not crashed:
            break
    assert list(dict.fromkeys(kept)) == [(), (2,), (1, 2), (1, 2, 4), (1, 2, 3, 4)]


def test_a_kill_in_mid_abort(tmp_path: Path) -> None:
    for nth in itertools.count(1):
        folder = tmp_path / str(nth)
        folder.mkdir()
        half_built(folder)
        crashed = crash_at(nth, lambda folder=folder: LocalSink(folder / NAME, generation="one").abort())  # type: ignore[misc]
        assert not (folder / f"{NAME}.part.journal").exists() or (folder / f"{NAME}.part").exists()
        COURSES["parts"].build(folder)
        COURSES["parts"].check_in_the_end(folder)
        if not crashed:
            break
    assert nth == 4


@pytest.mark.parametrize("replace", [False, True])
def test_a_kill_between_the_name_and_the_clearing_up_fetches_nothing_again(tmp_path: Path, *, replace: bool) -> None:
    fetched = []
    for nth in itertools.count(1):
        folder = tmp_path / str(nth)
        folder.mkdir()
        sink = begun(folder, replace=replace)
        for number in (1, 2, 3, 4):
            write(sink, number)
        crashed = crash_at(nth, lambda sink=sink: sink.complete(SIZE))  # type: ignore[misc]
        sink.close()
        if not crashed:
            break
        fetched.append(finish(begun(folder, replace=replace)))
        assert names(folder) == [NAME]
    assert set(fetched) == {0}
    assert len(fetched) > 3
