"""Files that change, or are something else by now, while they are read."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conformance.sources import fetch, read_all
from tests.conformance.trees import LARGE, MTIME_NS, entries
from tests.unit.transfers.engine.tree.local.disk import edit, lay, save
from transfers.engine.tree.base import Checksum, Content, Entry, checksum_of_parts, md5_of
from transfers.engine.tree.local import LocalTree, reading
from transfers.engine.tree.local.stamps import ATTRIBUTE
from transfers.errors import ChecksumMismatchError, SourceChangedError, SourceInterruptedError, SourceRefusedError

CONTENT = LARGE[:300_000]


@pytest.fixture
def entry(tree: LocalTree, root: Path) -> Entry:
    """A file that was listed."""
    lay(root / "a" / "b", CONTENT)
    return entries(tree)["a/b"]


def link_to(target: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return change


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def move_folder(path: Path) -> None:
    """Put a link to its folder in place of the folder."""
    moved = path.parent.parent.parent / "moved"
    path.parent.rename(moved)
    path.parent.symlink_to(moved)


CHANGES: dict[str, Callable[[Path], None]] = {
    "edited": lambda path: edit(path, b"shorter"),
    "edited-to-the-same-size": lambda path: edit(path, bytes(len(CONTENT))),
    "edited-with-its-old-time": lambda path: edit(path, bytes(len(CONTENT)), MTIME_NS),
    "grown-with-its-old-time": lambda path: edit(path, CONTENT + b"more", MTIME_NS),
    "another-file": lambda path: save(path, CONTENT),
    "gone": lambda path: path.unlink(),
    "link-to-a-file": link_to("/etc/passwd"),
    "link-to-itself": link_to("b"),
    "pipe": make_pipe,
    "folder": make_folder,
    "folder-above-is-a-link": move_folder,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_not_as_it_was_listed_is_not_read(
    tree: LocalTree, root: Path, entry: Entry, change: Callable[[Path], None]
) -> None:
    change(root / "a" / "b")
    with pytest.raises(SourceChangedError):
        tree.read(entry)
    with pytest.raises(SourceChangedError):
        tree.source(entry).stat()
    with pytest.raises(SourceChangedError), tree.source(entry).open(0, 10):
        pytest.fail("it was opened")


def test_a_link_to_the_very_file_that_was_listed_is_not_followed(tree: LocalTree, root: Path, entry: Entry) -> None:
    (root / "link").symlink_to("a/b")
    (root / "folder").symlink_to("a")
    for path in ("link", "folder/b"):
        with pytest.raises(SourceChangedError):
            tree.read(replace(entry, path=path))


@pytest.mark.parametrize("path", ["../outside/secret", "/etc/passwd", "a/../b", "", "a\0b"])
def test_an_entry_that_leads_elsewhere_is_not_read(tree: LocalTree, entry: Entry, outside: Path, path: str) -> None:
    with pytest.raises(SourceRefusedError):
        tree.read(Entry(path, size=entry.size, version=entry.version, mtime_ns=entry.mtime_ns))
    assert tree.find(path) is None


WHILE = {
    "grows": lambda path: edit(path, CONTENT + b"more"),
    "shrinks": lambda path: edit(path, CONTENT[:1000]),
    "is-edited": lambda path: edit(path, bytes(len(CONTENT))),
    "is-edited-with-its-old-time": lambda path: edit(path, bytes(len(CONTENT)), MTIME_NS),
}


@pytest.mark.parametrize("change", WHILE.values(), ids=WHILE)
def test_a_file_that_changes_while_it_is_read(
    tree: LocalTree, root: Path, entry: Entry, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_all = reading.read_all

    def change_then_read(fileno: int, size: int) -> bytes:
        change(root / "a" / "b")
        return read_all(fileno, size)

    monkeypatch.setattr(reading, "read_all", change_then_read)
    with pytest.raises(SourceChangedError):
        tree.read(entry)


@pytest.mark.parametrize("change", WHILE.values(), ids=WHILE)
def test_a_file_that_changes_while_a_range_of_it_is_read(
    tree: LocalTree, root: Path, entry: Entry, change: Callable[[Path], None]
) -> None:
    def read() -> None:
        with tree.source(entry).open(0, None) as reader:
            assert reader.readinto(memoryview(bytearray(1000))) == 1000
            change(root / "a" / "b")
            read_all(reader)

    with pytest.raises((SourceChangedError, SourceInterruptedError)):
        read()


def test_what_was_edited_just_now_is_read_when_its_time_has_passed(tree: LocalTree, root: Path) -> None:
    path = root / "a"
    path.write_bytes(b"one")
    entry = entries(tree)["a"]
    assert "~" in entry.version
    assert tree.read(entry).content == b"one"
    assert time.time_ns() - path.stat().st_mtime_ns >= 50 * 10**6
    assert fetch(tree.source(entry)) == b"one"


def test_what_is_edited_before_its_time_has_passed_is_not_read(tree: LocalTree, root: Path) -> None:
    path = root / "a"
    path.write_bytes(b"one")
    entry = entries(tree)["a"]
    editing = threading.Timer(0.02, lambda: edit(path, b"two"))
    editing.start()
    with pytest.raises(SourceChangedError), tree.source(entry).open(0, None):
        pytest.fail("it was opened")
    editing.join()


def test_a_time_of_the_future_is_no_reason_to_wait(tree: LocalTree, root: Path) -> None:
    lay(root / "a", b"one", time.time_ns() + 10**12)
    began = time.monotonic()
    assert tree.read(entries(tree)["a"]).content == b"one"
    assert time.monotonic() - began < 10


# Checksums that are kept ---------------------------------------------------------------------------------------------


@pytest.fixture
def cloud(root: Path, staging: Path) -> LocalTree:
    """The same folder as a tree that keeps checksums; skipped where the file system cannot."""
    try:
        os.setxattr(root, ATTRIBUTE, b"")
    except OSError as error:
        pytest.skip(f"no attributes here: {error.strerror}")
    return LocalTree(root, staging, keeps_checksums=True)


def written(cloud: LocalTree) -> Entry:
    return cloud.write("a", Content(CONTENT, md5_of([CONTENT]), MTIME_NS), None)


def damage(path: Path) -> None:
    """Change a byte as a failing disk does: the file's times stay, as far as anybody can tell."""
    edit(path, b"x" + CONTENT[1:], MTIME_NS)


def test_a_checksum_is_kept_with_the_file(cloud: LocalTree) -> None:
    assert cloud.describe(written(cloud)).checksum == Checksum(md5_of([CONTENT]))


def test_a_damaged_file_is_not_read(cloud: LocalTree, root: Path) -> None:
    written(cloud)
    damage(root / "a")
    with pytest.raises(ChecksumMismatchError):
        cloud.read(entries(cloud)["a"])


def test_a_checksum_by_parts_is_checked_too(cloud: LocalTree, root: Path) -> None:
    written(cloud)
    checksum = checksum_of_parts([md5_of([CONTENT[at : at + 1000]]) for at in range(0, len(CONTENT), 1000)], 1000)
    os.setxattr(root / "a", ATTRIBUTE, f"{checksum} {MTIME_NS} {len(CONTENT)}".encode())
    entry = entries(cloud)["a"]
    assert cloud.read(entry).content == CONTENT
    assert cloud.describe(entry).checksum == checksum
    damage(root / "a")
    with pytest.raises(ChecksumMismatchError):
        cloud.read(entries(cloud)["a"])


def test_a_file_that_somebody_edited_has_no_checksum_any_more(cloud: LocalTree, root: Path) -> None:
    written(cloud)
    edit(root / "a", b"edited", MTIME_NS + 1)
    entry = entries(cloud)["a"]
    assert cloud.describe(entry).checksum is None
    assert cloud.read(entry).content == b"edited"


@pytest.mark.parametrize("kept", [b"", b"nonsense", b"\xff", b"md5:12 34", b"md5:" + b"0" * 32])
def test_an_attribute_that_is_no_checksum(cloud: LocalTree, root: Path, kept: bytes) -> None:
    written(cloud)
    os.setxattr(root / "a", ATTRIBUTE, kept)
    assert cloud.describe(entries(cloud)["a"]).checksum is None


def test_a_tree_that_keeps_none_tells_none(tree: LocalTree, cloud: LocalTree) -> None:
    assert tree.describe(written(cloud)).checksum is None


def test_a_changed_file_is_not_described(cloud: LocalTree, root: Path) -> None:
    entry = written(cloud)
    save(root / "a", b"another")
    with pytest.raises(SourceChangedError):
        cloud.describe(entry)
