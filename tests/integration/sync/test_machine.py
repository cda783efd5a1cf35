"""Real folders on both sides, edited and synced by the real plan and apply, killed anywhere: no byte is ever lost."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from sync import apply
from sync.apply import Alike, Gone, Sides
from sync.moving import Work
from sync.plan import Action, Known, Stage, Verb, plan
from tests import battery
from transfers.engine.tree import base
from transfers.engine.tree.base import Tree
from transfers.engine.tree.local import LocalTree
from transfers.errors import EmptySideError

EXAMPLES = battery.rounds(200, 3_000)
STEPS = battery.rounds(25, 50)
SMALL, PART = 100, 64
YOUNG_SECONDS = 0.06
IDLE = {Verb.KEEP, Verb.SKIP}
ILLEGAL_ELSEWHERE = ["con", 'a:b*?|<>"', "back\\slash", "dot. ", "line\nbreak"]
LONG = ["n" * 255, "\u00e9" * 127, "/".join(["p" * 200] * 8), "/".join(["p" * 200] * 8) + "/" + "q" * 251 + ".dcm"]
PATHS = st.sampled_from(["a", "A", "b", "d/a", "d/A", "d/e/a", "a-", "d/\u00e9", "d/e\u0301"]) | st.sampled_from(
    [*ILLEGAL_ELSEWHERE, *LONG]
)
SIZES = st.sampled_from([0, 30, 31, 150, 151])
WHEN = st.sampled_from([0, 10**9, 1_700_000_000])
SIDES = st.sampled_from([0, 1])
_TOUCHING = ("write", "make_folder", "set_aside", "remove", "begin", "write_part", "publish", "complete", "settle")


class Killed(BaseException):
    """The process is no more."""


class Mortal:
    """A tree, or a sink of one, whose user dies before or after its n-th change."""

    def __init__(self, inner: Any, countdown: list[int]) -> None:
        self._inner, self._countdown = inner, countdown

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name == "sink":
            return lambda *given: Mortal(found(*given), self._countdown)
        return self._dying(found) if name in _TOUCHING else found

    def _dying(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*given: Any) -> Any:
            self._tick()
            done = change(*given)
            self._tick()
            return done

        return changed

    def _tick(self) -> None:
        self._countdown[0] -= 1
        if self._countdown[0] == 0:
            raise Killed


class FoldersMachine(RuleBasedStateMachine):
    """A case with a local folder and one that is the cloud; the model is every content that a user wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="carryon-machine-"))
        self.folders = (self.root / "local", self.root / "cloud")
        self.manifest: dict[str, tuple[int, tuple[str, str], str]] = {}
        self.alive: dict[bytes, set[int]] = {}
        """Contents, and the sides whose users have thrown them away since they last were there."""
        self.written = itertools.count(1)
        for folder in self.folders:
            folder.mkdir()

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    # Users

    @rule(side=SIDES, path=PATHS, size=SIZES, when=WHEN)
    def write(self, side: int, path: str, size: int, when: int) -> None:
        """Make a file, or write over one in place; 0 is now."""
        place = self.folders[side] / path
        if place.is_dir() or any(above.is_file() for above in place.parents):
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        self._throw_away(side, path)
        content = f"{next(self.written)}-".encode().ljust(size, b".")[: max(size, 8)] if size else b""
        place.write_bytes(content)
        if when:  # in the cloud another one each time: an edit that keeps size and time is taken for damage there
            own = next(self.written) if side == 1 else 0
            os.utime(place, ns=(when * 10**9 + own, when * 10**9 + own))
        self.alive[content] = set()

    @rule(side=SIDES, data=st.data())
    def delete(self, side: int, data: st.DataObject) -> None:
        if files := self._files(side):
            path = data.draw(st.sampled_from(sorted(files)))
            self._throw_away(side, path)
            (self.folders[side] / path).unlink()

    @rule(side=SIDES, data=st.data(), new=PATHS)
    def rename(self, side: int, data: st.DataObject, new: str) -> None:
        """Also to a name that differs only in its case, and over another file."""
        target = self.folders[side] / new
        files = self._files(side)
        if not files or target.is_dir() or any(above.is_file() for above in target.parents):
            return
        path = data.draw(st.sampled_from(sorted(files)))
        if path != new:
            self._throw_away(side, new)
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.folders[side] / path).rename(target)

    @rule(side=SIDES, path=st.sampled_from(["empty", "d/empty"]))
    def make_folder(self, side: int, path: str) -> None:
        place = self.folders[side] / path
        if not place.parent.is_file():
            place.mkdir(parents=True, exist_ok=True)

    # Syncs

    @rule(winner=SIDES, delete=st.booleans(), kill=st.integers(1, 40))
    def sync_and_die(self, winner: int, kill: int, *, delete: bool) -> None:
        with suppress(Killed):
            self._sync(winner, delete=delete, countdown=[kill])

    @rule(winner=SIDES, delete=st.booleans())
    def sync(self, winner: int, *, delete: bool) -> None:
        if not self._sync(winner, delete=delete, countdown=[0]):
            return
        again = self._plan(winner, delete=delete)
        if {action.verb for action in again} - IDLE:
            assert {action.verb for action in again} <= {*IDLE, Verb.COMPARE}, again
            time.sleep(YOUNG_SECONDS)  # what was written just now is looked at once more: it could have changed unseen
            self._sync(winner, delete=delete, countdown=[0])
            again = self._plan(winner, delete=delete)
        assert {action.verb for action in again} <= IDLE, again
        skipped = {action.path for action in again if action.verb is Verb.SKIP}
        theirs, ours = self._files(winner), self._files(1 - winner)
        for path, content in theirs.items():
            if path not in skipped:
                assert ours.get(path) == content, path
        empty = set.intersection(*(self._empty_folders(side) for side in (0, 1)))
        assert empty <= {*self.manifest, *skipped}, "nobody could tell that they are gone"

    @rule(first=SIDES)
    def sync_both_ways(self, first: int) -> None:
        """Nothing but what only one of them can have keeps the two sides from being equal then."""
        for winner in (first, 1 - first):
            for _ in range(2):  # what was written just now is looked at once more
                self._sync(winner, delete=False, countdown=[0])
        skipped = {action.path for side in (0, 1) for action in self._plan(side, delete=False)}
        theirs, ours = self._files(0), self._files(1)
        assert {path: ours.get(path) for path in theirs if path not in skipped} == {
            path: content for path, content in theirs.items() if path not in skipped
        }
        assert set(ours) - skipped == set(theirs) - skipped

    def _tree(self, side: int) -> Tree:
        return LocalTree(self.folders[side], self.root / f"staging-{side}", keeps_checksums=side == 1)

    def _plan(self, winner: int, *, delete: bool) -> list[Action]:
        known = [
            Known(path, size, versions[winner], versions[1 - winner], checksum)
            for path, (size, versions, checksum) in sorted(self.manifest.items(), key=lambda item: item[0].encode())
        ]
        return list(plan(self._tree(winner).entries(), self._tree(1 - winner).entries(), known, delete=delete))

    def _sync(self, winner: int, *, delete: bool, countdown: list[int]) -> bool:
        before = self._files(winner)
        try:
            actions = self._plan(winner, delete=delete)
        except EmptySideError:
            assert not before
            return False
        sides = Sides(self._tree(winner), Mortal(self._tree(1 - winner), countdown))
        for stage in Stage:
            for action in actions:
                if action.stage is stage:
                    self._do(sides, action, winner)
        assert self._files(winner) == before, "the winner is only read"
        return True

    def _do(self, sides: Sides, action: Action, winner: int) -> None:
        if action.verb is Verb.FORGET:
            self.manifest.pop(action.path, None)
        outcome = sides.apply(action, Work())
        if isinstance(outcome, Gone):
            self.manifest.pop(outcome.path, None)
            for path in [path for path in self.manifest if outcome.with_all_below and path.startswith(outcome.path)]:
                del self.manifest[path]
        elif isinstance(outcome, Alike):
            versions = (outcome.winner.version, outcome.loser.version)
            self.manifest[outcome.path] = (outcome.size, versions if winner == 0 else versions[::-1], outcome.checksum)

    @invariant()
    def nothing_is_lost(self) -> None:
        here = [set(self._files(side).values()) for side in (0, 1)]
        for content, thrown_away in list(self.alive.items()):
            for side in (0, 1):
                if content in here[side]:
                    thrown_away.discard(side)
            if not any(content in each for each in here):
                assert thrown_away, f"{content!r} is lost"
                del self.alive[content]

    def _files(self, side: int) -> dict[str, bytes]:
        root = self.folders[side]
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def _empty_folders(self, side: int) -> set[str]:
        root = self.folders[side]
        folders = (path for path in root.rglob("*") if path.is_dir() and not any(path.iterdir()))
        return {f"{path.relative_to(root)}/" for path in folders}

    def _throw_away(self, side: int, path: str) -> None:
        files = self._files(side)
        content = files.pop(path, None)
        if content is not None and content not in files.values() and content in self.alive:
            self.alive[content].add(side)


def test_the_machine_of_real_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "SMALL_BYTES", SMALL)
    monkeypatch.setattr(base, "PART_BYTES", PART)
    few = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(FoldersMachine, settings=few)
