"""Large files on their way into a tree on disk: what a crash, a rival or a stranger leaves behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance.trees import (
    LARGE,
    MTIME_NS,
    OTHER_LARGE,
    PART_BYTES,
    PLAN,
    begun,
    bring,
    entries,
    finish,
    go_on,
    part_md5,
    sink_for,
)
from tests.unit.transfers.engine.tree.local.disk import contents, edit, lay, save
from transfers.engine.tree.base import Checksum, Description, TreeSink, checksum_of_parts
from transfers.engine.tree.local import LocalTree, placing
from transfers.engine.tree.names import is_conflict_path
from transfers.errors import SinkError

NAME = "large.bin"
CHECKSUM = checksum_of_parts([part_md5(LARGE, number) for number in (1, 2, 3)], PART_BYTES)


class Killed(BaseException):
    """The process is no more."""


@pytest.fixture
def whole(tree: LocalTree, root: Path) -> TreeSink:
    """A sink that has all parts of a file that is to replace another."""
    lay(root / NAME, b"listed")
    sink = begun(tree, replaced=entries(tree)[NAME])
    go_on(sink)
    return sink


def killed_at(monkeypatch: pytest.MonkeyPatch, step: str, publish: Callable[[int], object]) -> None:
    """Let the process die when it is about to take this step of the placing."""

    def die(*_: object) -> bool:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(placing, step, die)
        with pytest.raises(Killed):
            publish(len(LARGE))


def kept(root: Path) -> list[bytes]:
    return [content for path, content in contents(root).items() if is_conflict_path(path, NAME)]


def test_what_is_staged_is_gone_in_the_end(whole: TreeSink, staging: Path) -> None:
    assert len(list(staging.iterdir())) == 2
    whole.publish(len(LARGE))
    assert [path.suffix for path in staging.iterdir()] == [".journal"]
    whole.complete(len(LARGE))
    whole.close()
    assert list(staging.iterdir()) == []


@pytest.mark.parametrize("step", ["give", "exchange"])
def test_a_file_that_was_about_to_get_its_name_is_not_brought_again(
    tree: LocalTree, root: Path, whole: TreeSink, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tree.find(NAME)
    killed_at(monkeypatch, step, whole.publish)
    assert contents(root)[NAME] == b"listed"
    again = begun(tree, replaced=listed)
    assert go_on(again) == []
    assert again.checksum() == CHECKSUM
    assert again.publish(len(LARGE)) == entries(tree)[NAME]
    assert contents(root) == {NAME: LARGE}
    again.complete(len(LARGE))
    again.close()
    whole.close()


def test_a_file_that_has_its_name_already_is_not_brought_again(
    tree: LocalTree, root: Path, staging: Path, whole: TreeSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tree.find(NAME)
    killed_at(monkeypatch, "unlink", whole.publish)
    assert contents(root)[NAME] == LARGE
    for sink in (begun(tree, replaced=listed), sink_for(tree, replaced=listed)):
        assert sink.join(PLAN)
        assert go_on(sink) == []
        assert sink.publish(len(LARGE)) == entries(tree)[NAME]
        sink.close()
    again = begun(tree, replaced=listed)
    again.complete(len(LARGE))
    again.close()
    assert contents(root)[NAME] == LARGE
    assert kept(root) == [b"listed"]  # nobody can tell any more that it was what was to be replaced
    assert list(staging.iterdir()) == []
    whole.close()


def test_a_published_file_that_was_edited_is_brought_again_and_kept(
    tree: LocalTree, root: Path, whole: TreeSink
) -> None:
    whole.publish(len(LARGE))
    edit(root / NAME, OTHER_LARGE)
    again = begun(tree)
    assert go_on(again) == [1, 2, 3]
    again.publish(len(LARGE))
    assert contents(root)[NAME] == LARGE
    assert kept(root) == [OTHER_LARGE]
    again.close()
    whole.close()


def test_a_published_file_that_somebody_renamed_is_left_alone(tree: LocalTree, root: Path, whole: TreeSink) -> None:
    whole.publish(len(LARGE))
    (root / NAME).rename(root / "mine")
    again = begun(tree)
    assert go_on(again) == [1, 2, 3]
    again.publish(len(LARGE))
    assert contents(root) == {NAME: LARGE, "mine": LARGE}
    assert (root / NAME).stat().st_ino != (root / "mine").stat().st_ino
    again.close()
    whole.close()


@pytest.mark.parametrize("content", [LARGE[:-1], OTHER_LARGE])
def test_an_inode_that_is_another_files_by_now_is_not_taken_for_ours(
    tree: LocalTree, root: Path, staging: Path, whole: TreeSink, content: bytes
) -> None:
    whole.publish(len(LARGE))
    whole.close()
    (root / NAME).unlink()
    stranger = lay(root / NAME, content, MTIME_NS + 1)
    (journal,) = staging.iterdir()
    noted = bytearray(journal.read_bytes())
    noted[56:64] = stranger.stat().st_ino.to_bytes(8, "little")
    journal.write_bytes(noted)
    again = begun(tree)
    assert go_on(again) == [1, 2, 3]
    again.publish(len(LARGE))
    assert contents(root)[NAME] == LARGE
    assert kept(root) == [content]
    again.close()


def test_two_who_publish_at_once(tree: LocalTree, root: Path, whole: TreeSink) -> None:
    listed = tree.find(NAME)
    sinks = [whole]
    for _ in range(3):
        sinks.append(sink_for(tree, replaced=listed))
        assert sinks[-1].join(PLAN)
    with ThreadPoolExecutor(4) as pool:
        published = list(pool.map(lambda sink: sink.publish(len(LARGE)), sinks))
    assert contents(root)[NAME] == LARGE
    assert set(kept(root)) <= {b"listed"}
    assert {entry.size for entry in published} == {len(LARGE)}
    for sink in sinks:
        sink.close()


def test_somebody_who_comes_back_to_life_between_a_look_and_a_swap(
    tree: LocalTree, root: Path, whole: TreeSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tree.find(NAME)
    killed_at(monkeypatch, "exchange", whole.publish)
    again = begun(tree, replaced=listed)
    beside = next(path for path in root.iterdir() if path.name != NAME)
    beside.rename(root / "swapping")
    (root / NAME).rename(beside)
    (root / "swapping").rename(root / NAME)
    assert again.publish(len(LARGE)) == entries(tree)[NAME]
    assert contents(root)[NAME] == LARGE
    assert kept(root) == [b"listed"]
    again.close()
    whole.close()


def test_who_has_an_old_version_publishes_nothing(tree: LocalTree, root: Path, whole: TreeSink) -> None:
    finish(begun(tree, version="2", replaced=tree.find(NAME)), OTHER_LARGE)
    with pytest.raises(SinkError):
        whole.publish(len(LARGE))
    whole.close()
    assert contents(root) == {NAME: OTHER_LARGE}


def test_a_version_that_was_listed_just_after_its_edit_is_gone_on_with(tree: LocalTree) -> None:
    young = begun(tree, version="12-34-56~")
    bring(young, 2)
    old = begun(tree, version="12-34-56")
    assert go_on(old) == [1, 3]
    for sink in (young, old):
        sink.close()


def test_a_staged_file_that_was_cut_is_never_taken_for_whole(tree: LocalTree, root: Path, staging: Path) -> None:
    sink = begun(tree)
    go_on(sink)
    (part,) = staging.glob("*.part")
    os.truncate(part, 1000)
    with pytest.raises(SinkError):
        sink.checksum()
    with pytest.raises(SinkError):
        sink.publish(len(LARGE))
    sink.close()
    assert contents(root) == {}
    again = begun(tree)
    assert go_on(again) == [1, 2, 3]
    again.close()


def test_abort_after_a_crash_leaves_nothing_staged(
    tree: LocalTree, root: Path, staging: Path, whole: TreeSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at(monkeypatch, "give", whole.publish)
    whole.close()
    sink_for(tree).abort()
    assert list(staging.iterdir()) == []
    assert contents(root) == {NAME: b"listed"}


def test_the_folder_vanishes_before_the_file_comes(tree: LocalTree, root: Path) -> None:
    sink = begun(tree, path="a/b/c")
    go_on(sink)
    assert not (root / "a").exists()
    sink.publish(len(LARGE))
    sink.close()
    assert contents(root) == {"a/b/c": LARGE}


def test_only_what_is_old_is_swept_up(tree: LocalTree, staging: Path) -> None:
    sink = begun(tree)
    bring(sink, 1)
    (part,) = staging.glob("*.part")
    os.utime(part, ns=(0, 0))  # as the source's own time may be, on a file that is about to get its name
    assert tree.sweep(3600) == 0
    assert len(list(staging.iterdir())) == 2
    assert tree.sweep(0) == 2
    assert list(staging.iterdir()) == []
    sink.close()


# Checksums that are kept ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [True, False], ids=["asked-before", "not-asked-before"])
@pytest.mark.parametrize("told", [None, CHECKSUM, Checksum("0" * 32)], ids=["untold", "told", "told-otherwise"])
def test_the_checksum_is_kept(root: Path, staging: Path, *, asked: bool, told: Checksum | None) -> None:
    tree = LocalTree(root, staging, keeps_checksums=True)
    sink = tree.sink(NAME, "1", Description(MTIME_NS, told), None)
    sink.begin(PLAN)
    go_on(sink)
    if asked:
        assert sink.checksum() == CHECKSUM
    entry = sink.publish(len(LARGE))
    sink.close()
    if tree.describe(entry).checksum is None:
        pytest.skip("no attributes here")
    assert tree.describe(entry).checksum == (CHECKSUM if asked or told is None else told)


def test_a_saved_file_has_no_checksum_any_more(root: Path, staging: Path) -> None:
    tree = LocalTree(root, staging, keeps_checksums=True)
    finish(begun(tree))
    save(root / NAME, OTHER_LARGE)
    assert tree.describe(entries(tree)[NAME]).checksum is None
