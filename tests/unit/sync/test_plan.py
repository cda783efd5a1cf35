from __future__ import annotations

import itertools
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from sync.plan import Action, Direction, Known, Stage, Verb, from_json, plan, shown, to_json
from transfers.engine.tree.base import Entry, Kind
from transfers.errors import EmptySideError

MIB = 2**20


def file(path: str, version: str = "1", size: int = 10, mtime_ns: int = 0) -> Entry:
    return Entry(path, Kind.FILE, size, version, mtime_ns)


def problem(path: str, words: str = "a link") -> Entry:
    return Entry(path, Kind.PROBLEM, problem=words)


def known(path: str, size: int = 10) -> Known:
    return Known(path, 0, "", "", "") if path.endswith("/") else Known(path, size, "1", "1", "md5:")


def keys(text: str) -> list[Entry]:
    """A listing of a place that has no folders of its own: "a! b/ c?" is a changed file, a mark and a problem."""
    paths = [word.rstrip("!?") for word in text.split()]
    entries = []
    for word, path in zip(text.split(), paths, strict=True):
        if word.endswith("?"):
            entries.append(problem(path))
        elif word.endswith("/"):
            is_empty = not any(other.startswith(path) and other != path for other in paths)
            entries.append(Entry(path, Kind.FOLDER, is_empty=is_empty))
        else:
            entries.append(file(path, "2" if word.endswith("!") else "1"))
    return sorted(entries, key=lambda entry: entry.path.encode())


def disk(text: str) -> list[Entry]:
    """The same of a place that has: it tells each folder that something lies in."""
    words = {word for word in text.split() if not word.endswith("/?")}
    folders = {word[: at + 1] for word in words for at, character in enumerate(word) if character == "/"}
    return keys(" ".join({*text.split(), *folders}))


def manifest(text: str) -> list[Known]:
    return [known(path) for path in sorted(text.split(), key=str.encode)]


def told(actions: Iterable[Action]) -> list[str]:
    """The actions in the order of work."""
    in_order = sorted(actions, key=lambda action: action.stage)
    return [f"{action.stage.name.lower()}: {action.verb} {action.path}" for action in in_order]


# Every path by itself

ABSENT, NEW, SAME, CHANGED = "absent", "new", "same", "changed"
NOTHING = ("nothing", "")

ONE_SIDED = [
    # winner, loser; what is to be done; what if deletion is asked
    ((NEW, ABSENT), ("copy", "new"), ("copy", "new")),
    ((SAME, ABSENT), ("copy", "missing there"), ("copy", "missing there")),
    ((CHANGED, ABSENT), ("copy", "changed, and missing there"), ("copy", "changed, and missing there")),
    ((ABSENT, NEW), NOTHING, ("keep", "new on the other side since the last sync")),
    ((ABSENT, SAME), NOTHING, ("delete", "gone since the last sync")),
    ((ABSENT, CHANGED), NOTHING, ("keep", "gone, but changed on the other side since the last sync")),
    ((ABSENT, ABSENT), ("forget", "gone on both sides"), ("forget", "gone on both sides")),
]
IMPOSSIBLE = ("", "")
TWO_SIDED = [
    # winner, loser; what is to be done with files of the same size; of different sizes
    ((SAME, SAME), NOTHING, IMPOSSIBLE),
    ((CHANGED, SAME), ("compare", "changed, with the same size"), ("copy", "changed")),
    (
        (SAME, CHANGED),
        ("compare in danger", "changed on the other side, with the same size"),
        ("conflict in danger", "changed on the other side"),
    ),
    (
        (CHANGED, CHANGED),
        ("compare in danger", "changed on both sides, with the same size"),
        ("conflict in danger", "changed on both sides"),
    ),
    (
        (NEW, NEW),
        ("compare in danger", "new on both sides, with the same size"),
        ("conflict in danger", "new on both sides"),
    ),
]
OPTIONS = list(itertools.product((False, True), repeat=2))


def _one_sided() -> Iterator[object]:
    for ((winner, loser), left, deleted), (delete, proves) in itertools.product(ONE_SIDED, OPTIONS):
        expected = deleted if delete else left
        name = f"{winner} here, {loser} there" + ", delete" * delete + ", times prove" * proves
        yield pytest.param((winner, loser), (delete, proves), expected, id=f"{name}: {expected[0]}")


def _two_sided() -> Iterator[object]:
    alikes = [("same size", True), ("other size", False)], [("same time", True), ("other time", False)]
    for (states, same, other), (size, is_same_size), (time, is_same_time), (delete, proves) in itertools.product(
        TWO_SIDED, *alikes, OPTIONS
    ):
        expected = same if is_same_size else other
        if expected is IMPOSSIBLE:
            continue
        if states == (NEW, NEW) and proves and is_same_size and is_same_time:
            expected = NOTHING
        name = f"{states[0]} here, {states[1]} there, {size}, {time}" + ", delete" * delete + ", times prove" * proves
        alike = (is_same_size, is_same_time)
        yield pytest.param(states, alike, (delete, proves), expected, id=f"{name}: {expected[0]}")


def _side(state: str, size: int, mtime_ns: int) -> list[Entry]:
    return [] if state == ABSENT else [file("x", "2" if state == CHANGED else "1", size, mtime_ns)]


def _decision(states: tuple[str, str], sides: list[list[Entry]], options: tuple[bool, bool]) -> tuple[str, str]:
    """What a plan says about "x"; another file is there, so that no side is empty."""
    entries = [] if NEW in states else [known("x")]
    winner, loser = ([*side, file("y")] for side in sides)
    delete, proves = options
    actions = list(plan(winner, loser, [*entries, known("y")], delete=delete, times_prove=proves))
    assert [action.path for action in actions] in (["x"], [])
    return (actions[0].verb + " in danger" * actions[0].in_danger, actions[0].reason) if actions else NOTHING


@pytest.mark.parametrize(("states", "options", "expected"), list(_one_sided()))
def test_a_file_on_one_side(states: tuple[str, str], options: tuple[bool, bool], expected: tuple[str, str]) -> None:
    sides = [_side(state, 10, 5) for state in states]
    assert _decision(states, sides, options) == expected


@pytest.mark.parametrize(("states", "alike", "options", "expected"), list(_two_sided()))
def test_a_file_on_both_sides(
    states: tuple[str, str], alike: tuple[bool, bool], options: tuple[bool, bool], expected: tuple[str, str]
) -> None:
    sizes = (10, 10) if alike[0] else (11, 10) if states[1] == SAME else (10, 11)
    times = (5, 5) if alike[1] else (4, 5)  # an older time is as good as any
    sides = [_side(*side) for side in zip(states, sizes, times, strict=True)]
    assert _decision(states, sides, options) == expected


def test_a_time_that_no_listing_tells_proves_nothing() -> None:
    (action,) = plan([file("x", mtime_ns=0)], [file("x", mtime_ns=0)], [], times_prove=True)
    assert action.verb is Verb.COMPARE


@pytest.mark.parametrize(("sizes", "verb"), [((11, 10), Verb.COPY), ((10, 11), Verb.CONFLICT)])
def test_another_size_is_a_change_whatever_the_version(sizes: tuple[int, int], verb: Verb) -> None:
    (action,) = plan([file("x", size=sizes[0])], [file("x", size=sizes[1])], [known("x")])
    assert action.verb is verb


def test_each_side_has_versions_of_its_own() -> None:
    synced = [Known("x", 10, "of the winner", "of the loser", "")]
    ours, theirs = file("x", "of the winner"), file("x", "of the loser")
    assert list(plan([ours], [theirs], synced)) == []
    (action,) = plan([theirs], [ours], synced)
    assert action.reason == "changed on both sides, with the same size"


def test_an_action_has_all_that_the_plan_knew() -> None:
    new, old, entry = file("x", "2", 20), file("x"), known("x")
    assert list(plan([new], [old], [entry])) == [Action(Verb.COPY, "x", 20, "changed", Stage.BRING, new, old, entry)]
    assert next(plan([file("y")], [old], [entry], delete=True)) == Action(
        Verb.DELETE, "x", 10, "gone since the last sync", Stage.DELETE, None, old, entry
    )
    (forgotten,) = plan([], [], [entry])
    assert forgotten == Action(Verb.FORGET, "x", 10, "gone on both sides", Stage.DELETE, None, None, entry)


def test_names_that_only_look_alike_are_different_names() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    winner, loser = disk(f"{composed} SCAN"), disk(f"{decomposed} scan")
    actions = plan(winner, loser, manifest(f"{decomposed} scan"), delete=True)
    assert {(action.verb, action.path) for action in actions} == {
        (Verb.COPY, composed),
        (Verb.DELETE, decomposed),
        (Verb.COPY, "SCAN"),
        (Verb.DELETE, "scan"),
    }


# A file here, a folder there

LEFT, DELETED = False, True


@pytest.mark.parametrize("gone", [LEFT, DELETED], ids=["left", "deleted"])
@pytest.mark.parametrize("kind", [disk, keys])
def test_folders_with_something_in_them_need_nothing(kind: Callable[[str], list[Entry]], *, gone: bool) -> None:
    everything = "a/b/c a/d e/f"
    assert told(plan(kind(everything), kind(everything), manifest(everything), delete=gone)) == []
    assert told(plan(kind(everything), disk("a/b/c"), manifest("a/b/c"), delete=gone)) == [
        "bring: copy a/d",
        "bring: copy e/f",
    ]


@pytest.mark.parametrize(
    ("winner", "loser", "synced", "delete", "expected"),
    [
        pytest.param(
            *(disk("a/b"), disk("a"), "a", LEFT),
            ["clear: set_aside a", "bring: copy a/b"],
            id="a file",
        ),
        pytest.param(
            *(disk("a/b"), disk("a"), "a", DELETED),
            ["clear: delete a", "bring: copy a/b"],
            id="a file that would be deleted anyway",
        ),
        pytest.param(
            *(disk("a/b"), disk("a!"), "a", DELETED),
            ["clear: set_aside a", "bring: copy a/b"],
            id="a changed file",
        ),
        pytest.param(
            *(disk("a/b"), disk("a"), "", DELETED),
            ["clear: set_aside a", "bring: copy a/b"],
            id="a new file",
        ),
        pytest.param(
            *(disk("a/b"), disk("a"), "a/b", DELETED),
            ["clear: set_aside a", "bring: copy a/b"],
            id="a file that took the folder's place there",
        ),
        pytest.param(
            *(disk("a/b/c/d"), disk("a/b"), "", LEFT),
            ["clear: set_aside a/b", "bring: copy a/b/c/d"],
            id="a file further up",
        ),
        pytest.param(
            *(disk("a/"), disk("a"), "a", LEFT),
            ["clear: set_aside a", "folders: folder a/"],
            id="a file, where a folder comes that is empty",
        ),
        pytest.param(
            *(disk("a/ y"), disk("a y"), "a y", DELETED),
            ["delete: delete a", "folders: folder a/"],
            id="a file that is deleted, where a folder comes that is empty: not before it is known that no side is",
        ),
        pytest.param(
            *(disk("a/b? y"), disk("a y"), "a y", DELETED),
            ["bring: skip a/b", "delete: delete a"],
            id="a file, where the folder has nothing that can come",
        ),
        pytest.param(
            *(disk("a/b a/c"), keys("a a/b"), "a/b", LEFT),
            ["bring: copy a/c"],
            id="a file that has been there beside the folder",
        ),
        pytest.param(
            *(disk("a/b a/c"), keys("a a/b"), "a a/b", DELETED),
            ["clear: delete a", "bring: copy a/c"],
            id="a file that has been there beside the folder, and is deleted",
        ),
        pytest.param(
            *(disk("a/b y"), keys("a a/b y"), "a a/b y", DELETED),
            ["delete: delete a"],
            id="a file that is in nothing's way",
        ),
    ],
)
def test_a_file_where_the_winner_has_a_folder(
    winner: list[Entry], loser: list[Entry], synced: str, *, delete: bool, expected: list[str]
) -> None:
    assert told(plan(winner, loser, manifest(synced), delete=delete)) == expected


@pytest.mark.parametrize(
    ("winner", "loser", "synced", "delete", "expected"),
    [
        pytest.param(
            *(disk("a"), disk("a/b a/c/d"), "a/b", LEFT),
            ["clear: set_aside a/", "bring: copy a"],
            id="a folder",
        ),
        pytest.param(
            *(disk("a"), keys("a/b a/c/d"), "a/b", LEFT),
            ["clear: set_aside a/", "bring: copy a"],
            id="a folder that is only keys",
        ),
        pytest.param(
            *(disk("a"), disk("a/b a/c/d"), "a/b a/c/d", DELETED),
            ["clear: delete a/b", "clear: delete a/c/d", "bring: copy a"],
            id="a folder in which all would be deleted anyway",
        ),
        pytest.param(
            *(disk("a"), disk("a/b a/c!"), "a/b a/c", DELETED),
            ["clear: delete a/b", "clear: set_aside a/", "bring: copy a"],
            id="a folder with a changed file",
        ),
        pytest.param(
            *(disk("a"), disk("a/b a/c"), "a/b", DELETED),
            ["clear: delete a/b", "clear: set_aside a/", "bring: copy a"],
            id="a folder with a new file",
        ),
        pytest.param(
            *(disk("a"), disk("a/"), "", DELETED),
            ["clear: set_aside a/", "bring: copy a"],
            id="an empty folder that nobody knows",
        ),
        pytest.param(
            *(disk("a"), disk("a/"), "a/", LEFT),
            ["clear: set_aside a/", "bring: copy a"],
            id="an empty folder",
        ),
        pytest.param(
            *(disk("a"), disk("a/"), "a/", DELETED),
            ["clear: delete a/", "bring: copy a"],
            id="an empty folder that would be deleted anyway",
        ),
        pytest.param(
            *(disk("a"), disk("a/b a/e/"), "a/ a/b a/e/", DELETED),
            ["clear: delete a/b", "clear: delete a/e/", "bring: copy a", "folders: forget a/"],
            id="a folder that was empty once, and now loses all that is in it",
        ),
        pytest.param(
            *(disk("a"), disk("a/b a/c?"), "a/b", LEFT),
            ["bring: skip a/c", "bring: skip a"],
            id="a folder with something that must be left alone",
        ),
        pytest.param(
            *(disk("a"), keys("a?"), "", LEFT),
            ["bring: skip a"],
            id="a folder that cannot be opened",
        ),
        pytest.param(
            *(disk("a"), keys("a/?"), "", LEFT),
            ["bring: skip a/", "bring: skip a"],
            id="a folder that cannot be opened, told as one",
        ),
        pytest.param(
            *(disk("a"), disk("a"), "a/b", LEFT),
            ["bring: compare a", "delete: forget a/b"],
            id="a folder no longer, on either side",
        ),
    ],
)
def test_a_folder_where_the_winner_has_a_file(
    winner: list[Entry], loser: list[Entry], synced: str, *, delete: bool, expected: list[str]
) -> None:
    assert told(plan(winner, loser, manifest(synced), delete=delete)) == expected


@pytest.mark.parametrize(
    ("winner", "loser", "synced", "delete", "expected"),
    [
        pytest.param(
            *(disk("a b/x"), disk("a/x b"), "", LEFT),
            ["clear: set_aside a/", "clear: set_aside b", "bring: copy a", "bring: copy b/x"],
            id="crosswise",
        ),
        pytest.param(
            *(disk("a b/x"), disk("a/x b"), "a/x b", DELETED),
            ["clear: delete a/x", "clear: delete b", "bring: copy a", "bring: copy b/x"],
            id="crosswise, with nothing new there",
        ),
        pytest.param(
            *(keys("a a/b a/c/d"), [], "", LEFT),
            ["bring: copy a/b", "bring: copy a/c/d", "bring: skip a"],
            id="the winner has both",
        ),
        pytest.param(
            *(keys("a a/b"), [], "a/b", LEFT),
            ["bring: copy a/b", "bring: skip a"],
            id="the winner has both, and the folder was synced",
        ),
        pytest.param(
            *(keys("a a/b a/e/ a/f/g"), [], "a", LEFT),
            ["bring: skip a/b", "bring: skip a/e/", "bring: skip a/f/g", "bring: copy a"],
            id="the winner has both, and the file was synced",
        ),
        pytest.param(
            *(keys("a a/b"), [], "a a/b", LEFT),
            ["bring: skip a/b", "bring: copy a"],
            id="the winner has both, and both were synced",
        ),
        pytest.param(
            *(keys("a a/b a/f/g"), disk("a/x"), "a", LEFT),
            ["bring: copy a/b", "bring: copy a/f/g", "bring: skip a"],
            id="the winner has both, the file was synced, and the loser has the folder",
        ),
        pytest.param(
            *(keys("a a/b a/b/c"), disk("a/x"), "", LEFT),
            ["bring: copy a/b/c", "bring: skip a/b", "bring: skip a"],
            id="the winner has both, twice, and the loser the outer folder",
        ),
        pytest.param(
            *(keys("a a/b"), disk("a"), "a", LEFT),
            ["bring: skip a/b"],
            id="the winner has both, and the loser the file",
        ),
        pytest.param(
            *(keys("a! a/b/c a/e/"), disk("a"), "a", DELETED),
            ["bring: skip a/b/c", "bring: skip a/e/", "bring: compare a"],
            id="the winner has both, and the loser an older file",
        ),
        pytest.param(
            *(keys("a a/b"), disk("a/b"), "a/b", LEFT),
            ["bring: skip a"],
            id="the winner has both, and the loser the folder",
        ),
        pytest.param(
            *(keys("a a/b"), keys("a a/b"), "a a/b", LEFT),
            [],
            id="both have both",
        ),
        pytest.param(
            *(keys("a a/"), [], "", LEFT),
            ["bring: skip a/", "bring: copy a"],
            id="the winner has a file and the mark of an empty folder",
        ),
        pytest.param(
            *(keys("a a/b/c"), disk("a/x"), "a/x", DELETED),
            ["clear: delete a/x", "bring: copy a/b/c", "bring: skip a"],
            id="the winner has both, and the loser another folder",
        ),
        pytest.param(
            *(keys("a a- a. a/b a0"), disk("a- a. a0"), "", LEFT),
            ["bring: compare a-", "bring: compare a.", "bring: copy a/b", "bring: skip a", "bring: compare a0"],
            id="names between the file and the folder",
        ),
        pytest.param(
            *(disk("a- a/b a0"), disk("a a. a-/x"), "a a- a. a0", DELETED),
            [
                *("clear: set_aside a-/", "clear: delete a"),
                *("bring: copy a-", "bring: copy a/b", "bring: copy a0"),
                "delete: delete a.",
            ],
            id="names between the file and the folder, on both sides",
        ),
        pytest.param(
            *(disk("y"), keys("a a- a/b a0 y"), "a a- a/b a0 y", DELETED),
            ["delete: delete a-", "delete: delete a/b", "delete: delete a", "delete: delete a0"],
            id="names between the file and the folder, all to be deleted",
        ),
    ],
)
def test_names_that_are_files_and_folders(
    winner: list[Entry], loser: list[Entry], synced: str, *, delete: bool, expected: list[str]
) -> None:
    assert told(plan(winner, loser, manifest(synced), delete=delete)) == expected


# A plan for trees of which the winner has both, done on a disk: what came first stays, whatever is in the manifest
@pytest.mark.parametrize("synced", ["", "a", "a/b", "a a/b"])
@pytest.mark.parametrize("loser", ["", "a", "a/b", "a/x", "a/"])
def test_which_of_a_file_and_a_folder_comes_is_the_same_in_each_run(loser: str, synced: str) -> None:
    winner = keys("a a/b a/c")
    left = loser.split()
    for _ in range(3):
        actions = list(plan(winner, disk(" ".join(left)), manifest(synced)))
        assert all(action.reason for action in actions if action.verb is Verb.SKIP)
        assert {action.path for action in actions if action.verb is Verb.SKIP} in ({"a"}, {"a/b", "a/c"})
        brought = [action.path for action in actions if action.verb in (Verb.COPY, Verb.COMPARE, Verb.CONFLICT)]
        before, left = left, sorted({*left, *brought} - {"a/"})
        synced = " ".join({*synced.split(), *brought})
        assert before in (loser.split(), left), "only the first run brings anything"
        assert not any(action.verb is Verb.SET_ASIDE for action in actions)
    assert left in (["a"], sorted({"a/b", "a/c", *loser.split()} - {"a/"}))


# Empty folders


@pytest.mark.parametrize(
    ("winner", "loser", "synced", "delete", "expected"),
    [
        pytest.param(disk("e/"), [], "", LEFT, ["folders: folder e/"], id="new"),
        pytest.param(disk("d/e/"), [], "", LEFT, ["folders: folder d/e/"], id="new, in another"),
        pytest.param(disk("e/"), [], "e/", LEFT, ["folders: folder e/"], id="missing there"),
        pytest.param(disk("e/"), disk("e/"), "", DELETED, ["bring: remember e/"], id="on both sides"),
        pytest.param(disk("e/"), disk("e/"), "", LEFT, ["bring: remember e/"], id="on both sides, nothing is deleted"),
        pytest.param(keys("e/"), disk("d/e/ e/"), "", LEFT, ["bring: remember e/"], id="on both sides, beside another"),
        pytest.param(disk("e/"), disk("e/"), "e/", DELETED, [], id="on both sides, and known"),
        pytest.param(disk("e/"), disk("e/d/"), "", LEFT, [], id="on both sides, but one has something in it"),
        pytest.param(disk("e/"), disk("e/x"), "e/x", LEFT, [], id="on both sides, but one has a file in it"),
        pytest.param([], [], "e/", LEFT, ["delete: forget e/"], id="on neither side"),
        pytest.param(disk("y"), disk("e/ y"), "e/ y", LEFT, [], id="gone"),
        pytest.param(disk("y"), disk("e/ y"), "e/ y", DELETED, ["delete: delete e/"], id="gone, deletion is asked"),
        pytest.param(disk("y"), disk("e/ y"), "y", DELETED, ["bring: keep e/"], id="new there"),
        pytest.param(
            *(disk("d/ y"), disk("d/x y"), "d/x y", DELETED),
            ["delete: delete d/x", "folders: folder d/"],
            id="empty from now on: deleting what is in it takes it along",
        ),
        pytest.param(disk("d/ y"), disk("d/x y"), "d/x y", LEFT, [], id="empty from now on, but nothing is deleted"),
        pytest.param(
            *(disk("d/ y"), disk("d/x d/z y"), "d/x y", DELETED),
            ["bring: keep d/z", "delete: delete d/x"],
            id="empty from now on, but something stays there",
        ),
        pytest.param(
            *(disk("d/e/ y"), disk("d/x d/e/z y"), "d/x d/e/z y", DELETED),
            ["delete: delete d/e/z", "delete: delete d/x", "folders: folder d/e/"],
            id="empty from now on, in another",
        ),
        pytest.param(
            *(disk("y"), disk("d/e/x y"), "d/ d/e/ d/e/x y", DELETED),
            ["delete: delete d/e/x", "folders: delete d/e/", "folders: delete d/"],
            id="gone with what was in them",
        ),
        pytest.param(
            *(disk("y"), keys("d/ d/x y"), "d/ d/x y", DELETED),
            ["delete: delete d/x", "folders: delete d/"],
            id="gone with what was in it, where folders are marked",
        ),
        pytest.param(
            *(disk("y"), disk("d/x y"), "d/x y", DELETED),
            ["delete: delete d/x"],
            id="gone with what was in it, and never synced as such",
        ),
        pytest.param(keys("d/x"), disk("d/"), "d/", DELETED, ["bring: copy d/x"], id="no longer empty, nor marked"),
        pytest.param(keys("d/x"), disk("d/"), "", DELETED, ["bring: copy d/x"], id="no longer empty, and never marked"),
        pytest.param(
            *(keys("d/e/ y"), disk("d/ y"), "d/ y", DELETED),
            ["folders: folder d/e/"],
            id="no longer empty, for another is in it",
        ),
        pytest.param(disk("d/"), keys("d/x"), "", LEFT, [], id="there already by what is in it"),
    ],
)
def test_an_empty_folder(
    winner: list[Entry], loser: list[Entry], synced: str, *, delete: bool, expected: list[str]
) -> None:
    assert told(plan(winner, loser, manifest(synced), delete=delete)) == expected


# What cannot be synced


@pytest.mark.parametrize(
    ("winner", "loser", "synced", "delete", "expected"),
    [
        pytest.param(keys("x? y"), disk("x y"), "x y", DELETED, ["bring: skip x"], id="in place of the winner's file"),
        pytest.param(disk("x y"), keys("x? y"), "x y", DELETED, ["bring: skip x"], id="in place of the loser's file"),
        pytest.param(keys("x?"), keys("x?"), "x", DELETED, ["bring: skip x"], id="on both sides"),
        pytest.param(keys("x? y"), [], "x x/z y", LEFT, ["bring: skip x", "bring: copy y"], id="nothing is forgotten"),
        pytest.param(
            *(keys("d? y"), disk("d/x d/y! d/z d/e/ y"), "d/x d/y d/e/ y", DELETED),
            ["bring: skip d"],
            id="in place of the winner's folder: nothing of it is taken to be gone",
        ),
        pytest.param(
            *(keys("d/? y"), disk("d/x d/y! d/z d/e/ y"), "d/x d/y d/e/ y", DELETED),
            ["bring: skip d/"],
            id="in place of the winner's folder, told as one: nothing of it is taken to be gone",
        ),
        pytest.param(
            *(keys("d? y"), disk("d-x d/x d0 y"), "d-x d/x d0 y", DELETED),
            ["bring: skip d", "delete: delete d-x", "delete: delete d0"],
            id="in place of the winner's folder: what only begins like it is another's",
        ),
        pytest.param(
            *(disk("d/x d/e/ y"), keys("d? y"), "y", LEFT),
            ["bring: skip d/e/", "bring: skip d/x", "bring: skip d"],
            id="in place of the loser's folder: nothing comes into it",
        ),
        pytest.param(
            *(disk("d/x d/e/ y"), keys("d/? y"), "y", LEFT),
            ["bring: skip d/e/", "bring: skip d/x", "bring: skip d/"],
            id="in place of the loser's folder, told as one: nothing comes into it",
        ),
        pytest.param(
            *(keys("d/? d/x"), disk("d/x! d/y"), "d/x d/y", DELETED),
            ["bring: compare d/x", "bring: skip d/"],
            id="beside files of the winner's: what it has counts, and what it has not does not",
        ),
        pytest.param(
            *(disk("y"), disk("d/x d/z? y"), "d/ d/x y", DELETED),
            ["bring: skip d/z", "delete: delete d/x"],
            id="in a folder that is gone: it stays there, and so does the folder",
        ),
        pytest.param(
            *(keys("a a/p?"), disk("a/p/x"), "a/p/x", DELETED),
            ["bring: skip a/p", "bring: skip a"],
            id="in a folder that is a file, too: what is not seen is not moved",
        ),
        pytest.param(
            *(disk("d/x d/z"), disk("d/x! d/y?"), "d/x", LEFT),
            ["bring: compare d/x", "bring: skip d/y", "bring: copy d/z"],
            id="beside files of the loser's",
        ),
    ],
)
def test_what_cannot_be_synced_is_left_alone(
    winner: list[Entry], loser: list[Entry], synced: str, *, delete: bool, expected: list[str]
) -> None:
    assert told(plan(winner, loser, manifest(synced), delete=delete)) == expected


@pytest.mark.parametrize(
    ("winner", "loser", "reason"),
    [
        ([problem("x", "a pipe")], [problem("x", "a link")], "a pipe"),
        ([file("x")], [problem("x", "a link")], "a link"),
        ([problem("x", "")], [problem("x", "a link")], "a link"),
        ([problem("x", "")], [], "it cannot be synced"),
    ],
)
def test_it_is_told_why(winner: list[Entry], loser: list[Entry], reason: str) -> None:
    (action,) = plan(winner, loser, [])
    assert (action.verb, action.reason) == (Verb.SKIP, reason)


@pytest.mark.parametrize(
    "twice",
    [
        [file("x"), problem("x", "no text")],
        [problem("x", "no text"), file("x")],
        [problem("x", "no text"), problem("x", "no text either")],
        [file("x"), problem("x", "no text"), problem("x", "no text either")],
    ],
)
def test_a_name_that_is_no_text_may_be_told_as_one_that_is(twice: list[Entry]) -> None:
    for sides in ([*twice, file("y")], [file("x"), file("y")]), ([file("x"), file("y")], [*twice, file("y")]):
        (action,) = plan(*sides, manifest("x y"), delete=True)
        assert (action.verb, action.path, action.reason) == (Verb.SKIP, "x", "no text")


# A side that is empty


@pytest.mark.parametrize(
    ("winner", "loser", "synced"),
    [
        pytest.param([], disk("a d/b"), "a d/b", id="nothing at all"),
        pytest.param(disk("e/"), disk("a e/"), "a e/", id="empty folders"),
        pytest.param(keys("x? y/?"), disk("a"), "a", id="what cannot be synced"),
        pytest.param([], disk("e/"), "e/", id="nothing at all, and an empty folder there"),
        pytest.param(disk("a/"), disk("a"), "a", id="a folder where the file was"),
        pytest.param(disk("a/"), disk("a b!"), "a b", id="a folder where the file was, and something stays"),
    ],
)
def test_nothing_is_deleted_because_a_side_is_empty(winner: list[Entry], loser: list[Entry], synced: str) -> None:
    actions = []
    with pytest.raises(EmptySideError):  # noqa: PT012 - at the end, and no sooner
        for action in plan(winner, loser, manifest(synced), delete=True):
            actions.append(action)  # noqa: PERF402 - what came before the error counts
    deleted = [action for action in actions if action.verb is Verb.DELETE]
    assert deleted
    assert all(action.stage is Stage.DELETE for action in deleted)


def test_an_empty_side_is_fine_where_nothing_is_deleted() -> None:
    assert told(plan([], disk("a d/b e/"), manifest("a d/b e/"))) == []
    assert told(plan([], disk("a! b"), manifest("a"), delete=True)) == ["bring: keep a", "bring: keep b"]
    assert told(plan([], [], manifest("a e/"), delete=True)) == ["delete: forget a", "delete: forget e/"]


# Order, and how much is held at once


def test_the_order_of_emission() -> None:
    """Sorted, but a name comes behind what may be below it, and what sorts in between."""
    names = "Z a a! a- a-/x a/b a/b/c a0 d/ d/e d-e \u00e9 \uffff \U0001f600"
    paths = [path.replace("a!", "a\u0021") for path in names.split()]
    listing = [Entry(path, Kind.FOLDER) if path.endswith("/") else file(path) for path in sorted(paths)]
    actions = list(plan([], listing, [], delete=True))
    assert [action.path for action in actions] == [
        *("Z", "a!", "a-/x", "a-", "a/b/c", "a/b", "a", "a0"),
        *("d-e", "d/e", "\u00e9", "\uffff", "\U0001f600"),
    ]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_text_without_surrogates_sorts_as_its_utf8_bytes(texts: list[str]) -> None:
    assert sorted(texts) == sorted(texts, key=str.encode)


@pytest.mark.parametrize("paths", [("b", "a"), ("a/b", "a"), ("a/", "a-"), ("a0", "a/b"), ("a", "a"), ("e/", "e/")])
@pytest.mark.parametrize("where", ["the winning side", "the losing side", "the manifest"])
def test_what_is_not_sorted_is_refused(where: str, paths: tuple[str, str]) -> None:
    entries = [Entry(path, Kind.FOLDER) if path.endswith("/") else file(path) for path in paths]
    sides = {"the winning side": [file("y")], "the losing side": [file("y")]}
    known_of = manifest("y")
    if where in sides:
        sides[where] = [*entries, file("y")]
    else:
        known_of = [*(known(path) for path in paths), *known_of]
    with pytest.raises(ValueError, match=f"{where} is not sorted") as raised:
        list(plan(*sides.values(), known_of, delete=True))
    assert all(repr(path) in str(raised.value) for path in paths)


class Counted:
    """A listing that knows how much of it was read."""

    def __init__(self, things: Iterable[Any]) -> None:
        self._things = things
        self.read = 0

    def __iter__(self) -> Iterator[Any]:
        for thing in self._things:
            self.read += 1
            yield thing


def test_the_listings_are_read_in_step() -> None:
    paths = [f"d{number // 10:03}/f{number % 10}" for number in range(1000)]
    winner = Counted(file(path, "2") for path in paths)
    loser = Counted(file(path) for path in paths)
    entries = Counted(known(path) for path in paths)
    actions = plan(winner, loser, entries)
    assert (winner.read, loser.read, entries.read) == (0, 0, 0)
    for number, action in enumerate(actions, 1):
        assert action.verb is Verb.COMPARE
        for each in (winner, loser, entries):
            assert number <= each.read <= number + 3
    assert number == len(paths)


MANY = 200_000


def _many(prefix: str, which: Callable[[int], bool]) -> Iterator[str]:
    return (f"{prefix}{number:06}" for number in range(MANY // 2) if which(number))


def test_memory_does_not_grow_with_the_number_of_files() -> None:
    """A folder in the way of a file, and then files in all states."""
    winner = itertools.chain(["a"], _many("b/", lambda number: number % 3 != 0))
    loser = itertools.chain(_many("a/", lambda number: number >= 0), _many("b/", lambda number: number % 3 != 1))
    entries = itertools.chain(_many("a/", lambda number: number % 2 == 0), _many("b/", lambda number: number % 2 == 0))
    tracemalloc.start()
    try:
        actions = plan(map(file, winner), map(file, loser), map(known, entries), delete=True)
        verbs = Counter(action.verb for action in actions)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert verbs[Verb.SET_ASIDE] == 1
    assert verbs[Verb.DELETE] == MANY // 4 + MANY // 12 + 1
    assert verbs[Verb.COPY] == 1 + MANY // 6
    assert peak < MIB // 8


def test_memory_is_bounded_by_the_length_of_a_path() -> None:
    """Names that each may have something below them still, when the longest is reached."""
    longest = "!" * 1024
    listing = [file(longest[:length]) for length in range(1, 1025)]
    assert [action.path for action in plan(listing, [], [])] == [entry.path for entry in reversed(listing)]


# Any trees at all

NAMES = st.lists(st.sampled_from(["a", "b", "a-", "a0"]), min_size=1, max_size=3).map("/".join)
MARKS = st.sampled_from(["", "", "", "!", "?", "/", "/?"])


@st.composite
def listings(draw: st.DrawFn) -> list[Entry]:
    words = draw(st.dictionaries(NAMES, MARKS, max_size=8))
    text = " ".join(path + mark for path, mark in words.items())
    return keys(text)


@given(winner=listings(), loser=listings(), synced=st.sets(NAMES), delete=st.booleans(), times_prove=st.booleans())
def test_whatever_the_trees(
    winner: list[Entry], loser: list[Entry], synced: set[str], *, delete: bool, times_prove: bool
) -> None:
    actions = []
    with suppress(EmptySideError):
        for action in plan(winner, loser, manifest(" ".join(synced)), delete=delete, times_prove=times_prove):
            actions.append(action)  # noqa: PERF402 - what came before the error counts
    assert len({action.path for action in actions}) == len(actions), "a path has one action"
    for before, after in itertools.pairwise(actions):
        assert before.path < after.path or before.path.startswith(after.path)
    ours, theirs = ({entry.path: entry for entry in side} for side in (winner, loser))
    for action in actions:
        if action.verb is not Verb.SET_ASIDE:
            assert (action.winner, action.loser) == (ours.get(action.path), theirs.get(action.path))
        if action.verb is Verb.DELETE:
            _may_be_deleted(action, winner, delete=delete)
        if action.verb in (Verb.COPY, Verb.COMPARE, Verb.CONFLICT, Verb.FOLDER):
            _may_be_brought(action, loser)


def _is_problem_at(entries: list[Entry], path: str) -> bool:
    """Whether one of them is a problem of the path's, or of a folder that it lies in."""
    names = path.rstrip("/").split("/")
    above = {"/".join(names[:depth]) for depth in range(1, len(names) + 1)}
    return any(entry.kind is Kind.PROBLEM and entry.path.rstrip("/") in above for entry in entries)


def _may_be_deleted(action: Action, winner: list[Entry], *, delete: bool) -> None:
    assert delete
    assert action.winner is None
    assert action.loser is not None
    assert action.known is not None
    assert action.loser.kind is not Kind.PROBLEM
    assert action.loser.version in (action.known.loser, "")
    assert not _is_problem_at([entry for entry in winner if entry.path != action.path + "/"], action.path)


def _may_be_brought(action: Action, loser: list[Entry]) -> None:
    assert action.winner is not None
    assert action.winner.kind is (Kind.FOLDER if action.verb is Verb.FOLDER else Kind.FILE)
    assert action.loser is None or action.loser.kind is not Kind.PROBLEM
    assert action.loser is not None or not _is_problem_at(loser, action.path)


# Stored, and shown

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SIZES = st.integers(0, 2**63 - 1)


@st.composite
def all_actions(draw: st.DrawFn) -> Action:
    path = draw(TEXTS)
    entries = st.none() | st.builds(
        Entry,
        *(st.just(path), st.sampled_from(Kind), SIZES, TEXTS, st.integers(-(2**63), 2**63 - 1), st.booleans(), TEXTS),
        st.booleans(),
    )
    entry = st.none() | st.builds(Known, st.just(path), SIZES, TEXTS, TEXTS, TEXTS)
    return Action(
        *(draw(st.sampled_from(Verb)), path, draw(SIZES), draw(TEXTS), draw(st.sampled_from(Stage))),
        *(draw(entries), draw(entries), draw(entry), draw(st.booleans())),
    )


@given(all_actions())
def test_an_action_survives_json(action: Action) -> None:
    restored = from_json(json.loads(json.dumps(to_json(action))))
    assert restored == action
    assert isinstance(restored.verb, Verb)
    assert isinstance(restored.stage, Stage)


def test_an_action_is_stored_briefly() -> None:
    path = "a folder/a file.dcm"
    action = Action(Verb.COPY, path, 1, "new", Stage.BRING, file(path), file(path), known(path))
    assert json.dumps(to_json(action)).count(path) == 1


def test_an_action_is_about_one_path() -> None:
    with pytest.raises(ValueError, match="'x'"):
        Action(Verb.COPY, "x", 1, "new", Stage.BRING, file("y"), None, None)


def test_an_action_facing_what_nobody_has_looked_at() -> None:
    (action,) = plan([file("x")], [], [])
    found = file("x", "new")
    facing = action.facing(found, Verb.CONFLICT)
    assert (facing.verb, facing.loser, facing.in_danger) == (Verb.CONFLICT, found, True)
    assert (facing.winner, facing.known) == (action.winner, action.known)


@pytest.mark.parametrize(
    ("verb", "direction", "name"),
    [
        (Verb.COPY, Direction.COPY, "copy"),
        (Verb.COPY, Direction.UP, "upload"),
        (Verb.COPY, Direction.DOWN, "download"),
        *(
            (verb, direction, name)
            for verb, name in {
                Verb.COMPARE: "compare",
                Verb.CONFLICT: "conflict",
                Verb.DELETE: "delete",
                Verb.FOLDER: "create_folder",
                Verb.KEEP: "keep",
                Verb.SKIP: "skip",
                Verb.SET_ASIDE: "set_aside",
            }.items()
            for direction in Direction
        ),
    ],
)
def test_how_an_action_is_shown(verb: Verb, direction: Direction, name: str) -> None:
    action = Action(verb, "d/x", 10, "why", Stage.BRING, None, None, None)
    assert shown(action, direction) == {"action": name, "path": "d/x", "size": 10, "reason": "why"}


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("verb", [Verb.FORGET, Verb.REMEMBER])
def test_what_only_the_manifest_hears_of_is_not_shown(verb: Verb, direction: Direction) -> None:
    assert shown(Action(verb, "x", 10, "why", Stage.DELETE, None, None, known("x")), direction) is None
