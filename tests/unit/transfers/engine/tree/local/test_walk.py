"""Listings of folders in which anything may be, and may change while it is listed."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import battery
from tests.conformance.trees import MTIME_NS, content_of, entries
from tests.unit.transfers.engine.tree.local.disk import as_nobody, edit, lay, nested
from transfers.engine.tree.base import Entry, Kind
from transfers.engine.tree.local import LocalTree, walk
from transfers.engine.tree.local.folders import open_folder
from transfers.errors import SourceChangedError, SourceRefusedError


def problems(tree: LocalTree) -> dict[str, str]:
    """What the listing says that cannot be synced."""
    return {entry.path: entry.problem for entry in tree.entries() if entry.kind is Kind.PROBLEM}


def passing(listed: Iterable[Entry]) -> set[str]:
    """What of it is no fault of what lies there."""
    return {entry.path for entry in listed if entry.is_passing}


def good(tree: LocalTree) -> list[str]:
    """The rest of it."""
    return [entry.path for entry in tree.entries() if entry.kind is not Kind.PROBLEM]


def test_a_tree_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert entries(LocalTree(tmp_path / "a" / "b", tmp_path / "staging")) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_root_that_is_no_folder_is_never_taken_for_an_empty_one(tmp_path: Path, outside: Path, kind: str) -> None:
    root = tmp_path / "root"
    if kind == "file":
        root.write_bytes(b"")
    else:
        root.symlink_to(outside)
    with pytest.raises(SourceRefusedError):
        entries(LocalTree(root, tmp_path / "staging"))


def test_a_file_is_told_with_its_size_and_time(tree: LocalTree, root: Path) -> None:
    lay(root / "a" / "b", b"12345")
    entry = entries(tree)["a/b"]
    assert (entry.kind, entry.size, entry.mtime_ns, entry.problem) == (Kind.FILE, 5, MTIME_NS, "")
    assert tree.find("a/b") == entry


def test_a_folders_name_counts_with_its_slash(tree: LocalTree, root: Path) -> None:
    for path in ("a/x", "a!", "a.b", "a0", "a-/x"):
        lay(root / path)
    assert list(entries(tree)) == ["a!", "a-/", "a-/x", "a.b", "a/", "a/x", "a0"]


def test_what_cannot_be_synced_is_told_in_words(
    tree: LocalTree, root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(root / "file")
    (root / "link").symlink_to(root / "file")
    (root / "folder-link").symlink_to(outside)
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)  # the name of a socket has to be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    expected = {
        **dict.fromkeys(["dangling", "folder-link", "link", "loop"], "it is a link"),
        "pipe": "it is a pipe",
        "socket": "it is a socket",
    }
    assert problems(tree) == expected
    assert good(tree) == ["file"]
    for path, problem in expected.items():
        assert tree.find(path) == Entry(path, Kind.PROBLEM, problem=problem)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device(tree: LocalTree, root: Path) -> None:
    os.mknod(root / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    assert problems(tree) == {"null": "it is a device"}


def test_a_name_that_is_not_utf8(tree: LocalTree, root: Path) -> None:
    raw = os.fsencode(root)
    (root / os.fsdecode(b"fold\xff")).mkdir()
    for name in (b"/caf\xe9", b"/cafe", b"/cafz", b"/fold\xff/inner"):
        os.close(os.open(raw + name, os.O_CREAT))
    assert [(entry.path, entry.kind) for entry in tree.entries()] == [
        ("caf\\xe9", Kind.PROBLEM),
        ("cafe", Kind.FILE),
        ("cafz", Kind.FILE),
        ("fold\\xff/", Kind.PROBLEM),
    ]
    assert set(problems(tree).values()) == {"its name is not UTF-8"}


def test_a_name_that_looks_like_one_that_is_not_utf8(tree: LocalTree, root: Path) -> None:
    lay(root / "caf\\xe9")
    os.close(os.open(os.fsencode(root) + b"/caf\xe9", os.O_CREAT))
    assert [(entry.path, entry.kind) for entry in tree.entries()] == [
        ("caf\\xe9", Kind.FILE),
        ("caf\\xe9?", Kind.PROBLEM),
    ]


@pytest.mark.parametrize("name", ["a\nb", "a\x01b", "\x7f", "a\\b", "\u2028", "\ud7ff"])
def test_a_name_of_odd_characters(tree: LocalTree, root: Path, name: str) -> None:
    lay(root / name, b"1")
    (entry,) = entries(tree).values()
    assert (entry.path, tree.read(entry).content) == (name, b"1")


RAW_NAMES = st.binary(min_size=1, max_size=3).filter(lambda name: not {0, 0x2F} & {*name} and name not in (b".", b".."))


def test_names_of_any_bytes_are_told_once_and_in_order(tmp_path: Path) -> None:
    @settings(max_examples=battery.rounds(30, 1000))
    @given(names=st.dictionaries(RAW_NAMES, st.booleans(), max_size=20))
    def told_in_order(names: dict[bytes, bool]) -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            for name, is_folder in names.items():
                path = Path(folder, os.fsdecode(name))
                path.mkdir() if is_folder else path.touch()
            told = [entry.path for entry in LocalTree(Path(folder), tmp_path / "staging").entries()]
        assert told == sorted(told, key=str.encode)
        assert len(set(told)) == len(names)

    told_in_order()


# Permissions ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def open_root() -> Iterator[Path]:
    """A tree's folder that anybody can reach, as pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="carryon-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        root = folder / "tree"
        root.mkdir()
        yield root
        for path in root.rglob("*"):
            if path.is_dir():
                path.chmod(0o700)


def test_a_folder_that_may_not_be_read_is_told_and_the_rest_is_listed(open_root: Path) -> None:
    for path in ("a/x", "shut/x", "z/x"):
        lay(open_root / path)
    (open_root / "shut").chmod(0)

    def check() -> None:
        tree = LocalTree(open_root, open_root / "staging")
        assert problems(tree) == {"shut/": "it cannot be looked at: Permission denied"}
        assert passing(tree.entries()) == {"shut/"}
        assert good(tree) == ["a/", "a/x", "z/", "z/x"]

    as_nobody(check)


def test_a_folder_that_may_be_read_but_not_gone_into(open_root: Path) -> None:
    for path in ("half/inner/x", "half/y", "z/x"):
        lay(open_root / path)
    (open_root / "half").chmod(0o444)

    def check() -> None:
        tree = LocalTree(open_root, open_root / "staging")
        words = "it cannot be looked at: Permission denied"
        assert problems(tree) == {"half/inner/": words, "half/y": words}
        assert passing(tree.entries()) == {"half/inner/", "half/y"}
        assert good(tree) == ["half/", "z/", "z/x"]

    as_nobody(check)


def test_a_root_that_may_not_be_read_is_never_taken_for_an_empty_one(open_root: Path) -> None:
    lay(open_root / "a")
    open_root.chmod(0)

    def check() -> None:
        with pytest.raises(SourceRefusedError, match="Permission denied"):
            entries(LocalTree(open_root, open_root / "staging"))

    try:
        as_nobody(check)
    finally:
        open_root.chmod(0o700)


def test_a_file_that_may_not_be_read(open_root: Path) -> None:
    lay(open_root / "a").chmod(0)

    def check() -> None:
        tree = LocalTree(open_root, open_root / "staging")
        (entry,) = entries(tree).values()
        assert entry.kind is Kind.FILE
        with pytest.raises(SourceRefusedError, match="Permission denied"):
            tree.read(entry)
        with pytest.raises(SourceRefusedError, match="Permission denied"):
            tree.source(entry).stat()

    as_nobody(check)


# Changes while it is listed ------------------------------------------------------------------------------------------


def listed_until(tree: LocalTree, path: str) -> tuple[list[Entry], Iterator[Entry]]:
    """The listing up to this path, and the rest of it, which is not listed yet."""
    listing = tree.entries()
    begun = []
    for entry in listing:
        begun.append(entry)
        if entry.path == path:
            return begun, listing
    raise AssertionError(f"{path} was not listed")


def test_what_vanishes_is_not_told(tree: LocalTree, root: Path) -> None:
    for path in ("a", "b", "c/d", "e"):
        lay(root / path)
    _, rest = listed_until(tree, "a")
    (root / "b").unlink()
    (root / "c" / "d").unlink()
    (root / "c").rmdir()
    assert [entry.path for entry in rest] == ["e"]


def test_a_folder_that_vanishes_as_it_is_opened_is_not_told(
    tree: LocalTree, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(root / "a")
    (root / "b").mkdir()
    lay(root / "c")

    def open_and_remove(name: bytes, above: int) -> int:
        folder = open_folder(name, above)
        (root / "b").rmdir()
        return folder

    monkeypatch.setattr(walk, "open_folder", open_and_remove)
    before = open_files()
    assert list(entries(tree)) == ["a", "c"]
    assert open_files() == before


@pytest.mark.parametrize("becomes", ["link", "file"])
def test_a_folder_that_becomes_something_else_is_not_entered(
    tree: LocalTree, root: Path, outside: Path, becomes: str
) -> None:
    lay(root / "a")
    lay(root / "b" / "c")
    lay(root / "d")
    _, rest = listed_until(tree, "a")
    (root / "b").rename(root.parent / "moved")
    if becomes == "link":
        (root / "b").symlink_to(outside)
    else:
        (root / "b").write_bytes(b"")
    told = list(rest)
    assert [(entry.path, entry.kind) for entry in told] == [("b/", Kind.PROBLEM), ("d", Kind.FILE)]
    assert passing(told) == {"b/"}


def test_a_file_that_becomes_a_folder_is_a_problem(tree: LocalTree, root: Path) -> None:
    lay(root / "a")
    lay(root / "b")
    _, rest = listed_until(tree, "a")
    (root / "b").unlink()
    lay(root / "b" / "c")
    told = list(rest)
    assert [(entry.path, entry.problem) for entry in told] == [("b", "it was changed while it was listed")]
    assert passing(told) == {"b"}


def test_a_folder_that_is_moved_away_while_it_is_listed(tree: LocalTree, root: Path) -> None:
    for path in ("a/b/x", "a/b/y", "a/z"):
        lay(root / path)
    _, rest = listed_until(tree, "a/b/x")
    (root / "a" / "b").rename(root.parent / "moved")
    assert [entry.path for entry in rest] == ["a/b/y", "a/z"]


def test_a_listing_that_does_not_find_its_way_back_is_given_up(tree: LocalTree, root: Path) -> None:
    for path in ("a/b/x", "a/b/y", "a/z"):
        lay(root / path)
    _, rest = listed_until(tree, "a/b/x")
    (root / "a" / "b").rename(root.parent / "b")
    (root / "a").rename(root.parent / "a")
    lay(root / "a" / "other")
    assert next(rest).path == "a/b/y"
    with pytest.raises(SourceChangedError):
        next(rest)


def test_a_file_that_was_edited_just_now_is_another_version_in_the_next_listing(tree: LocalTree, root: Path) -> None:
    (root / "a").write_bytes(b"one")
    status = (root / "a").stat()
    young = entries(tree)["a"]
    assert "~" in young.version
    assert entries(tree)["a"].version != young.version
    edit(root / "a", b"two", status.st_mtime_ns)  # as an edit within the same tick of the clock leaves it
    time.sleep(0.06)
    old = entries(tree)["a"]
    assert "~" not in old.version
    assert old.version != young.version
    assert entries(tree)["a"] == old


# Large and deep ------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick_tree(tmp_path: Path) -> Iterator[tuple[LocalTree, Path]]:
    """A tree and its folder, where there is one in memory: so many files would take a disk a minute."""
    shared_memory = Path("/dev/shm")  # noqa: S108 - the name in it is nobody else's
    place = shared_memory if shared_memory.is_dir() else tmp_path
    with tempfile.TemporaryDirectory(prefix="carryon-test-", dir=place) as folder:
        yield LocalTree(Path(folder), tmp_path / "staging"), Path(folder)


def test_a_folder_of_very_many_files_is_listed_in_little_memory(quick_tree: tuple[LocalTree, Path]) -> None:
    tree, root = quick_tree
    count = battery.rounds(20_000, 100_000)
    for number in range(count):
        os.close(os.open(root / f"image-{number:07}.dcm", os.O_CREAT))
    tracemalloc.start()
    try:
        assert sum(1 for _ in tree.entries()) == count
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < count * 250


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_folders_as_deep_as_a_path_can_name_them(tree: LocalTree, root: Path) -> None:
    with nested(root, "d", 2000):
        before, most = open_files(), 0
        told = []
        for number, entry in enumerate(tree.entries()):
            told.append(entry)
            if number % 100 == 0:
                most = max(most, open_files() - before)
        assert [entry.path for entry in told] == ["d/" * depth for depth in range(1, 2001)]
        assert [entry.is_empty for entry in told] == [False] * 1999 + [True]
        assert most <= 2
        written = tree.write("d/" * 2000 + "file", content_of(b"deep"), None)
        assert tree.read(written).content == b"deep"
        tree.settle()
        assert sum(1 for entry in tree.entries() if entry.kind is Kind.FILE) == 1
        kept = tree.write("d/" * 1990 + "kept", content_of(b""), None)
        tree.remove(written)
        assert list(entries(tree))[-1] == kept.path
        assert open_files() == before


def test_folders_deeper_than_that_are_told_as_a_problem_and_not_entered(tree: LocalTree, root: Path) -> None:
    with nested(root, "d" * 99, 45):
        *listed, last = tree.entries()
        assert len(listed) == 40
        assert (last.path, last.kind) == (("d" * 99 + "/") * 41, Kind.PROBLEM)
        assert "4096 bytes" in last.problem


def test_a_listing_that_is_left_early_leaves_nothing_open(tree: LocalTree, root: Path) -> None:
    lay(root / "a" / "b" / "c")
    before = open_files()
    listing = tree.entries()
    next(listing)
    next(listing)
    listing.close()  # type: ignore[attr-defined]
    assert open_files() == before
