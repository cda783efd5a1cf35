"""One action on two trees, where somebody comes in between or an earlier attempt was cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sync import apply
from sync.apply import Alike, Gone, Sides, Work
from sync.plan import Action, Known, Stage, Verb
from transfers.engine.base import Reader, Source
from transfers.engine.tree import base
from transfers.engine.tree.base import Checksum, Content, Description, Entry, Kind, Tree, checksum_of_parts, md5_of
from transfers.engine.tree.local import LocalTree
from transfers.engine.tree.memory import MemoryTree
from transfers.engine.tree.names import is_conflict_path
from transfers.errors import (
    ChangedElsewhereError,
    ChecksumMismatchError,
    SourceChangedError,
    SourceInterruptedError,
    SourceRefusedError,
)

MTIME_NS = 1_600_000_000_123_456_789
SMALL, PART = 100, 64
LARGE = b"large" * 50


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "SMALL_BYTES", SMALL)
    monkeypatch.setattr(base, "PART_BYTES", PART)


@pytest.fixture(params=["memory", "folder"])
def loser(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    return MemoryTree() if request.param == "memory" else LocalTree(tmp_path / "tree", tmp_path / "staging")


@pytest.fixture
def winner() -> MemoryTree:
    return MemoryTree()


def put(tree: Tree, path: str, content: bytes) -> Entry:
    """Make these the file's bytes; each time later than before."""
    found = tree.find(path)
    when = MTIME_NS if found is None else found.mtime_ns + 10**9
    return tree.write(path, Content(content, md5_of([content]), when), found)


def contents(tree: Tree) -> dict[str, bytes]:
    found = (entry for entry in tree.entries() if entry.kind is Kind.FILE)
    return {entry.path: tree.read(entry).content for entry in found}


def kept(tree: Tree, path: str) -> list[bytes]:
    return [content for name, content in contents(tree).items() if is_conflict_path(name.split("/")[0], path)]


def action(verb: Verb, winner: Entry | None, loser: Entry | None, *, in_danger: bool = False) -> Action:
    entry = winner or loser
    assert entry is not None
    return Action(verb, entry.path, entry.size, "why", Stage.BRING, winner, loser, None, in_danger)


class Interrupting(MemoryTree):
    """A tree that cannot be read the first few times; `meanwhile` happens then."""

    failures = 0

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.meanwhile = meanwhile

    def read(self, entry: Entry) -> Content:
        if self.failures:
            self.failures -= 1
            self.meanwhile()
            raise SourceInterruptedError("the line is cut")
        return super().read(entry)


class TestConflicts:
    def test_an_attempt_that_was_cut_off_behind_setting_aside_is_gone_on_with(self, loser: Tree) -> None:
        winner = Interrupting()
        conflict = action(Verb.CONFLICT, put(winner, "a", b"ours"), put(loser, "a", b"theirs"), in_danger=True)
        winner.failures = 1
        sides = Sides(winner, loser)
        with pytest.raises(SourceInterruptedError):
            sides.apply(conflict, Work())
        assert isinstance(sides.apply(conflict, Work()), Alike)
        assert contents(loser)["a"] == b"ours"
        assert kept(loser, "a") == [b"theirs"]

    def test_a_file_that_changes_while_it_is_read_is_brought_nevertheless(self, loser: Tree) -> None:
        winner = MemoryTree()
        old = put(winner, "a", b"ours")
        put(winner, "a", b"ours, edited")
        conflict = action(Verb.CONFLICT, old, put(loser, "a", b"theirs"), in_danger=True)
        assert isinstance(Sides(winner, loser).apply(conflict, Work()), Alike)
        assert contents(loser)["a"] == b"ours, edited"
        assert kept(loser, "a") == [b"theirs"]

    @pytest.mark.parametrize("content", [b"ours", LARGE])
    def test_what_comes_there_just_behind_setting_aside_is_kept(self, loser: Tree, content: bytes) -> None:
        winner = MemoryTree()
        conflict = action(Verb.CONFLICT, put(winner, "a", content), put(loser, "a", b"theirs"), in_danger=True)
        set_aside = loser.set_aside

        def and_then_somebody_comes(entry: Entry) -> Entry:
            aside = set_aside(entry)
            put(loser, "a", b"somebody's")
            return aside

        loser.set_aside = and_then_somebody_comes  # type: ignore[method-assign]
        Sides(winner, loser).apply(conflict, Work())
        assert contents(loser)["a"] == content
        assert sorted(kept(loser, "a")) == [b"somebody's", b"theirs"]

    def test_what_was_edited_again_since_it_was_listed_is_kept(self, loser: Tree) -> None:
        winner = MemoryTree()
        conflict = action(Verb.CONFLICT, put(winner, "a", b"ours"), put(loser, "a", b"theirs"), in_danger=True)
        put(loser, "a", b"theirs, edited")
        with pytest.raises(ChangedElsewhereError):
            Sides(winner, loser).apply(conflict, Work())
        assert contents(loser) == {"a": b"theirs, edited"}


class Unreadable(MemoryTree):
    """A tree that lists what it does not let anybody read, or not beyond the first so many bytes."""

    readable = 0

    def read(self, entry: Entry) -> Content:
        raise SourceRefusedError(f"{entry.path}: permission denied")

    def source(self, entry: Entry) -> Source:
        return _Cut(super().source(entry), self.readable)


class _Cut:
    """A source whose bytes from some place on cannot be read."""

    def __init__(self, source: Source, readable: int) -> None:
        self._source, self._readable = source, readable
        self.stat = source.stat

    @contextmanager
    def open(self, offset: int, end: int | None) -> Iterator[Reader]:
        if end is None or end > self._readable:
            raise SourceRefusedError("permission denied")
        with self._source.open(offset, end) as reader:
            yield reader


class TestWhatCannotBeRead:
    @pytest.mark.parametrize(("content", "readable"), [(b"ours", 0), (LARGE, 0), (LARGE, 2 * PART)])
    def test_what_it_was_to_replace_keeps_its_name(self, content: bytes, readable: int, loser: Tree) -> None:
        winner = Unreadable()
        winner.readable = readable
        conflict = action(Verb.CONFLICT, put(winner, "a", content), put(loser, "a", b"theirs"), in_danger=True)
        with pytest.raises(SourceRefusedError):
            Sides(winner, loser).apply(conflict, Work())
        assert contents(loser) == {"a": b"theirs"}

    def test_nor_is_it_set_aside_for_a_large_file_that_is_damaged(self, loser: Tree) -> None:
        winner = Promising()
        conflict = action(Verb.CONFLICT, put(winner, "a", LARGE), put(loser, "a", b"theirs"), in_danger=True)
        winner.promised = Checksum(md5_of([b"something else"]))
        with pytest.raises(ChecksumMismatchError):
            Sides(winner, loser).apply(conflict, Work())
        assert contents(loser) == {"a": b"theirs"}


class Promising(MemoryTree):
    """A tree that tells of a large file what others have noted of it."""

    promised: Checksum | None = None

    def describe(self, entry: Entry) -> Description:
        return Description(super().describe(entry).mtime_ns, self.promised)


class TestSettingAside:
    @pytest.mark.parametrize("path", ["a", "a/"])
    def test_what_was_set_aside_already_is_done(self, winner: MemoryTree, loser: Tree, path: str) -> None:
        put(loser, "a" if path == "a" else "a/b", b"theirs")
        listed = loser.find(path) or Entry(path, Kind.FOLDER, is_empty=False)
        if isinstance(loser, MemoryTree) and path == "a/":
            listed = loser.make_folder(path)
        sides, aside = Sides(winner, loser), action(Verb.SET_ASIDE, None, listed)
        for _ in range(2):
            assert sides.apply(aside, Work()) == Gone(path, with_all_below=path == "a/")
        assert kept(loser, "a") == [b"theirs"]
        assert len(contents(loser)) == 1


class TestLargeFiles:
    def test_what_was_edited_before_the_last_part_came_is_kept(self, winner: MemoryTree, loser: Tree) -> None:
        """A worker that takes a batch looks what is there now; it must not take that for what it is to replace."""
        copy = action(Verb.COPY, put(winner, "a", LARGE), put(loser, "a", b"old"))
        sides = Sides(winner, loser)
        sides.begin(copy)
        sides.bring_parts(copy, 1, 4, Work())
        edited = put(loser, "a", b"edited")
        outcome = sides.finish(copy.facing(edited, Verb.CONFLICT), Work(), all_went_well=True)
        assert isinstance(outcome, Alike)
        assert contents(loser)["a"] == LARGE
        assert kept(loser, "a") == [b"edited"]

    def test_one_that_is_there_already_stays(self, winner: MemoryTree, loser: Tree) -> None:
        copy = action(Verb.COPY, put(winner, "a", LARGE), None)
        sides = Sides(winner, loser)
        sides.begin(copy)
        sides.bring_parts(copy, 1, 4, Work())
        first = sides.finish(copy, Work(), all_went_well=True)
        found = loser.find("a")
        assert found is not None
        again = sides.finish(copy.facing(found, Verb.COMPARE), Work(), all_went_well=True)
        assert isinstance(first, Alike)
        assert isinstance(again, Alike)
        assert again.loser.version == first.loser.version
        assert contents(loser) == {"a": LARGE}


class TestProofs:
    """What others wrote is proved by what they noted, in whichever form."""

    @pytest.mark.parametrize("part_size", [None, 0, PART, 50])
    @pytest.mark.parametrize("is_whole", [True, False])
    def test_a_large_file_has_its_name_only_when_it_is_what_was_promised(
        self, loser: Tree, part_size: int | None, *, is_whole: bool
    ) -> None:
        winner = Promising()
        copy = action(Verb.COPY, put(winner, "a", LARGE), put(loser, "a", b"old"))
        content = LARGE if is_whole else LARGE[::-1]
        parts = [content[at : at + (part_size or SMALL)] for at in range(0, len(content), part_size or SMALL)]
        if part_size is not None:
            md5s = [md5_of([part]) for part in parts]
            winner.promised = checksum_of_parts(md5s, part_size) if part_size else Checksum(md5_of([content]))
        sides = Sides(winner, loser)
        if is_whole or part_size is None:
            assert isinstance(sides.apply(copy, Work()), Alike)
            assert contents(loser) == {"a": LARGE}
        else:
            with pytest.raises(ChecksumMismatchError):
                sides.apply(copy, Work())
            assert contents(loser) == {"a": b"old"}

    @pytest.mark.parametrize("is_damaged", [True, False])
    @pytest.mark.parametrize("part_size", [0, PART, 50])
    def test_what_a_store_does_not_tell_is_held_against_the_manifest(
        self, loser: Tree, part_size: int, *, is_damaged: bool
    ) -> None:
        """Its ETags may be no hashes of anything."""
        winner = Promising()
        entry = put(winner, "a", LARGE)
        parts = [LARGE[at : at + (part_size or len(LARGE))] for at in range(0, len(LARGE), part_size or len(LARGE))]
        md5s = [md5_of([part]) for part in parts]
        checksum = checksum_of_parts(md5s, part_size) if part_size else Checksum(md5s[0])
        known = Known("a", len(LARGE), entry.version, "gone", str(checksum))
        copy = replace(action(Verb.COPY, entry, None), known=known)
        if not is_damaged:
            assert isinstance(Sides(winner, loser).apply(copy, Work()), Alike)
            return
        winner.damage("a", LARGE[::-1])
        with pytest.raises(ChecksumMismatchError):
            Sides(winner, loser).apply(copy, Work())
        assert contents(loser) == {}
        changed = replace(copy, known=replace(known, winner="another version"))
        assert isinstance(Sides(winner, loser).apply(changed, Work()), Alike)


class TestDeletion:
    def test_what_only_the_listing_lacks_stays(self, winner: MemoryTree, loser: Tree) -> None:
        delete = action(Verb.DELETE, None, put(loser, "a", b"same"))
        put(winner, "a", b"same")
        with pytest.raises(SourceChangedError):
            Sides(winner, loser).apply(delete, Work())
        assert contents(loser) == {"a": b"same"}

    def test_what_the_winner_does_not_have_goes(self, winner: MemoryTree, loser: Tree) -> None:
        delete = action(Verb.DELETE, None, put(loser, "a", b"same"))
        assert Sides(winner, loser).apply(delete, Work()) == Gone("a")
        assert contents(loser) == {}
