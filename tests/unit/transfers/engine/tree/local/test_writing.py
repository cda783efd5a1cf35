"""Writing into folders in which anything may be, and in which others are at work."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance.trees import LARGE, MTIME_NS, PLAN, begun, content_of, entries, finish, go_on, put
from tests.unit.transfers.engine.tree.local.disk import as_nobody, contents, edit, lay, save
from transfers.engine.tree.base import Description, Entry, Kind
from transfers.engine.tree.local import LocalTree, renaming
from transfers.engine.tree.names import is_conflict_path
from transfers.errors import ChangedElsewhereError, FolderUnusableError, OutOfSpaceError


def kept(root: Path, path: str) -> list[bytes]:
    """What is kept beside the file with this path."""
    return [content for name, content in contents(root).items() if is_conflict_path(name, path)]


def test_a_file_and_its_folders_are_made(tree: LocalTree, root: Path, staging: Path) -> None:
    root.rmdir()
    tree.write("a/b/c", content_of(b"bytes"), None)
    assert contents(root) == {"a/b/c": b"bytes"}
    assert (root / "a" / "b" / "c").stat().st_mtime_ns == MTIME_NS
    assert list(staging.iterdir()) == []


def test_a_time_that_no_file_system_knows(tree: LocalTree, root: Path) -> None:
    entry = tree.write("a", content_of(b"bytes", 10**30), None)
    assert contents(root) == {"a": b"bytes"}
    assert entry.mtime_ns == (root / "a").stat().st_mtime_ns


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755, 0o4755])
@pytest.mark.parametrize("size", [3, len(LARGE)], ids=["small", "large"])
def test_who_could_use_a_file_can_use_the_one_that_replaces_it(
    tree: LocalTree, root: Path, mode: int, size: int
) -> None:
    lay(root / "a").chmod(mode)
    old = entries(tree)["a"]
    if size == 3:
        tree.write("a", content_of(b"new"), old)
    else:
        sink = begun(tree, path="a", replaced=old)
        go_on(sink)
        sink.publish(size)
        sink.close()
    assert (root / "a").stat().st_mode & 0o7777 == mode & 0o777
    assert (root / "a").stat().st_size == size


def test_others_may_read_a_new_file(tree: LocalTree, root: Path) -> None:
    put(tree, "a")
    assert (root / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("path", ["a", "a/b"])
def test_a_program_that_has_the_old_file_open_keeps_it(tree: LocalTree, root: Path, path: str) -> None:
    lay(root / path, b"old")
    with (root / path).open("rb") as file:
        tree.write(path, content_of(b"newer"), entries(tree)[path])
        assert file.read() == b"old"


# Links ---------------------------------------------------------------------------------------------------------------


def through_the_link(tree: LocalTree, listed: Entry) -> dict[str, Callable[[], object]]:
    """All that may be asked of what was listed as a/b."""

    def bring_large() -> None:
        sink = tree.sink("a/large", "1", Description(MTIME_NS, None), None)
        sink.begin(PLAN)
        go_on(sink)
        try:
            sink.publish(len(LARGE))
        finally:
            sink.close()

    return {
        "replace": lambda: tree.write("a/secret", content_of(b"new"), listed),
        "write": lambda: tree.write("a/new", content_of(b"new"), None),
        "write-below": lambda: tree.write("a/new/file", content_of(b"new"), None),
        "large": bring_large,
        "folder": lambda: tree.make_folder("a/new/"),
        "set-aside": lambda: tree.set_aside(listed),
        "remove": lambda: tree.remove(listed),
        "remove-folder": lambda: tree.remove(Entry("a/", Kind.FOLDER)),
        "remove-empty": lambda: tree.remove(Entry("a/empty/", Kind.FOLDER)),
    }


@pytest.mark.parametrize("verb", through_the_link(LocalTree(Path(), Path()), Entry("a/secret")))
def test_a_link_that_takes_the_place_of_a_folder_is_not_followed(
    tree: LocalTree, root: Path, outside: Path, verb: str
) -> None:
    lay(root / "a" / "secret", b"listed")
    listed = entries(tree)["a/secret"]
    (root / "a").rename(root.parent / "moved")
    (outside / "empty").mkdir()
    (root / "a").symlink_to(outside)
    with pytest.raises(ChangedElsewhereError):
        through_the_link(tree, listed)[verb]()
    assert contents(outside) == {"secret": b"secret"}
    assert sorted(path.name for path in outside.iterdir()) == ["empty", "secret"]
    assert contents(root.parent / "moved") == {"secret": b"listed"}


def test_a_root_that_is_a_link_is_not_written_to(root: Path, staging: Path, outside: Path) -> None:
    root.rmdir()
    root.symlink_to(outside)
    with pytest.raises(ChangedElsewhereError):
        put(LocalTree(root, staging), "a")
    assert contents(outside) == {"secret": b"secret"}


def make_link(path: Path) -> None:
    path.symlink_to(path.parent.parent / "outside" / "secret")


@pytest.mark.parametrize("make", [make_link, os.mkfifo, Path.mkdir], ids=["link", "pipe", "folder"])
def test_what_is_no_file_is_neither_replaced_nor_removed(
    tree: LocalTree, root: Path, outside: Path, staging: Path, make: Callable[[Path], None]
) -> None:
    lay(root / "a", b"listed")
    listed = entries(tree)["a"]
    (root / "a").unlink()
    make(root / "a")
    before = (root / "a").lstat()
    for replaced in (listed, None):
        with pytest.raises(ChangedElsewhereError):
            tree.write("a", content_of(b"new"), replaced)
    with pytest.raises(ChangedElsewhereError):
        tree.remove(listed)
    with pytest.raises(ChangedElsewhereError):
        tree.set_aside(listed)
    assert (root / "a").lstat() == before
    assert [path.name for path in root.iterdir()] == ["a"]
    assert list(staging.iterdir()) == []
    assert contents(outside) == {"secret": b"secret"}


def test_a_link_is_neither_set_aside_nor_removed(tree: LocalTree, root: Path, outside: Path) -> None:
    (root / "a").symlink_to(outside / "secret")
    (problem,) = tree.entries()
    with pytest.raises(ChangedElsewhereError):
        tree.set_aside(problem)
    with pytest.raises(ChangedElsewhereError):
        tree.remove(problem)
    assert (root / "a").is_symlink()


# What changed meanwhile ----------------------------------------------------------------------------------------------

EDITS: dict[str, Callable[[Path], None]] = {
    "edited": lambda path: edit(path, b"edited"),
    "edited-with-its-old-time": lambda path: edit(path, b"edited", MTIME_NS),
    "saved-anew": lambda path: save(path, b"edited"),
    "saved-anew-with-its-old-time": lambda path: save(path, b"edited", MTIME_NS),
}


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
class TestChangedMeanwhile:
    @pytest.fixture
    def listed(self, tree: LocalTree, root: Path, change: Callable[[Path], None]) -> Entry:
        """A file that was edited after it was listed, without a change of its size."""
        lay(root / "a", b"listed")
        entry = entries(tree)["a"]
        change(root / "a")
        return entry

    def test_it_is_kept_when_it_is_written_over(self, tree: LocalTree, root: Path, listed: Entry) -> None:
        tree.write("a", content_of(b"new"), listed)
        assert contents(root)["a"] == b"new"
        assert kept(root, "a") == [b"edited"]

    def test_it_is_kept_when_a_large_file_comes(self, tree: LocalTree, root: Path, listed: Entry) -> None:
        sink = begun(tree, path="a", replaced=listed)
        go_on(sink)
        sink.publish(len(LARGE))
        sink.close()
        assert contents(root)["a"] == LARGE
        assert kept(root, "a") == [b"edited"]

    def test_it_is_not_removed(self, tree: LocalTree, root: Path, listed: Entry) -> None:
        with pytest.raises(ChangedElsewhereError):
            tree.remove(listed)
        assert contents(root) == {"a": b"edited"}

    def test_it_is_not_set_aside(self, tree: LocalTree, root: Path, listed: Entry) -> None:
        with pytest.raises(ChangedElsewhereError):
            tree.set_aside(listed)
        assert contents(root) == {"a": b"edited"}


def test_what_was_listed_within_a_tick_of_its_edit_is_kept(tree: LocalTree, root: Path) -> None:
    (root / "a").write_bytes(b"one")
    young = entries(tree)["a"]
    assert "~" in young.version
    tree.write("a", content_of(b"new"), young)
    assert contents(root)["a"] == b"new"
    assert kept(root, "a") == [b"one"]


def test_what_was_listed_within_a_tick_of_its_edit_is_not_removed(tree: LocalTree, root: Path) -> None:
    (root / "a").write_bytes(b"one")
    young = entries(tree)["a"]
    with pytest.raises(ChangedElsewhereError):
        tree.remove(young)
    assert contents(root) == {"a": b"one"}


@pytest.mark.parametrize("size", [0, 3, 3 * 2**20])
def test_the_same_bytes_are_not_kept_twice(tree: LocalTree, root: Path, staging: Path, size: int) -> None:
    listed = put(tree, "a", b"old")
    for replaced in (listed, listed, None):
        written = tree.write("a", content_of(LARGE[:size]), replaced)
        assert written == entries(tree)["a"]
        assert contents(root) == {"a": LARGE[:size]}
    assert list(staging.iterdir()) == []


def test_the_same_bytes_of_a_large_file_are_not_kept_twice(tree: LocalTree, root: Path, staging: Path) -> None:
    listed = put(tree, "a", b"old")
    for _ in range(2):
        sink = begun(tree, path="a", replaced=listed)
        go_on(sink)
        sink.complete(len(LARGE))
        sink.close()
        assert contents(root) == {"a": LARGE}
    assert list(staging.iterdir()) == []


@pytest.mark.parametrize("other", [LARGE[:-1] + b"x", b"x" + LARGE[1:], LARGE[:-1], LARGE + b"x"])
def test_almost_the_same_bytes_are_kept(tree: LocalTree, root: Path, other: bytes) -> None:
    lay(root / "a", other)
    tree.write("a", content_of(LARGE), None)
    assert contents(root)["a"] == LARGE
    assert kept(root, "a") == [other]


def test_many_at_once(tree: LocalTree, root: Path) -> None:
    paths = [f"{number % 3}/{number % 5}/{number}" for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: put(tree, path, path.encode()), paths))
        list(pool.map(lambda _: tree.settle(), range(8)))
    assert contents(root) == {path: path.encode() for path in sorted(paths)}


def test_many_for_the_same_path(tree: LocalTree, root: Path) -> None:
    written = [str(number).encode() for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: tree.write("a", content_of(content), None), written))
    assert sorted(contents(root).values()) == sorted(written)


# What cannot be written ----------------------------------------------------------------------------------------------


def test_a_folder_that_may_not_be_written_to(tree: LocalTree) -> None:
    def check() -> None:
        ours = LocalTree(Path("/"), Path("/tmp"))  # noqa: S108 - nothing gets there
        with pytest.raises(FolderUnusableError, match="Permission denied") as raised:
            ours.make_folder("carryon-test/")
        assert str(raised.value) == "the place of carryon-test/: Permission denied"

    as_nobody(check)


def test_a_staging_folder_that_cannot_be_is_not_spoken_of(tree: LocalTree, root: Path, staging: Path) -> None:
    lay(staging.parent)
    for write in (lambda: put(tree, "a"), lambda: begun(tree)):
        with pytest.raises(FolderUnusableError) as raised:
            write()
        assert str(staging.parent) not in str(raised.value)
    assert contents(root) == {}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for two megabytes."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only Linux's root can mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"this root may not mount: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_told_and_nothing_is_lost(small_disk: Path) -> None:
    tree = LocalTree(small_disk / "tree", small_disk / "staging")
    old = put(tree, "a", b"old")
    new = content_of(LARGE[: 3 * 2**20])
    for path, replaced in (("a", old), ("b", None)):
        with pytest.raises(OutOfSpaceError) as raised:
            tree.write(path, new, replaced)
        assert str(raised.value) == f"no space is left in the place of {path}"
    assert list(entries(tree).values()) == [old]
    assert list((small_disk / "staging").iterdir()) == []
    tree.write("a", content_of(LARGE[: 2**20]), old)
    assert contents(small_disk / "tree") == {"a": LARGE[: 2**20]}


def test_a_large_file_that_does_not_fit_is_told_before_its_first_byte(small_disk: Path) -> None:
    tree = LocalTree(small_disk / "tree", small_disk / "staging")
    with pytest.raises(OutOfSpaceError) as raised:
        begun(tree, path="a/large.bin")
    assert str(raised.value) == "no space is left in the place of a/large.bin"
    assert list((small_disk / "staging").iterdir()) == []


@pytest.fixture
def other_file_system(small_disk: Path) -> Path:
    return small_disk / "staging"


def test_a_staging_folder_on_another_file_system(root: Path, other_file_system: Path) -> None:
    tree = LocalTree(root, other_file_system)
    with pytest.raises(FolderUnusableError, match="ross-device"):
        put(tree, "a")
    assert contents(root) == {}
    assert list(other_file_system.iterdir()) == []


# Durability ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3, len(LARGE)], ids=["small", "large"])
def test_a_file_is_safe_before_it_gets_its_name(tree: LocalTree, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[str, int]] = []
    fsync, renameat2 = os.fsync, renaming.renameat2

    def syncing(fileno: int) -> None:
        fsync(fileno)
        steps.append(("synced", os.fstat(fileno).st_ino))

    def naming(old: renaming.Spot, new: renaming.Spot, flags: int) -> None:
        steps.append(("named", os.stat(old.name, dir_fd=old.folder).st_ino))
        renameat2(old, new, flags)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(renaming, "renameat2", naming)
    if size == 3:
        tree.write("a", content_of(b"new"), None)
    else:
        finish(begun(tree, path="a"))
    (named,) = (step for step in steps if step[0] == "named")
    assert ("synced", named[1]) in steps[: steps.index(named)]


def test_settle_syncs_each_folder_in_which_a_name_changed_once(
    tree: LocalTree, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = put(tree, "a/b/one")
    put(tree, "a/b/two")
    put(tree, "c/three")
    tree.make_folder("d/e/")
    synced: list[str] = []
    fsync = os.fsync

    def noting(fileno: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fileno}").readlink()).removeprefix(str(root)))
        fsync(fileno)

    monkeypatch.setattr(os, "fsync", noting)
    tree.settle()
    assert sorted(synced) == ["", "/a", "/a/b", "/c", "/d"]
    synced.clear()
    tree.settle()
    assert synced == []
    tree.set_aside(entry)
    tree.remove(entries(tree)["c/three"])
    synced.clear()
    tree.settle()
    assert sorted(synced) == ["", "/a/b"]


def test_settle_that_fails_is_not_forgotten(tree: LocalTree, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tree, "a/b")
    synced: list[int] = []

    def failing(fileno: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(FolderUnusableError):
        tree.settle()
    monkeypatch.setattr(os, "fsync", synced.append)
    tree.settle()
    assert len(synced) == 2


def test_who_settles_waits_for_another_who_is_at_it(tree: LocalTree, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tree, "a")
    syncing, go = threading.Event(), threading.Event()
    fsync = os.fsync

    def slowly(fileno: int) -> None:
        syncing.set()
        assert go.wait(10)
        fsync(fileno)

    monkeypatch.setattr(os, "fsync", slowly)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(tree.settle)
        assert syncing.wait(10)
        second = pool.submit(tree.settle)  # what it has to make durable is what the first one is at
        assert not second.done()
        with pytest.raises(TimeoutError):
            second.result(timeout=0.1)
        go.set()
        first.result(10)
        second.result(10)
