"""What `MemoryTree` has for tests besides being a tree."""

from __future__ import annotations

import pytest

from tests.conformance.trees import content_of, entries
from transfers.engine.tree.base import Entry, Kind
from transfers.engine.tree.memory import MTIME_NS, MemoryTree
from transfers.errors import ChangedElsewhereError, ChecksumMismatchError, SourceChangedError


@pytest.fixture
def tree() -> MemoryTree:
    return MemoryTree()


def test_put(tree: MemoryTree) -> None:
    entry = tree.put("a/b", b"bytes")
    assert entries(tree) == {"a/b": entry}
    assert tree.contents == {"a/b": b"bytes"}
    assert tree.read(entry) == content_of(b"bytes", MTIME_NS)
    assert tree.put("a/b", b"bytes").version != entry.version


def test_touch_is_another_version_of_the_same_bytes(tree: MemoryTree) -> None:
    before = tree.put("a", b"bytes")
    tree.touch("a")
    after = entries(tree)["a"]
    assert after.version != before.version
    assert (after.size, after.mtime_ns) == (before.size, before.mtime_ns + 10**9)
    with pytest.raises(SourceChangedError):
        tree.read(before)
    assert tree.read(after).content == b"bytes"


def test_damage_is_the_same_version_of_other_bytes(tree: MemoryTree) -> None:
    entry = tree.put("a", b"bytes")
    tree.damage("a", b"bites")
    assert entries(tree) == {"a": entry}
    with pytest.raises(ChecksumMismatchError):
        tree.read(entry)


def test_delete(tree: MemoryTree) -> None:
    entry = tree.put("a", b"bytes")
    tree.delete("a")
    assert entries(tree) == {}
    with pytest.raises(SourceChangedError):
        tree.read(entry)


def test_a_problem_is_told_and_never_replaced(tree: MemoryTree) -> None:
    tree.put("b", b"bytes")
    tree.put_problem("a", "it is a link")
    problem = Entry("a", Kind.PROBLEM, problem="it is a link")
    assert list(tree.entries()) == [problem, tree.find("b")]
    assert tree.find("a") == problem
    with pytest.raises(ChangedElsewhereError):
        tree.write("a", content_of(b"new"), None)
    assert tree.contents == {"b": b"bytes"}


def test_a_listing_is_of_the_moment_it_was_asked_for(tree: MemoryTree) -> None:
    one = tree.put("a", b"1")
    listing = tree.entries()
    assert next(listing) == one
    tree.put("b", b"2")
    assert list(listing) == []
