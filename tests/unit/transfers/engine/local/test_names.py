"""A finished file gets its name without taking anybody else's, and an old writer gives none away."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.transfers.engine.local.building import (
    CONTENT,
    NAME,
    OTHER,
    PLAN,
    SIZE,
    begun,
    finish,
    half_built,
    names,
    sizes,
    write,
    write_beginning,
)
from transfers.engine.local import MAX_NAME_BYTES, OUR_SUFFIXES, LocalSink, numbered
from transfers.engine.local.names import name_of
from transfers.engine.plan import Plan, whole
from transfers.errors import FolderUnusableError, SinkError


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("film.mov", "film (1).mov"),
        ("film", "film (1)"),
        ("film.tar.gz", "film.tar (1).gz"),
        (".profile", ".profile (1)"),
        ("a.b c", "a (1).b c"),
        ("film (1).mov", "film (1) (1).mov"),
    ],
)
def test_numbers_are_put_where_browsers_put_them(name: str, second: str) -> None:
    assert [path.name for path in itertools.islice(numbered(Path("/f") / name), 2)] == [name, second]


def test_every_number_is_another_name() -> None:
    first = list(itertools.islice(numbered(Path("/f/a.b")), 1000))
    assert len(set(first)) == 1000
    assert first[-1] == Path("/f/a (999).b")


def test_the_longest_name_has_room_for_all_that_lies_beside_it(tmp_path: Path) -> None:
    for name in ("n" * MAX_NAME_BYTES, "n" * (MAX_NAME_BYTES - 4) + ".mov", "\N{SNOWMAN}" * (MAX_NAME_BYTES // 3)):
        for path in (next(numbered(tmp_path / name)), *itertools.islice(numbered(tmp_path / name), 99_999, 100_000)):
            sink = LocalSink(path, generation="one")
            sink.begin(PLAN)
            sink.share()  # makes the longest of the names
            assert len(names(tmp_path)) == 2
            sink.abort()
            assert names(tmp_path) == []


@pytest.mark.parametrize("gaps", [0, 1, 3, 100])
def test_a_name_is_found_past_those_that_are_free_by_now(tmp_path: Path, gaps: int) -> None:
    path = tmp_path / NAME
    own = next(itertools.islice(numbered(path), gaps, None))
    own.write_bytes(CONTENT)
    assert name_of(own.stat().st_ino, path) == own


def test_a_name_is_found_among_others_and_gaps(tmp_path: Path) -> None:
    path = tmp_path / NAME
    candidates = list(itertools.islice(numbered(path), 8))
    for number in (1, 3, 4, 6):
        candidates[number].write_bytes(OTHER)
    inode = candidates[6].stat().st_ino
    assert name_of(inode, path) == candidates[6]
    candidates[6].rename(tmp_path / "elsewhere")
    assert name_of(inode, path) is None, "it has none of them"


def _taken_by_a_file(path: Path) -> None:
    path.write_bytes(OTHER)


def _taken_by_a_folder(path: Path) -> None:
    (path / "inside").mkdir(parents=True)


def _taken_by_a_symlink(path: Path) -> None:
    path.with_name("target").write_bytes(OTHER)
    path.symlink_to("target")


def _taken_by_a_symlink_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


TAKERS: dict[str, Callable[[Path], None]] = {
    "file": _taken_by_a_file,
    "folder": _taken_by_a_folder,
    "symlink": _taken_by_a_symlink,
    "symlink-to-nothing": _taken_by_a_symlink_to_nothing,
}


def _no_links(*_: object, **__: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.fixture(params=["links", "no-links"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has hard links, and one that has none, as FAT and some network shares."""
    if request.param == "no-links":
        monkeypatch.setattr(os, "link", _no_links)


@pytest.mark.usefixtures("file_system")
@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
def test_a_name_that_was_taken_meanwhile_is_left_alone(tmp_path: Path, take: Callable[[Path], None]) -> None:
    sink = begun(tmp_path)
    for number in (1, 2, 3):
        write(sink, number)
    take(tmp_path / NAME)
    if take is _taken_by_a_file:
        take(tmp_path / "film (1).mov")
    before = {path: path.lstat().st_ino for path in tmp_path.iterdir() if ".part" not in path.name}
    finish(sink)
    new = "film (2).mov" if take is _taken_by_a_file else "film (1).mov"
    assert sink.path == tmp_path / new
    assert sink.path.read_bytes() == CONTENT
    after = {path: path.lstat().st_ino for path in tmp_path.iterdir()}
    assert after == before | {sink.path: after[sink.path]}


@pytest.mark.usefixtures("file_system")
def test_a_file_that_is_to_be_replaced_is(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(OTHER)
    sink = begun(tmp_path, replace=True)
    assert (tmp_path / NAME).read_bytes() == OTHER
    finish(sink)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert names(tmp_path) == [NAME]


def test_a_folder_is_never_replaced(tmp_path: Path) -> None:
    sink = begun(tmp_path, replace=True)
    (tmp_path / NAME).mkdir()
    with pytest.raises(FolderUnusableError):
        finish(sink)
    sink.close()
    assert names(tmp_path) == [NAME, f"{NAME}.part", f"{NAME}.part.journal"]


def test_the_name_is_given_before_the_journal_goes(tmp_path: Path) -> None:
    sink = begun(tmp_path)
    for number in (1, 2, 3, 4):
        write(sink, number)
    sink.publish(SIZE)
    assert sink.published
    assert names(tmp_path) == [NAME, f"{NAME}.part.journal"]
    sink.close()

    late = begun(tmp_path)
    assert late.published
    assert sizes(late) == {1: 6000, 2: 6000, 3: 6000, 4: 2480}
    assert late.path == tmp_path / NAME
    assert finish(late) == 0
    assert names(tmp_path) == [NAME]


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_published_file_is_found_again_under_its_number(tmp_path: Path, taken: int) -> None:
    for path in itertools.islice(numbered(tmp_path / NAME), taken):
        path.write_bytes(OTHER)
    sink = begun(tmp_path)
    for number in (1, 2, 3, 4):
        write(sink, number)
    sink.publish(SIZE)
    sink.close()
    late = begun(tmp_path)
    assert (late.published, late.path) == (True, sink.path)
    assert finish(late) == 0
    assert late.path.read_bytes() == CONTENT
    assert len(names(tmp_path)) == taken + 1


def test_a_published_file_of_unknown_size_is_not_fetched_again(tmp_path: Path) -> None:
    plan = whole(None)
    sink = begun(tmp_path, plan=plan)
    write(sink, 1, plan=plan)
    sink.publish(SIZE)
    sink.close()
    late = begun(tmp_path, plan=plan)
    assert sizes(late) == {1: SIZE}
    assert finish(late, plan=plan) == 0
    assert names(tmp_path) == [NAME]


def test_a_file_that_took_the_place_of_a_published_one_is_not_taken_for_it(tmp_path: Path) -> None:
    sink = begun(tmp_path)
    for number in (1, 2, 3, 4):
        write(sink, number)
    sink.publish(SIZE)
    sink.close()
    fresh = tmp_path / "fresh"
    fresh.write_bytes(OTHER)
    fresh.replace(tmp_path / NAME)
    late = begun(tmp_path)
    assert not late.published
    assert finish(late) == SIZE
    assert (tmp_path / NAME).read_bytes() == OTHER
    assert names(tmp_path) == ["film (1).mov", NAME]


def test_an_unfinished_file_is_not_whole_because_it_has_the_name(tmp_path: Path) -> None:
    half_built(tmp_path)
    os.link(tmp_path / f"{NAME}.part", tmp_path / NAME)
    sink = begun(tmp_path)
    assert not sink.published
    assert finish(sink) == SIZE
    assert sink.path == tmp_path / "film (1).mov"
    assert sink.path.read_bytes() == CONTENT


def test_a_journal_that_was_left_behind_does_not_vouch_for_a_file_that_got_the_inode(tmp_path: Path) -> None:
    # Who deletes the large one of the two files and puts a file of his own there may well get its inode.
    half_built(tmp_path)
    inode = (tmp_path / f"{NAME}.part").stat().st_ino
    (tmp_path / f"{NAME}.part").unlink()
    own = tmp_path / NAME
    own.write_bytes(OTHER)
    journal = tmp_path / f"{NAME}.part.journal"
    content = journal.read_bytes()
    assert int.from_bytes(content[56:64], "little") == inode
    journal.write_bytes(content[:56] + own.stat().st_ino.to_bytes(8, "little") + content[64:])
    sink = begun(tmp_path)
    assert not sink.published
    finish(sink)
    assert own.read_bytes() == OTHER


def test_bytes_beyond_the_end_are_cut_off(tmp_path: Path) -> None:
    # A run came further than the next one, but was killed before these bytes were safe; and nobody told the size.
    plan = whole(None)
    sink = begun(tmp_path, plan=plan)
    write_beginning(sink, 1, 9000, plan=plan)
    os.pwrite(sink.fileno(), OTHER[:6000], 9000)
    sink.close()
    sink = begun(tmp_path, plan=plan)
    assert sizes(sink) == {1: 9000}
    finish(sink, content=CONTENT[:12_000], plan=plan)
    assert (tmp_path / NAME).read_bytes() == CONTENT[:12_000]


@pytest.mark.parametrize("plan", [PLAN, whole(SIZE), whole(None)], ids=["parts", "one-part", "unknown-size"])
def test_a_file_that_somebody_cut_gets_no_name(tmp_path: Path, plan: Plan) -> None:
    sink = begun(tmp_path, plan=plan)
    for part in plan:
        write(sink, part.number, plan=plan)
    os.truncate(tmp_path / f"{NAME}.part", SIZE - 1)
    with pytest.raises(SinkError, match="cut"):
        sink.complete(SIZE)
    sink.close()
    assert not (tmp_path / NAME).exists()
    finish(begun(tmp_path, plan=plan), plan=plan)
    assert (tmp_path / NAME).read_bytes() == CONTENT


# An old writer -------------------------------------------------------------------------------------------------------


def test_an_old_generation_does_not_publish_the_new_ones_bytes(tmp_path: Path) -> None:
    old = begun(tmp_path, generation="one")
    for number in (1, 2, 3, 4):
        write(old, number)
    new = begun(tmp_path, generation="two")
    write(new, 1, content=OTHER)
    with pytest.raises(SinkError):
        old.complete(SIZE)
    assert not (tmp_path / NAME).exists()
    assert sizes(new) == {1: 6000}
    old.close()
    finish(new, content=OTHER)
    assert (tmp_path / NAME).read_bytes() == OTHER
    assert names(tmp_path) == [NAME]


def test_an_old_generation_does_not_clear_up_the_new_ones_files(tmp_path: Path) -> None:
    old = begun(tmp_path, generation="one")
    for number in (1, 2, 3, 4):
        write(old, number)
    old.publish(SIZE)
    new = begun(tmp_path, generation="two")
    new.share()
    old.complete(SIZE)
    old.close()
    assert names(tmp_path) == [NAME, f"{NAME}.part", f"{NAME}.part.journal"]
    finish(new, content=OTHER)
    assert (tmp_path / "film (1).mov").read_bytes() == OTHER
    assert names(tmp_path) == ["film (1).mov", NAME]


def test_two_holders_of_one_generation_give_one_file(tmp_path: Path) -> None:
    # The first was thought dead while it synced; the second went on with the same bytes in the same file.
    first = begun(tmp_path)
    for number in (1, 2, 3, 4):
        write(first, number)
    second = begun(tmp_path)
    first.complete(SIZE)
    first.close()
    assert finish(second) == 0
    assert second.path == tmp_path / NAME
    assert second.path.read_bytes() == CONTENT
    assert names(tmp_path) == [NAME]


def test_a_part_file_that_somebody_removed_is_told(tmp_path: Path) -> None:
    sink = begun(tmp_path)
    (tmp_path / f"{NAME}.part").unlink()
    with pytest.raises(SinkError, match="removed"):
        finish(sink)
    sink.close()
    assert finish(begun(tmp_path)) == SIZE
    assert names(tmp_path) == [NAME]


# Its own names -------------------------------------------------------------------------------------------------------


def test_what_lies_beside_an_unfinished_file_ends_as_it_is_told(tmp_path: Path) -> None:
    half_built(tmp_path)
    assert all(name.endswith(OUR_SUFFIXES) for name in names(tmp_path))


def test_abort_leaves_nothing(tmp_path: Path) -> None:
    half_built(tmp_path)
    (tmp_path / f"{NAME}.part.journal.new").write_bytes(b"left by a crash")
    LocalSink(tmp_path / NAME, generation="two").abort()
    assert names(tmp_path) == []


def test_one_sink_can_build_one_file_after_another(tmp_path: Path) -> None:
    sink = begun(tmp_path)
    finish(sink)
    sink.begin(whole(SIZE))
    assert not sink.published
    assert sizes(sink) == {}
    finish(sink, content=OTHER, plan=whole(SIZE))
    assert sink.path == tmp_path / "film (1).mov"
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert sink.path.read_bytes() == OTHER


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    finish(begun(tmp_path / "a" / "b"))
    assert names(tmp_path / "a" / "b") == [NAME]


def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(FolderUnusableError):
        begun(tmp_path / "a")
    with pytest.raises(FolderUnusableError):
        begun(tmp_path / "a" / "b")
