"""Users on both sides, syncs either way, kills anywhere: no byte that somebody wrote is ever lost."""

from __future__ import annotations

import json
import random
from itertools import count, islice

import hypothesis.strategies as st
from hypothesis import HealthCheck, note, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from sync.plan import Action, Verb, from_json, plan, to_json
from tests import battery
from tests.unit.sync.sides import Case, FolderSide, KeySide, Side, Synced, parents
from transfers.engine.tree.base import Kind
from transfers.errors import EmptySideError

EXAMPLES = battery.rounds(500, 20_000)
STEPS = battery.rounds(40, 60)
IDLE = {Verb.KEEP, Verb.SKIP}
NAMES = ["a", "a", "a", "b", "a-", "A", "\u00e9", "e\u0301"]
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
SIDES = st.sampled_from([0, 1])
CUTS = st.none() | st.integers(0, 12)


class SyncMachine(RuleBasedStateMachine):
    """One case; the model is every content that a user ever wrote, and who has no use for it any more."""

    @initialize(
        cloud=st.sampled_from(["folders", "keys", "keys with marks that stay"]), mark=st.sampled_from(["", "/"])
    )
    def begin(self, cloud: str, mark: str) -> None:
        keys = KeySide(prunes=cloud == "keys")
        self.case = Case((FolderSide(mark), FolderSide(mark) if cloud == "folders" else keys))
        self.written = count(1)
        self.mtimes = count(1)
        self.alive: dict[bytes, set[int]] = {}
        """Contents that must not be lost, and the sides whose users threw them away since they last were there."""

    # Users

    @rule(side=SIDES, path=PATHS, size=st.sampled_from([8, 9]), is_older=st.booleans())
    def write(self, side: int, path: str, size: int, *, is_older: bool) -> None:
        """Make a file, or replace one; whatever is in its way is thrown away."""
        self._make_way(side, path)
        content = f"{next(self.written):0{size}}".encode()
        when = next(self.mtimes)
        self.case.sides[side].place(path, content, -when if is_older else when)
        self.alive[content] = set()

    @rule(path=PATHS, sizes=st.tuples(*[st.sampled_from([8, 9])] * 2))
    def write_on_both(self, path: str, sizes: tuple[int, int]) -> None:
        for side in (0, 1):
            self.write(side, path, sizes[side], is_older=False)

    @rule(path=PATHS)
    def write_the_same_on_both(self, path: str) -> None:
        self.write(0, path, 8, is_older=False)
        content = self.case.sides[0].files[path].content
        self._make_way(1, path)
        self.case.sides[1].place(path, content, 0)

    @rule(side=SIDES, data=st.data())
    def edit(self, side: int, data: st.DataObject) -> None:
        if files := sorted(path for path in self.case.sides[side].files if not self.case.sides[side].is_hidden(path)):
            path = data.draw(st.sampled_from(files))
            size = len(self.case.sides[side].files[path].content)
            self.write(side, path, data.draw(st.sampled_from([size, 17 - size])), is_older=data.draw(st.booleans()))

    @rule(side=SIDES, data=st.data())
    def swap(self, side: int, data: st.DataObject) -> None:
        """Have a folder with a file in it where a file was, or the other way round."""
        if paths := self._paths(side):
            path = data.draw(st.sampled_from(paths))
            self._throw_away(side, path)
            self.write(side, path.rstrip("/") if path.endswith("/") else path + "/a", 8, is_older=False)

    @rule(side=SIDES, data=st.data())
    def delete(self, side: int, data: st.DataObject) -> None:
        """Throw a file away, or a folder with all that is in it."""
        if paths := self._paths(side):
            self._throw_away(side, data.draw(st.sampled_from(paths)))

    @rule(side=SIDES)
    def delete_everything(self, side: int) -> None:
        for path in self._paths(side):
            self._throw_away(side, path)

    @rule(side=SIDES, new=PATHS, data=st.data())
    def rename(self, side: int, new: str, data: st.DataObject) -> None:
        if paths := self._paths(side):
            self._rename(side, data.draw(st.sampled_from(paths)), new)

    @rule(side=SIDES, data=st.data())
    def rename_case(self, side: int, data: st.DataObject) -> None:
        if paths := self._paths(side):
            path = data.draw(st.sampled_from(paths))
            self._rename(side, path, path.rstrip("/").swapcase())

    @rule(side=SIDES, path=PATHS)
    def make_folder(self, side: int, path: str) -> None:
        for parent in parents(path + "/x"):
            if isinstance(self.case.sides[side], FolderSide):
                self._throw_away(side, parent.rstrip("/"))
        if not self.case.sides[side].is_hidden(path + "/"):
            self.case.sides[side].make_folder(path + "/")

    @rule(side=SIDES, data=st.data())
    def hide(self, side: int, data: st.DataObject) -> None:
        """Have a folder that cannot be opened, or have all opened again."""
        place = self.case.sides[side]
        if isinstance(place, FolderSide) and place.hidden:
            place.hidden.clear()
        elif isinstance(place, FolderSide) and place.folders:
            place.hidden.add(data.draw(st.sampled_from(sorted(place.folders))))

    @rule(is_so=st.sampled_from([False] * 29 + [True]))
    def lose_the_manifest(self, *, is_so: bool) -> None:
        if is_so:
            self.case.manifest.clear()

    # Syncs

    @rule(winner=SIDES, delete=st.booleans(), cut=CUTS, seed=st.integers(0, 1000))
    def sync(self, winner: int, cut: int | None, seed: int, *, delete: bool) -> None:
        self._sync(winner, delete=delete, cut=cut, seed=seed)

    @rule(winner=SIDES, delete=st.booleans(), seed=st.integers(0, 1000))
    def sync_to_the_end(self, winner: int, seed: int, *, delete: bool) -> None:
        if self._sync(winner, delete=delete, cut=None, seed=seed):
            self._is_done(winner, delete=delete)

    def _sync(self, winner: int, *, delete: bool, cut: int | None, seed: int) -> bool:
        winning, losing = self.case.sides[winner], self.case.sides[1 - winner]
        try:
            actions = self._plan(winner, delete=delete)
        except EmptySideError:
            assert delete
            assert not any(entry.kind is Kind.FILE for entry in winning.entries())
            return False
        untouched, before, known = winning.snapshot(), dict(losing.files), dict(self.case.manifest)
        hidden = {path for path in before if losing.is_hidden(path)}
        for _ in islice(self.case.run(actions, winner, random.Random(seed)), cut):
            pass
        assert winning.snapshot() == untouched
        left = losing.contents()
        for path, file in before.items():
            if file.content not in left:
                self._may_go(path, file.content, winning, known.get(path), delete=delete)
                assert path not in hidden
        return True

    def _may_go(self, path: str, content: bytes, winning: Side, known: Synced | None, *, delete: bool) -> None:
        assert known is not None, f"{path} was never synced, and is gone"
        assert known.content == content, f"{path} was changed, and is gone"
        if path not in winning.files:
            assert delete, f"{path} was deleted, and nobody asked for it"
            assert any(entry.kind is Kind.FILE for entry in winning.entries()), "a side without files deletes nothing"
        else:
            assert not winning.is_hidden(path)

    def _is_done(self, winner: int, *, delete: bool) -> None:
        """What holds after a sync that nobody cut off."""
        winning, losing = self.case.sides[winner], self.case.sides[1 - winner]
        again = self._plan(winner, delete=delete)
        assert {action.verb for action in again} <= IDLE, again
        skipped = {action.path.rstrip("/") for action in again if action.verb is Verb.SKIP}
        kept = {action.path for action in again if action.verb is Verb.KEEP}

        def is_excused(path: str) -> bool:
            return any(each.rstrip("/") in skipped for each in [*parents(path), path])

        for entry in winning.entries():
            if is_excused(entry.path):
                continue
            if entry.kind is Kind.FILE:
                assert losing.files[entry.path].content == winning.files[entry.path].content
                assert self.case.manifest[entry.path].content == winning.files[entry.path].content
            elif entry.is_empty:
                assert any(path.startswith(entry.path) for path in [*losing.files, *losing.folders])
                if entry.path in losing.folders and not _below(losing, entry.path):
                    assert entry.path in self.case.manifest, "nobody could tell that it is gone"
        if delete:
            theirs = {entry.path for entry in winning.entries()}
            for entry in losing.entries():
                if not is_excused(entry.path) and entry.kind is Kind.FILE:
                    assert entry.path in theirs | kept

    def _plan(self, winner: int, *, delete: bool) -> list[Action]:
        sides = self.case.sides
        listed = sides[winner].entries(), sides[1 - winner].entries(), self.case.known(winner)
        actions = list(plan(*listed, delete=delete))
        for action in actions:
            note(f"{action.stage.name} {action.verb} {action.path}: {action.reason}")
        stored = [from_json(json.loads(json.dumps(to_json(action)))) for action in actions]
        assert stored == actions
        return stored

    @invariant()
    def nothing_is_lost(self) -> None:
        here = [side.contents() for side in self.case.sides]
        for content, thrown_away in list(self.alive.items()):
            for side in (0, 1):
                if content in here[side]:
                    thrown_away.discard(side)
            if not any(content in each for each in here):
                assert thrown_away, f"{content!r} is lost"
                del self.alive[content]

    # What users' hands do

    def _paths(self, side: int) -> list[str]:
        place = self.case.sides[side]
        return sorted(path for path in [*place.files, *place.folders] if not place.is_hidden(path))

    def _throw_away(self, side: int, path: str) -> None:
        place = self.case.sides[side]
        for gone in [each for each in place.files if each == path or (path.endswith("/") and each.startswith(path))]:
            content = place.files.pop(gone).content
            if content not in place.contents():
                self.alive[content].add(side)
        if path.endswith("/"):
            place.folders = {each for each in place.folders if not each.startswith(path)}
            place.hidden = {each for each in place.hidden if not each.startswith(path)}

    def _make_way(self, side: int, path: str) -> None:
        place = self.case.sides[side]
        self._throw_away(side, path)
        if isinstance(place, FolderSide):
            for folder in [*parents(path), path + "/"]:
                place.hidden.discard(folder)
                self._throw_away(side, folder.rstrip("/"))
            self._throw_away(side, path + "/")

    def _rename(self, side: int, path: str, new: str) -> None:
        if new == path.rstrip("/") or new.startswith(path.rstrip("/") + "/") or path.startswith(new + "/"):
            return
        self._make_way(side, new)
        self._throw_away(side, new + "/")
        place = self.case.sides[side]
        place.hidden = {each for each in place.hidden if not each.startswith(path)}
        place.move(path, new + "/" if path.endswith("/") else new)


def _below(side: Side, folder: str) -> list[str]:
    return [path for path in [*side.files, *side.folders] if path.startswith(folder) and path != folder]


def test_the_sync_machine() -> None:
    few = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=not battery.LONG,
        database=None,
    )
    run_state_machine_as_test(SyncMachine, settings=few)
