from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfers.engine.tree.names import (
    MAX_NAME_BYTES,
    conflict_path,
    conflict_paths,
    is_conflict_path,
    problem_of_path,
)

WHEN = datetime(2026, 11, 21, 8, 45, 7, tzinfo=UTC)
NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]),
    min_size=1,
    max_size=300,
).filter(lambda name: name not in (".", "..") and len(name.encode()) <= MAX_NAME_BYTES)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize(
    "path",
    [
        *("a", "a/b", "a/b/", "...", "..a", ".a/b..", "a\\b", " ", "~", "caf\u00e9", "cafe\u0301", "\n", "a" * 255),
        *("é" * 127, "/".join(["a" * 255] * 16), ".carryon/a"),
    ],
)
def test_a_path(path: str) -> None:
    assert problem_of_path(path) == ""


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "empty"),
        ("/", 'begins with "/"'),
        ("/a", 'begins with "/"'),
        ("//a", 'begins with "/"'),
        ("a//b", "empty"),
        ("a//", "empty"),
        (".", '"."'),
        ("./a", '"."'),
        ("a/.", '"."'),
        ("a/./", '"."'),
        ("..", '".."'),
        ("../a", '".."'),
        ("a/../b", '".."'),
        ("a/..", '".."'),
        ("a\0b", "NUL"),
        ("\udc80", "UTF-8"),
        ("a/\ud800/b", "UTF-8"),
        ("a" * 256, "255 bytes"),
        ("a/" + "é" * 128 + "/b", "255 bytes"),
        ("\U0001f388" * 64, "255 bytes"),
        ("/".join(["a" * 255] * 16) + "/b", "4096 bytes"),
        ("a/" * 2049, "4096 bytes"),
    ],
)
def test_what_is_no_path(path: str, problem: str) -> None:
    assert problem in problem_of_path(path)


@given(PATHS)
def test_names_that_a_file_system_takes_make_a_path(path: str) -> None:
    assert (problem_of_path(path) == "") == (len(path.encode()) <= 4096)


@pytest.mark.parametrize(
    ("path", "number", "expected"),
    [
        ("a", 1, "a.conflict-20261121T084507Z"),
        ("a.txt", 1, "a.txt.conflict-20261121T084507Z"),
        ("x/y/a.txt", 2, "x/y/a.txt.conflict-20261121T084507Z-2"),
        ("x/y/", 13, "x/y.conflict-20261121T084507Z-13/"),
        ("x" * 255, 1, "x" * 229 + ".conflict-20261121T084507Z"),
        ("x" * 251 + ".dcm", 1, "x" * 225 + ".dcm.conflict-20261121T084507Z"),
        ("x" * 251 + ".dcm", 2, "x" * 223 + ".dcm.conflict-20261121T084507Z-2"),
        ("é" * 127, 1, "é" * 114 + ".conflict-20261121T084507Z"),
        ("." + "x" * 254, 1, "." + "x" * 228 + ".conflict-20261121T084507Z"),
        ("x." + "y" * 253, 1, "x." + "y" * 227 + ".conflict-20261121T084507Z"),
    ],
)
def test_conflict_path(path: str, number: int, expected: str) -> None:
    assert conflict_path(path, WHEN, number) == expected


@pytest.mark.parametrize(
    ("path", "most_bytes", "expected"),
    [
        ("x/abcdef.dcm", 100, "x/abcdef.dcm.conflict-20261121T084507Z"),
        ("x/abcdef.dcm", 35, "x/abc.dcm.conflict-20261121T084507Z"),
        ("x/abcdef.dcm", 31, "x/abc.conflict-20261121T084507Z"),
        ("x/abcdef/", 34, "x/abcde.conflict-20261121T084507Z/"),
        ("x/abcdef.dcm", 10, "x/a.conflict-20261121T084507Z"),
    ],
)
def test_a_conflict_path_where_there_is_little_room(path: str, most_bytes: int, expected: str) -> None:
    assert conflict_path(path, WHEN, most_bytes=most_bytes) == expected


def test_the_time_in_a_conflict_path_is_utc() -> None:
    seoul = WHEN.astimezone(timezone(timedelta(hours=9)))
    assert conflict_path("a", seoul) == conflict_path("a", WHEN)


def test_conflict_paths_begin_with_the_first_choice() -> None:
    three = list(itertools.islice(conflict_paths("a/b", WHEN), 3))
    assert three == [conflict_path("a/b", WHEN, number) for number in (1, 2, 3)]


@given(path=PATHS, when=TIMES, number=st.integers(1, 99_999))
def test_a_conflict_path_lies_beside_and_is_known_as_one(path: str, when: datetime, number: int) -> None:
    kept = conflict_path(path, when, number)
    assert kept.rpartition("/")[0] == path.rpartition("/")[0]
    assert len(kept.rpartition("/")[2].encode()) <= MAX_NAME_BYTES
    assert is_conflict_path(kept, path)
    assert not is_conflict_path(path, kept)


@given(PATHS, TIMES)
def test_two_conflict_paths_of_one_time_are_two(path: str, when: datetime) -> None:
    assert len(set(itertools.islice(conflict_paths(path, when), 20))) == 20


@pytest.mark.parametrize(
    "kept",
    [
        *("a", "b.conflict-20261121T084507Z", "a.conflict-20261121T084507", "a.conflict-20261121T084507Z-", "x/a"),
        *("x/a.conflict-20261121T084507Z", "a.conflict-20261121T084507Z.conflict-20261121T084507Z"),
    ],
)
def test_what_is_kept_of_something_else(kept: str) -> None:
    assert not is_conflict_path(kept, "a")
