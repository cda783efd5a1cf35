"""`kill -9` between any two system calls: the old or the new file has the name, whole, and what was changed is kept.

A forked child ends itself, as a kill would, when it is about to make its nth call that changes the disk (a write is
made by half first). Then another tree, which knows nothing of it, does the same again, as a new worker does.
"""

from __future__ import annotations

import itertools
import os
import random
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.conformance.sinks import FailingReader
from tests.conformance.trees import MTIME_NS, content_of, entries
from tests.unit.transfers.engine.tree.local.disk import contents, lay, save
from transfers.engine.plan import Plan
from transfers.engine.tree.base import Description, Entry
from transfers.engine.tree.local import LocalTree, renaming
from transfers.engine.tree.names import is_conflict_path
from transfers.errors import ChangedElsewhereError, TransferError

CALLS = ("open", "pwrite", "fdatasync", "fsync", "link", "rename", "replace", "unlink", "mkdir", "rmdir", "ftruncate")
STAMPS = ("utime", "setxattr", "fchmod")
CRASHED, BROKE = 9, 3
OLD, EDITED = b"the old one", b"edited since"
NEW = random.Random(11).randbytes(20_480)
PLAN = Plan(len(NEW), 15_000)
PATH = "a/file.bin"

Make = Callable[[LocalTree, Entry | None], object]


def write_small(tree: LocalTree, listed: Entry | None) -> None:
    tree.write(PATH, content_of(NEW), listed)
    tree.settle()


def bring_first_part(tree: LocalTree, listed: Entry | None) -> None:
    """What came of the large file before."""
    sink = tree.sink(PATH, "1", Description(MTIME_NS, None), listed)
    sink.begin(PLAN)
    sink.write_part(PLAN.part(1), FailingReader(NEW[: PLAN.part_size]))
    sink.close()


def write_large(tree: LocalTree, listed: Entry | None) -> None:
    sink = tree.sink(PATH, "1", Description(MTIME_NS, None), listed)
    sink.begin(PLAN)
    for part in PLAN:
        if not sink.trust(part, lambda: ""):
            sink.write_part(part, FailingReader(NEW[part.offset : part.end]))
    sink.publish(len(NEW))
    tree.settle()
    sink.complete(len(NEW))
    sink.close()


def remove(tree: LocalTree, listed: Entry | None) -> None:
    if listed is not None:
        with suppress(ChangedElsewhereError):
            tree.remove(listed)
    tree.settle()


def set_aside(tree: LocalTree, listed: Entry | None) -> None:
    if listed is not None:
        with suppress(ChangedElsewhereError):
            tree.set_aside(listed)
    tree.settle()


VERBS: dict[str, Make] = {"small": write_small, "large": write_large, "remove": remove, "set-aside": set_aside}


class Course:
    """What lies there when it is listed, what becomes of it then, and what is done about it."""

    def __init__(self, verb: str, before: bytes | None, then: bytes | None, folder: Path) -> None:
        self.verb, self.before, self.then = verb, before, then
        self.root, self._staging = folder / "tree", folder / "staging"
        self._tree = LocalTree(self.root, self._staging, keeps_checksums=True)
        if before is not None:
            lay(self.root / PATH, before)
        self.listed = entries(self._tree).get(PATH)
        if then is not None:
            save(lay(self.root / PATH), then)
        if verb == "large":
            bring_first_part(self._tree, self.listed)

    def run(self) -> None:
        """Do it, as a worker does that has just started."""
        VERBS[self.verb](LocalTree(self.root, self._staging, keeps_checksums=True), self.listed)

    @property
    def precious(self) -> bytes | None:
        """What must be there at all times, wherever."""
        if self.then is not None:
            return self.then
        return self.before if self.verb == "set-aside" else None

    def check_on_the_way(self, *, swaps: bool) -> None:
        """Whatever lies in the tree is whole, and nothing is lost."""
        found = contents(self.root)
        bytes_there = {path: content for path, content in found.items() if content or not is_conflict_path(path, PATH)}
        assert set(bytes_there.values()) <= {self.before, self.then, NEW}
        assert all(path == PATH or is_conflict_path(path, PATH) for path in found)
        if swaps and self.verb in ("small", "large") and (self.before or self.then) is not None:
            assert found[PATH] in (self.then or self.before, NEW)
        if self.precious is not None:
            assert self.precious in found.values()

    def check_in_the_end(self, *, crashed: bool, may_stay: bool = False) -> None:
        """It is done, and besides there is at most what a crash left beside it."""
        found = contents(self.root)
        own = found.pop(PATH, None)
        if self.verb in ("small", "large"):
            assert own == NEW
        elif self.then is None:  # a file that was renamed back is not as it was listed any more
            assert own is None or (may_stay and own == OLD)
        assert (self.root / PATH).exists() == (own is not None)
        if self.precious is not None:
            assert self.precious in [own, *found.values()]
        strays = [content for content in found.values() if content != self.precious]
        if crashed:
            assert len(strays) == len(set(strays)) <= 2
            assert set(strays) <= {self.before, NEW, b""}
        else:
            assert strays == []
        assert list(self._staging.glob("*")) == [] or crashed


COURSES = {
    f"{verb}-{name}": (verb, before, then)
    for verb in VERBS
    for name, before, then in (
        ("new", None, None),
        ("listed", OLD, None),
        ("edited", OLD, EDITED),
        ("unknown", None, EDITED),
    )
    if verb in ("small", "large") or before is not None
}


def crash_at(nth: int, do: Callable[[], None]) -> bool:
    """Run this in a child that is killed at its nth change of the disk; False when it came to its end before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: the child uses none of theirs
        child = os.fork()
    if not child:
        _be_the_child(nth, do)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, CRASHED), "it failed; its trace is above"
    return code == CRASHED


def _be_the_child(nth: int, do: Callable[[], None]) -> NoReturn:
    turns = itertools.count(1)
    for name in filter(os.__dict__.get, (*CALLS, *STAMPS)):
        setattr(os, name, _fatal(getattr(os, name), turns, nth))
    renaming.renameat2 = _fatal(renaming.renameat2, turns, nth)
    try:
        do()
    except BaseException:  # noqa: BLE001 - whatever it is, pytest must not go on in this process
        traceback.print_exc()
        os._exit(BROKE)
    os._exit(0)


def _fatal(call: Callable[..., Any], turns: Iterator[int], nth: int) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        if _only_reads(call, arguments) or next(turns) != nth:
            return call(*arguments, **options)
        if call.__name__ == "pwrite":
            fileno, content, offset = arguments
            call(fileno, memoryview(content)[: len(content) // 2], offset)
        os._exit(CRASHED)

    return counted


def _only_reads(call: Callable[..., Any], arguments: tuple[Any, ...]) -> bool:
    return call.__name__ == "open" and not arguments[1] & os.O_CREAT


@pytest.fixture(params=["swaps", "no-exchange", "no-renameat2"])
def swaps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether two names can be swapped on this system."""
    if request.param == "no-exchange":
        real = renaming.renameat2

        def renameat2(old: renaming.Spot, new: renaming.Spot, flags: int) -> None:
            if flags == renaming.EXCHANGE:
                raise OSError(22, "Invalid argument")
            real(old, new, flags)

        monkeypatch.setattr(renaming, "renameat2", renameat2)
    if request.param == "no-renameat2":
        monkeypatch.setattr(renaming, "_RENAMEAT2", None)
    return bool(request.param == "swaps")


@pytest.mark.parametrize(("verb", "before", "then"), COURSES.values(), ids=COURSES)
def test_a_kill_at_any_point(
    tmp_path: Path, verb: str, before: bytes | None, then: bytes | None, *, swaps: bool
) -> None:
    for nth in itertools.count(1):
        course = Course(verb, before, then, tmp_path / str(nth))
        crashed = crash_at(nth, course.run)
        course.check_on_the_way(swaps=swaps)
        if crashed:
            course.run()
        course.check_in_the_end(crashed=crashed)
        if not crashed:
            break
    assert nth > 1, "nothing was counted"


@pytest.mark.parametrize("seed", range(8))
def test_kill_after_kill(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    course = Course("large", OLD, EDITED, tmp_path)
    crashes = 0
    while crash_at(chance.randint(1, 25), course.run):
        course.check_on_the_way(swaps=True)
        crashes += 1
        if crashes == 20:
            course.run()
            break
    found = contents(course.root)
    assert found.pop(PATH) == NEW
    assert set(found.values()) == {EDITED}


@pytest.mark.parametrize(("verb", "before", "then"), COURSES.values(), ids=COURSES)
def test_a_disk_that_fails_at_any_point(
    tmp_path: Path, verb: str, before: bytes | None, then: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for nth in itertools.count(1):
        course = Course(verb, before, then, tmp_path / str(nth))
        turns = itertools.count(1)
        with monkeypatch.context() as patch:
            for name in filter(os.__dict__.get, CALLS):
                patch.setattr(os, name, _failing(getattr(os, name), turns, nth))
            patch.setattr(renaming, "renameat2", _failing(renaming.renameat2, turns, nth))
            told = failure_of(course)
            failed = next(turns) > nth  # or there was no nth call
        assert str(tmp_path) not in told
        course.check_on_the_way(swaps=True)
        if failed:
            course.run()
        course.check_in_the_end(crashed=failed, may_stay=True)
        if not failed:
            break
    assert nth > 1, "nothing was counted"


def failure_of(course: Course) -> str:
    """What it fails with, in words; it need not fail while it clears up."""
    try:
        course.run()
    except TransferError as error:
        return str(error)
    return ""


def _failing(call: Callable[..., Any], turns: Iterator[int], nth: int) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        if not _only_reads(call, arguments) and next(turns) == nth:
            raise OSError(5, "Input/output error")
        return call(*arguments, **options)

    return counted
