"""Others who put files where ours are just being put, and systems that cannot swap names."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.trees import LARGE, begun, content_of, entries, go_on
from tests.unit.transfers.engine.tree.local.disk import contents, edit, lay, save
from transfers.engine.tree.base import Entry
from transfers.engine.tree.local import LocalTree, placing, renaming
from transfers.engine.tree.local.renaming import Spot
from transfers.engine.tree.names import is_conflict_path
from transfers.errors import ChangedElsewhereError, FolderUnusableError


def refusing(*flags: int) -> Callable[[Spot, Spot, int], None]:
    """renameat2 as file systems have it that do not know these flags."""
    real = renaming.renameat2

    def renameat2(old: Spot, new: Spot, asked: int) -> None:
        if asked in flags:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(old, new, asked)

    return renameat2


def no_links(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.fixture(params=["all", "no-exchange", "neither", "neither-nor-links", "not-in-the-library"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system can do."""
    if request.param == "no-exchange":
        monkeypatch.setattr(renaming, "renameat2", refusing(renaming.EXCHANGE))
    if request.param.startswith("neither"):
        monkeypatch.setattr(renaming, "renameat2", refusing(renaming.NOREPLACE, renaming.EXCHANGE))
    if request.param == "neither-nor-links":
        monkeypatch.setattr(os, "link", no_links)
    if request.param == "not-in-the-library":
        monkeypatch.setattr(renaming, "_RENAMEAT2", None)


class Scene:
    """A tree in which a file was listed, `a`."""

    def __init__(self, tree: LocalTree, root: Path) -> None:
        self.tree, self.root, self.path = tree, root, root / "a"
        lay(self.path, b"listed")
        self.listed = entries(tree)["a"]

    @property
    def contents(self) -> dict[str, bytes]:
        return contents(self.root)

    @property
    def kept(self) -> list[bytes]:
        """What is kept beside it."""
        return [content for path, content in self.contents.items() if is_conflict_path(path, "a")]


@pytest.fixture
def scene(tree: LocalTree, root: Path) -> Scene:
    return Scene(tree, root)


class Small:
    """Writes a small file."""

    content = b"new"

    def write(self, tree: LocalTree, replaced: Entry | None) -> Entry:
        return tree.write("a", content_of(self.content), replaced)


class Large:
    """Writes a large one."""

    content = LARGE

    def write(self, tree: LocalTree, replaced: Entry | None) -> Entry:
        sink = begun(tree, path="a", replaced=replaced)
        go_on(sink)
        try:
            return sink.publish(len(LARGE))
        finally:
            sink.close()


Writer = Small | Large
WRITERS = pytest.mark.parametrize("writer", [Small(), Large()], ids=["small", "large"])


def before(monkeypatch: pytest.MonkeyPatch, step: str, change: Callable[[], object]) -> None:
    """Let this happen after the look at what has the name, and just before this step, once."""
    real: Callable[[Spot, Spot], Any] = getattr(placing, step)
    changes = [change]

    def after_the_change(one: Spot, other: Spot) -> Any:
        if changes and b"a" in (one.name, other.name):
            changes.pop()()
        return real(one, other)

    monkeypatch.setattr(placing, step, after_the_change)


@pytest.mark.usefixtures("system")
@WRITERS
class TestOnEverySystem:
    def test_a_new_file(self, scene: Scene, writer: Writer) -> None:
        scene.path.unlink()
        assert writer.write(scene.tree, None) == entries(scene.tree)["a"]
        assert scene.contents == {"a": writer.content}

    def test_in_place_of_what_was_listed(self, scene: Scene, writer: Writer) -> None:
        assert writer.write(scene.tree, scene.listed) == entries(scene.tree)["a"]
        assert scene.contents == {"a": writer.content}

    def test_what_was_changed_is_kept(self, scene: Scene, writer: Writer) -> None:
        save(scene.path, b"edited")
        assert writer.write(scene.tree, scene.listed) == entries(scene.tree)["a"]
        assert scene.contents["a"] == writer.content
        assert scene.kept == [b"edited"]

    @pytest.mark.parametrize("change", [save, edit])
    def test_what_is_changed_at_the_last_moment_is_kept(
        self, scene: Scene, writer: Writer, change: Callable[[Path, bytes], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before(monkeypatch, "exchange", lambda: change(scene.path, b"edited"))
        writer.write(scene.tree, scene.listed)
        assert scene.contents["a"] == writer.content
        assert scene.kept == [b"edited"]

    def test_what_appears_at_the_last_moment_is_kept(
        self, scene: Scene, writer: Writer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene.path.unlink()
        before(monkeypatch, "give", lambda: save(scene.path, b"edited"))
        writer.write(scene.tree, None)
        assert scene.contents["a"] == writer.content
        assert scene.kept == [b"edited"]

    def test_what_vanishes_at_the_last_moment_is_replaced_nonetheless(
        self, scene: Scene, writer: Writer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before(monkeypatch, "exchange", scene.path.unlink)
        writer.write(scene.tree, scene.listed)
        assert scene.contents == {"a": writer.content}

    def test_a_folder_that_appears_at_the_last_moment_is_kept(
        self, scene: Scene, writer: Writer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def make_folder() -> None:
            scene.path.unlink()
            lay(scene.path / "b", b"mine")

        before(monkeypatch, "exchange", make_folder)
        with suppress(ChangedElsewhereError):
            writer.write(scene.tree, scene.listed)
        found = scene.contents
        assert b"mine" in found.values()
        assert found == {"a/b": b"mine"} or (found["a"] == writer.content and len(found) == 2)


@pytest.mark.usefixtures("system")
class TestAsideAndAwayOnEverySystem:
    def test_set_aside_takes_no_other_files_name(self, scene: Scene) -> None:
        aside = scene.tree.set_aside(scene.listed)
        assert scene.contents == {aside.path: b"listed"}
        lay(scene.path, b"again")
        scene.tree.set_aside(entries(scene.tree)["a"])
        assert sorted(scene.contents.values()) == [b"again", b"listed"]

    def test_a_folder_is_set_aside(self, scene: Scene) -> None:
        lay(scene.root / "b" / "c", b"mine")
        aside = scene.tree.set_aside(entries(scene.tree)["b/"])
        assert scene.contents == {"a": b"listed", f"{aside.path}c": b"mine"}

    def test_a_file_is_removed(self, scene: Scene) -> None:
        scene.tree.remove(scene.listed)
        assert list(scene.root.iterdir()) == []

    @pytest.mark.parametrize("change", [save, edit])
    def test_what_is_changed_at_the_last_moment_is_not_removed(
        self, scene: Scene, change: Callable[[Path, bytes], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before(monkeypatch, "move", lambda: change(scene.path, b"edited"))
        with pytest.raises(ChangedElsewhereError):
            scene.tree.remove(scene.listed)
        assert scene.contents == {"a": b"edited"}

    def test_what_vanishes_at_the_last_moment_need_not_be_removed(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before(monkeypatch, "move", scene.path.unlink)
        scene.tree.remove(scene.listed)
        assert list(scene.root.iterdir()) == []

    def test_what_vanishes_at_the_last_moment_cannot_be_set_aside(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before(monkeypatch, "move", scene.path.unlink)
        with pytest.raises(ChangedElsewhereError):
            scene.tree.set_aside(scene.listed)
        assert list(scene.root.iterdir()) == []


def test_what_is_changed_and_made_anew_while_it_is_removed_is_kept(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = renaming.move

    def change_then_move(old: Spot, new: Spot) -> None:
        if old.name == b"a":
            save(scene.path, b"edited")
        move(old, new)
        if old.name == b"a":
            save(scene.path, b"made anew")

    monkeypatch.setattr(placing, "move", change_then_move)
    with pytest.raises(ChangedElsewhereError):
        scene.tree.remove(scene.listed)
    assert scene.contents["a"] == b"made anew"
    assert scene.kept == [b"edited"]


@WRITERS
@pytest.mark.parametrize("broken", ["exchange", "give", "unlink"])
def test_a_disk_that_fails_in_mid_placing_loses_nothing(
    scene: Scene, writer: Writer, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Spot) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch, suppress(FolderUnusableError):
        patch.setattr(placing, broken, failing)
        writer.write(scene.tree, scene.listed)
        assert broken == "unlink"
    left = scene.contents
    assert b"listed" in left.values()
    assert left["a"] in (b"listed", writer.content)
    if broken != "unlink":
        assert left == {"a": b"listed"}
    writer.write(scene.tree, entries(scene.tree)["a"])
    assert scene.contents["a"] == writer.content


@WRITERS
def test_a_disk_that_fails_while_the_name_is_free_loses_nothing(
    scene: Scene, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    give = renaming.give

    def failing(ours: Spot, target: Spot) -> None:
        if target.name == b"a":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        give(ours, target)

    monkeypatch.setattr(renaming, "renameat2", refusing(renaming.EXCHANGE))
    monkeypatch.setattr(placing, "give", failing)
    with pytest.raises(FolderUnusableError):
        writer.write(scene.tree, scene.listed)
    assert scene.contents == {"a": b"listed"}


def test_the_names_beside_that_are_taken_are_left_alone(scene: Scene) -> None:
    for number in range(5):
        scene.tree.write("a", content_of(f"{number}".encode()), None)
    assert scene.contents["a"] == b"4"
    assert sorted(scene.kept) == [b"0", b"1", b"2", b"3", b"listed"]
