"""What every tree must do, as one suite: an adapter's test class inherits it and says how an empty tree is made.

class TestMemoryTree(TreeSuite):
    @pytest.fixture
    def new_tree(self) -> type[MemoryTree]: ...

All that the suite knows of a place it asks of its trees. What somebody else does meanwhile is a write by the same tree.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.sinks import FailingReader
from tests.conformance.sources import fetch
from transfers.engine.plan import Plan
from transfers.engine.tree.base import (
    Checksum,
    Content,
    Description,
    Entry,
    Kind,
    Tree,
    TreeSink,
    checksum_of_parts,
    md5_of,
)
from transfers.engine.tree.names import conflict_path, is_conflict_path
from transfers.errors import ChangedElsewhereError, FolderUnusableError, SinkError, SourceChangedError, SourceError

MTIME_NS = 1_600_000_000_123_456_789
PART_BYTES = 5 * 2**20  # the least that S3 takes
LARGE = random.Random(7).randbytes(2 * PART_BYTES + 77_777)
OTHER_LARGE = random.Random(8).randbytes(len(LARGE))
PLAN = Plan(len(LARGE), PART_BYTES)
NAMES = st.text(alphabet="ab!-.0~ é日\U0001f388", min_size=1, max_size=4).filter(lambda name: name.strip(" ."))
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
NewTree = Callable[[], Tree]


def content_of(content: bytes, mtime_ns: int = MTIME_NS) -> Content:
    """A small file that was read somewhere."""
    return Content(content, md5_of([content]), mtime_ns)


def put(tree: Tree, path: str, content: bytes = b"content", mtime_ns: int = MTIME_NS) -> Entry:
    """Make these the file's bytes, whatever they are now."""
    return tree.write(path, content_of(content, mtime_ns), tree.find(path))


def entries(tree: Tree) -> dict[str, Entry]:
    """The listing by path, in its order."""
    return {entry.path: entry for entry in tree.entries()}


def files(tree: Tree) -> dict[str, bytes]:
    """All files with their bytes, in the order of the listing."""
    return {entry.path: fetch(tree.source(entry)) for entry in tree.entries() if entry.kind is Kind.FILE}


def kept_beside(tree: Tree, path: str) -> list[bytes]:
    """What is kept beside the file with this path."""
    return [content for kept, content in files(tree).items() if is_conflict_path(kept, path)]


def begun(tree: Tree, *, version: str = "1", replaced: Entry | None = None, path: str = "large.bin") -> TreeSink:
    """A sink that has begun the large file; every call is one more worker."""
    sink = sink_for(tree, version=version, replaced=replaced, path=path)
    sink.begin(PLAN)
    return sink


def sink_for(tree: Tree, *, version: str = "1", replaced: Entry | None = None, path: str = "large.bin") -> TreeSink:
    """A sink for the large file's bytes of this version."""
    return tree.sink(path, version, Description(MTIME_NS, None), replaced)


def bring(sink: TreeSink, number: int, content: bytes = LARGE) -> None:
    """Store the whole part."""
    part = PLAN.part(number)
    sink.write_part(part, FailingReader(content[part.offset : part.end], piece_bytes=2**20))


def go_on(sink: TreeSink, content: bytes = LARGE) -> list[int]:
    """Bring the parts that the sink does not have; which ones these were."""
    missing = [part.number for part in PLAN if not sink.trust(part, lambda part=part: part_md5(content, part.number))]  # type: ignore[misc]
    for number in missing:
        bring(sink, number, content)
    return missing


def checksum_of(content: bytes, part_size: int) -> Checksum:
    """The checksum of these bytes in parts of this size."""
    parts = (content[offset : offset + part_size] for offset in range(0, len(content), part_size))
    return checksum_of_parts([md5_of([part]) for part in parts], part_size)


def part_md5(content: bytes, number: int) -> str:
    part = PLAN.part(number)
    return md5_of([content[part.offset : part.end]])


def finish(sink: TreeSink, content: bytes = LARGE) -> Entry:
    """Bring what is missing and give it its name."""
    go_on(sink, content)
    entry = sink.publish(len(content))
    sink.complete(len(content))
    sink.close()
    return entry


class ListingSuite:
    """What a tree tells."""

    @pytest.fixture
    def tree(self, new_tree: NewTree) -> Tree:
        return new_tree()

    def test_an_empty_tree(self, tree: Tree) -> None:
        assert entries(tree) == {}
        assert tree.find("a") is None

    def test_the_order_is_that_of_the_bytes(self, tree: Tree) -> None:
        paths = ["A", "a b/x", "a!", "a-b/x", "a.b/c", "a/b", "a0", "ab", "z", "é", "日", "\uffee", "\U0001f388"]
        for path in reversed(paths):
            put(tree, path)
        assert list(files(tree)) == paths
        assert list(entries(tree)) == sorted(entries(tree), key=str.encode)

    def test_any_tree_is_told_in_order(self, new_tree: NewTree) -> None:
        @settings(max_examples=25)
        @given(paths=st.sets(PATHS, max_size=12))
        def told_in_order(paths: set[str]) -> None:
            files_only = {path for path in paths if not any(other.startswith(path + "/") for other in paths)}
            tree = new_tree()
            for path in files_only:
                put(tree, path, path.encode())
            told = [entry.path for entry in tree.entries()]
            assert told == sorted(told, key=str.encode)
            assert files(tree) == {path: path.encode() for path in files_only}

        told_in_order()

    def test_a_file_is_told_as_it_was_written(self, tree: Tree) -> None:
        written = put(tree, "a/b/c", b"abc")
        told = entries(tree)["a/b/c"]
        assert (told.kind, told.size, told.version) == (Kind.FILE, 3, written.version)
        assert told.mtime_ns in (0, MTIME_NS)
        found = tree.find("a/b/c")
        assert found is not None
        assert tree.find("a/b/x") is None
        assert (found.path, found.kind, found.size, found.version) == ("a/b/c", Kind.FILE, 3, written.version)

    def test_another_content_is_another_version(self, tree: Tree) -> None:
        versions = {put(tree, "a", content).version for content in (b"one", b"two", b"three")}
        assert len(versions) == 3

    def test_an_unchanged_file_has_the_same_version_in_each_listing(self, tree: Tree) -> None:
        put(tree, "a/b")
        put(tree, "c")
        assert entries(tree) == entries(tree)

    def test_names_in_two_unicode_forms_are_two_files(self, tree: Tree) -> None:
        put(tree, "caf\u00e9/x", b"composed")
        put(tree, "cafe\u0301/x", b"decomposed")
        assert files(tree) == {"cafe\u0301/x": b"decomposed", "caf\u00e9/x": b"composed"}

    @pytest.mark.parametrize(
        "name", ["a b", "a\\b", "C:", "*?<>|\"'", "~a", "#1", "100%", "a+b&c=d", "한글", "..a", " "]
    )
    def test_names_that_are_special_elsewhere(self, tree: Tree, name: str) -> None:
        put(tree, f"{name}/{name}", name.encode())
        assert files(tree) == {f"{name}/{name}": name.encode()}

    def test_the_longest_name(self, tree: Tree) -> None:
        name = "é" * 127 + "x"
        put(tree, name)
        assert list(files(tree)) == [name]

    def test_an_empty_folder_that_was_made(self, tree: Tree) -> None:
        made = tree.make_folder("a/b/")
        assert (made.path, made.kind, made.is_empty) == ("a/b/", Kind.FOLDER, True)
        told = entries(tree)["a/b/"]
        assert (told.kind, told.is_empty, told.version) == (Kind.FOLDER, True, made.version)
        found = tree.find("a/b/")
        assert found is not None
        assert (found.kind, found.is_empty) == (Kind.FOLDER, True)
        assert tree.find("a/b") is None

    def test_a_folder_that_is_made_twice(self, tree: Tree) -> None:
        tree.make_folder("a/")
        tree.make_folder("a/")
        assert list(entries(tree)) == ["a/"]

    def test_a_folder_with_something_in_it(self, tree: Tree) -> None:
        tree.make_folder("a/")
        put(tree, "a/b")
        put(tree, "a.b")
        told = entries(tree)
        assert list(told) == ["a.b", "a/", "a/b"]
        assert not told["a/"].is_empty

    def test_folders_in_folders(self, tree: Tree) -> None:
        tree.make_folder("a/b/c/")
        tree.make_folder("a/d/")
        empty = [path for path, entry in entries(tree).items() if entry.is_empty]
        assert empty == ["a/b/c/", "a/d/"]

    @pytest.mark.parametrize("path", ["", "/a", "a//b", "../a", "a/./b", "a\0b", "a/" + "b" * 256, "\udcff"])
    def test_what_is_no_path_is_refused(self, tree: Tree, path: str) -> None:
        with pytest.raises(FolderUnusableError):
            tree.write(path, content_of(b"x"), None)
        with pytest.raises(FolderUnusableError):
            tree.make_folder(path + "/")
        with pytest.raises(FolderUnusableError):
            tree.sink(path, "1", Description(MTIME_NS, None), None).begin(PLAN)
        assert entries(tree) == {}


class ReadingFilesSuite:
    """How files are read."""

    @pytest.mark.parametrize("size", [0, 1, 100_000])
    def test_a_small_file(self, tree: Tree, size: int) -> None:
        put(tree, "a", LARGE[:size])
        entry = entries(tree)["a"]
        assert tree.read(entry) == content_of(LARGE[:size])
        assert entry.size == size

    def test_a_changed_file_is_not_read(self, tree: Tree) -> None:
        entry = put(tree, "a", b"one")
        put(tree, "a", b"two")
        with pytest.raises(SourceChangedError):
            tree.read(entry)
        with pytest.raises(SourceChangedError):
            fetch(tree.source(entry))

    def test_a_file_that_is_gone_is_not_read(self, tree: Tree) -> None:
        entry = put(tree, "a/b", b"one")
        tree.remove(entry)
        with pytest.raises(SourceChangedError):
            tree.read(entry)
        with pytest.raises(SourceError):
            fetch(tree.source(entry))

    @pytest.mark.parametrize(("offset", "end"), [(0, None), (0, 1), (5000, 70_000), (99_999, 100_000), (7, 7)])
    def test_ranges(self, tree: Tree, offset: int, end: int | None) -> None:
        source = tree.source(put(tree, "a", LARGE[:100_000]))
        assert fetch(source, offset, end) == LARGE[offset : 100_000 if end is None else end]

    def test_the_time_of_a_file_is_kept(self, tree: Tree) -> None:
        times = {"new": 1_700_000_000_000_000_001, "old": 1_000_000_000, "whole": 1_600_000_000_000_000_000}
        for path, mtime_ns in times.items():
            put(tree, path, mtime_ns=mtime_ns)
        told = entries(tree)
        assert {path: tree.read(told[path]).mtime_ns for path in times} == times
        assert {path: tree.describe(told[path]).mtime_ns for path in times} == times

    def test_a_description_tells_the_right_checksum_or_none(self, tree: Tree) -> None:
        content = LARGE[:100_000]
        entry = put(tree, "a", content)
        assert tree.describe(entry).checksum in (None, Checksum(md5_of([content])))


class WritingSuite:
    """How files get in place of others, and that nothing is lost by it."""

    def test_a_file_in_place_of_another(self, tree: Tree) -> None:
        old = put(tree, "a/b", b"old")
        new = tree.write("a/b", content_of(b"newer"), old)
        assert files(tree) == {"a/b": b"newer"}
        assert new.version != old.version
        assert entries(tree)["a/b"].version == new.version

    def test_what_was_changed_meanwhile_is_kept(self, tree: Tree) -> None:
        listed = put(tree, "a", b"old")
        put(tree, "a", b"edited")
        self._check_kept(tree, lambda: tree.write("a", content_of(b"new"), listed))

    def test_what_was_changed_meanwhile_to_the_same_size_is_kept(self, tree: Tree) -> None:
        listed = put(tree, "a", b"oldold")
        put(tree, "a", b"edited")
        self._check_kept(tree, lambda: tree.write("a", content_of(b"new"), listed))

    def test_what_nobody_knew_of_is_kept(self, tree: Tree) -> None:
        put(tree, "a", b"edited")
        self._check_kept(tree, lambda: tree.write("a", content_of(b"new"), None))

    def test_what_was_removed_and_made_anew_meanwhile_is_kept(self, tree: Tree) -> None:
        listed = put(tree, "a", b"oldold")
        tree.remove(listed)
        put(tree, "a", b"edited")
        self._check_kept(tree, lambda: tree.write("a", content_of(b"new"), listed))

    def test_a_large_file_keeps_what_was_changed_meanwhile(self, tree: Tree) -> None:
        listed = put(tree, "a", b"old")
        sink = begun(tree, path="a", replaced=listed)
        go_on(sink)
        put(tree, "a", b"edited")
        self._check_kept(tree, lambda: sink.publish(len(LARGE)), LARGE)
        sink.close()

    def test_a_large_file_keeps_what_nobody_knew_of(self, tree: Tree) -> None:
        put(tree, "a", b"edited")
        sink = begun(tree, path="a")
        go_on(sink)
        self._check_kept(tree, lambda: sink.publish(len(LARGE)), LARGE)
        sink.close()

    @staticmethod
    def _check_kept(tree: Tree, write: Callable[[], Entry], new: bytes = b"new") -> None:
        try:
            write()
        except ChangedElsewhereError:
            assert files(tree) == {"a": b"edited"}
        else:
            assert files(tree)["a"] == new
            assert kept_beside(tree, "a") == [b"edited"]
            assert len(files(tree)) == 2

    def test_what_is_gone_meanwhile(self, tree: Tree) -> None:
        listed = put(tree, "a", b"old")
        tree.remove(listed)
        with contextlib.suppress(ChangedElsewhereError):
            tree.write("a", content_of(b"new"), listed)
        assert files(tree) in ({"a": b"new"}, {})

    def test_a_write_that_is_repeated_after_a_crash(self, tree: Tree) -> None:
        listed = put(tree, "a", b"old")
        tree.write("a", content_of(b"new"), listed)
        with contextlib.suppress(ChangedElsewhereError):
            tree.write("a", content_of(b"new"), listed)
        assert files(tree) == {"a": b"new"}

    def test_set_aside(self, tree: Tree) -> None:
        before = datetime.now(UTC).replace(microsecond=0)
        entry = put(tree, "a/b.txt", b"mine")
        aside = tree.set_aside(entry)
        seconds = range(int((datetime.now(UTC) - before) / timedelta(seconds=1)) + 2)
        assert aside.path in [conflict_path("a/b.txt", before + timedelta(seconds=after)) for after in seconds]
        kept = files(tree)
        assert kept.pop(aside.path) == b"mine"
        assert kept in ({}, {"a/b.txt": b"mine"})
        assert entries(tree)[aside.path].version == aside.version

    def test_set_aside_again_and_again(self, tree: Tree) -> None:
        asides = set()
        for content in (b"one", b"two", b"three"):
            found = tree.find("a")
            asides.add(tree.set_aside(tree.write("a", content_of(content), found)).path)
        assert len(asides) == 3
        assert sorted(kept_beside(tree, "a")) == [b"one", b"three", b"two"]

    def test_set_aside_of_what_was_changed_meanwhile_loses_nothing(self, tree: Tree) -> None:
        entry = put(tree, "a", b"old")
        put(tree, "a", b"edited")
        with contextlib.suppress(ChangedElsewhereError):
            tree.set_aside(entry)
        assert b"edited" in files(tree).values()

    def test_a_folder_is_set_aside_with_all_that_is_in_it(self, tree: Tree) -> None:
        tree.make_folder("a/")
        put(tree, "a/b", b"b")
        put(tree, "a/c/d", b"d")
        put(tree, "ab", b"another")
        entry = entries(tree)["a/"]
        aside = tree.set_aside(entry)
        assert aside.kind is Kind.FOLDER
        assert is_conflict_path(aside.path.removesuffix("/"), "a")
        kept = files(tree)
        assert kept == {f"{aside.path}b": b"b", f"{aside.path}c/d": b"d", "ab": b"another"}

    def test_settle_may_be_called_at_any_time(self, tree: Tree) -> None:
        tree.settle()
        tree.remove(put(tree, "a/b"))
        put(tree, "c")
        tree.settle()
        tree.settle()
        assert list(files(tree)) == ["c"]


class RemovingSuite:
    """How files and folders go."""

    def test_a_file(self, tree: Tree) -> None:
        put(tree, "b")
        tree.remove(put(tree, "a"))
        assert list(files(tree)) == ["b"]

    @pytest.mark.parametrize("content", [b"edited", b"old"])
    def test_a_file_that_was_changed_meanwhile_stays(self, tree: Tree, content: bytes) -> None:
        entry = put(tree, "a", b"oldest")
        put(tree, "a", content)
        with pytest.raises(ChangedElsewhereError):
            tree.remove(entry)
        assert files(tree) == {"a": content}

    def test_a_file_that_is_gone(self, tree: Tree) -> None:
        entry = put(tree, "a/b")
        tree.remove(entry)
        tree.remove(entry)
        assert files(tree) == {}

    def test_an_empty_folder(self, tree: Tree) -> None:
        put(tree, "a/file")
        tree.make_folder("a/b/")
        tree.remove(entries(tree)["a/b/"])
        assert "a/b/" not in entries(tree)
        assert list(files(tree)) == ["a/file"]

    def test_a_folder_that_is_gone(self, tree: Tree) -> None:
        folder = tree.make_folder("a/")
        tree.remove(folder)
        tree.remove(folder)
        assert entries(tree) == {}

    def test_a_folder_with_something_in_it_stays(self, tree: Tree) -> None:
        folder = tree.make_folder("a/")
        put(tree, "a/b")
        with pytest.raises(ChangedElsewhereError):
            tree.remove(folder)
        assert list(entries(tree)) == ["a/", "a/b"]


class LargeFileSuite:
    """Files that come in parts."""

    def test_a_large_file(self, tree: Tree) -> None:
        sink = begun(tree, path="a/large.bin")
        assert sink.stored_parts() == {}
        for number in (3, 1, 2):
            bring(sink, number)
            assert files(tree) == {}
        expected = checksum_of_parts([part_md5(LARGE, number) for number in (1, 2, 3)], PART_BYTES)
        assert sink.checksum() == expected
        assert sink.checksum(2**20) in (expected, checksum_of(LARGE, 2**20))
        assert sink.checksum(0) in (expected, Checksum(md5_of([LARGE])))
        written = sink.publish(len(LARGE))
        sink.complete(len(LARGE))
        sink.close()
        assert files(tree) == {"a/large.bin": LARGE}
        told = entries(tree)["a/large.bin"]
        assert (written.path, written.size, written.version) == (told.path, told.size, told.version)
        description = tree.describe(told)
        assert description.mtime_ns == MTIME_NS
        assert description.checksum in (None, expected)

    def test_a_large_file_in_place_of_another(self, tree: Tree) -> None:
        old = put(tree, "large.bin", b"old")
        finish(begun(tree, replaced=old))
        assert files(tree) == {"large.bin": LARGE}
        finish(begun(tree, version="2", replaced=entries(tree)["large.bin"]), OTHER_LARGE)
        assert files(tree) == {"large.bin": OTHER_LARGE}

    @pytest.mark.parametrize("steps", range(6))
    def test_another_sink_goes_on_after_a_crash_at_any_step(self, tree: Tree, steps: int) -> None:
        old = put(tree, "large.bin", b"old")
        first = sink_for(tree, replaced=old)
        whole_steps: list[Callable[[], object]] = [
            lambda: first.begin(PLAN),
            *(lambda number=number: bring(first, number) for number in (2, 1, 3)),
            lambda: first.publish(len(LARGE)),
        ]
        for step in whole_steps[:steps]:
            step()
        second = begun(tree, replaced=old)
        brought = go_on(second)
        assert brought == [number for number in (1, 2, 3) if number not in [2, 1, 3][: max(steps - 1, 0)]]
        assert second.checksum().part_size == PART_BYTES
        entry = second.publish(len(LARGE))
        second.complete(len(LARGE))
        assert files(tree) == {"large.bin": LARGE}
        assert entries(tree)["large.bin"].version == entry.version
        for sink in (first, second):
            sink.close()

    def test_every_part_by_another_sink(self, tree: Tree) -> None:
        for number in (1, 2, 3):
            sink = begun(tree)
            assert sorted(sink.stored_parts()) == [*range(1, number)]
            bring(sink, number)
            sink.close()
        finish(begun(tree))
        assert files(tree) == {"large.bin": LARGE}

    def test_two_sinks_at_once(self, tree: Tree) -> None:
        first, second = begun(tree), sink_for(tree)
        assert second.join(PLAN)
        bring(first, 1)
        bring(second, 3)
        bring(first, 2)
        assert go_on(second) == []
        finish(second)
        first.close()
        assert files(tree) == {"large.bin": LARGE}

    def test_nothing_to_join(self, tree: Tree) -> None:
        sink = sink_for(tree)
        assert not sink.join(PLAN)
        sink.close()
        assert entries(tree) == {}

    def test_nothing_to_join_after_an_abort(self, tree: Tree) -> None:
        sink = begun(tree)
        bring(sink, 1)
        sink.abort()
        again = sink_for(tree)
        assert not again.join(PLAN)
        again.close()
        assert entries(tree) == {}

    def test_parts_of_this_version_are_trusted(self, tree: Tree) -> None:
        bring(begun(tree), 2)
        sink = begun(tree)
        trusted = [sink.trust(part, lambda part=part: part_md5(LARGE, part.number)) for part in PLAN]  # type: ignore[misc]
        sink.close()
        assert trusted == [False, True, False]

    def test_parts_of_another_version_are_not_trusted(self, tree: Tree) -> None:
        old = begun(tree, version="1")
        bring(old, 1, OTHER_LARGE)
        bring(old, 2, OTHER_LARGE)
        new = begun(tree, version="2")
        assert go_on(new) == [1, 2, 3]
        finish(new)
        old.close()
        assert files(tree) == {"large.bin": LARGE}

    def test_a_file_that_is_not_whole_does_not_appear(self, tree: Tree) -> None:
        sink = begun(tree)
        bring(sink, 1)
        bring(sink, 3)
        with pytest.raises(SinkError):
            sink.publish(len(LARGE))
        assert files(tree) == {}
        finish(sink)
        assert files(tree) == {"large.bin": LARGE}

    def test_publish_again(self, tree: Tree) -> None:
        old = put(tree, "large.bin", b"old")
        sink = begun(tree, replaced=old)
        go_on(sink)
        first = sink.publish(len(LARGE))
        assert sink.publish(len(LARGE)).version == first.version
        sink.complete(len(LARGE))
        sink.complete(len(LARGE))
        sink.close()
        assert files(tree) == {"large.bin": LARGE}

    def test_abort_leaves_nothing_behind(self, tree: Tree) -> None:
        old = put(tree, "large.bin", b"old")
        sink = begun(tree, replaced=old)
        bring(sink, 1, OTHER_LARGE)
        sink.abort()
        again = begun(tree, replaced=old)
        assert again.stored_parts() == {}
        assert files(tree) == {"large.bin": b"old"}
        finish(again)
        assert files(tree) == {"large.bin": LARGE}

    def test_what_is_unfinished_is_swept_up_in_the_end(self, tree: Tree) -> None:
        sink = begun(tree)
        bring(sink, 1)
        sink.close()
        put(tree, "a/b", b"finished")
        tree.sweep(-60)  # a minute ahead, for the clock of a store
        again = sink_for(tree)
        assert not again.join(PLAN)
        again.close()
        assert files(tree) == {"a/b": b"finished"}
        finish(begun(tree))
        assert files(tree)["large.bin"] == LARGE

    def test_nothing_to_sweep_up(self, tree: Tree) -> None:
        assert tree.sweep(0) == 0
        put(tree, "a", b"finished")
        finish(begun(tree))
        assert tree.sweep(-60) == 0
        assert files(tree) == {"a": b"finished", "large.bin": LARGE}

    def test_a_source_of_a_large_file(self, tree: Tree) -> None:
        finish(begun(tree))
        entry = entries(tree)["large.bin"]
        source = tree.source(entry)
        assert source.stat().size == len(LARGE)
        part = PLAN.part(2)
        assert fetch(source, part.offset, part.end) == LARGE[part.offset : part.end]
        put(tree, "large.bin", b"edited")
        with pytest.raises(SourceChangedError):
            fetch(source, 0, 10)
        with pytest.raises(SourceChangedError):
            fetch(tree.source(replace(entry, version="another")), 0, 10)


class MarkedFoldersSuite:
    """For a tree on a place that has no folders of its own, but marks of them."""

    @pytest.mark.parametrize("order", [("a/", "a/b/", "a/b/c/"), ("a/b/", "a/b/c/", "a/"), ("a/b/c/", "a/b/", "a/")])
    def test_folders_in_folders_go_in_any_order(self, tree: Tree, order: tuple[str, ...]) -> None:
        put(tree, "other")
        for path in order:
            tree.make_folder(path)
        listed = entries(tree)
        for path in order:
            tree.remove(listed[path])
        assert list(entries(tree)) == ["other"]

    def test_a_file_far_below_holds_a_folder_back(self, tree: Tree) -> None:
        folder = tree.make_folder("a/")
        tree.make_folder("a/b/")
        put(tree, "a/b/c")
        with pytest.raises(ChangedElsewhereError):
            tree.remove(folder)
        assert list(entries(tree)) == ["a/", "a/b/", "a/b/c"]


class OwnFoldersSuite:
    """For a tree on a place that has folders of its own."""

    def test_each_folder_is_told_before_what_is_in_it(self, tree: Tree) -> None:
        put(tree, "a/b/c")
        put(tree, "a.b/c")
        put(tree, "a!")
        told = entries(tree)
        assert list(told) == ["a!", "a.b/", "a.b/c", "a/", "a/b/", "a/b/c"]
        assert not any(entry.is_empty for entry in told.values() if entry.kind is Kind.FOLDER)

    def test_folders_that_become_empty_go_too(self, tree: Tree) -> None:
        put(tree, "a/x")
        put(tree, "other/file")
        tree.remove(put(tree, "a/b/c/d"))
        assert list(entries(tree)) == ["a/", "a/x", "other/", "other/file"]
        tree.remove(entries(tree)["a/x"])
        assert list(entries(tree)) == ["other/", "other/file"]

    def test_folders_above_an_empty_folder_go_too(self, tree: Tree) -> None:
        put(tree, "a/x")
        tree.make_folder("a/b/c/")
        tree.remove(entries(tree)["a/b/c/"])
        assert list(entries(tree)) == ["a/", "a/x"]

    def test_a_file_is_in_the_way_of_a_folder(self, tree: Tree) -> None:
        put(tree, "a", b"mine")
        with pytest.raises(ChangedElsewhereError):
            put(tree, "a/b")
        with pytest.raises(ChangedElsewhereError):
            tree.make_folder("a/")
        with pytest.raises(ChangedElsewhereError):
            tree.make_folder("a/b/")
        assert files(tree) == {"a": b"mine"}

    def test_a_folder_is_in_the_way_of_a_file(self, tree: Tree) -> None:
        put(tree, "a/b", b"mine")
        with pytest.raises(ChangedElsewhereError):
            tree.write("a", content_of(b"new"), None)
        sink = begun(tree, path="a")
        go_on(sink)
        with pytest.raises(ChangedElsewhereError):
            sink.publish(len(LARGE))
        sink.close()
        assert files(tree) == {"a/b": b"mine"}


class TreeSuite(ListingSuite, ReadingFilesSuite, WritingSuite, RemovingSuite, LargeFileSuite):
    """For every tree; `new_tree`, the adapter's fixture, makes an empty one each time."""
