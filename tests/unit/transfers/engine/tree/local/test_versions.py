from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conformance.trees import MTIME_NS
from tests.unit.transfers.engine.tree.local.disk import edit, lay
from transfers.engine.tree.base import Entry
from transfers.engine.tree.local.versions import (
    entry_of,
    is_listed,
    is_only_renamed,
    is_unchanged,
    settled,
    unsettled_ns,
)

MS = 10**6
SECOND = 10**9
FINE = 1_600_000_000 * SECOND + 7
WHOLE = 1_600_000_000 * SECOND


@pytest.mark.parametrize(
    ("mtime_ns", "age_ns", "expected_ms"),
    [
        (FINE, 0, 50),
        (FINE, 20 * MS, 30),
        (FINE, 50 * MS, 0),
        (FINE, 3600 * SECOND, 0),
        (FINE, -20 * MS, 70),
        (FINE, -50 * MS, 0),
        (FINE, -3600 * SECOND, 0),
        (WHOLE, 0, 2000),
        (WHOLE, 1999 * MS, 1),
        (WHOLE, 2000 * MS, 0),
        (-WHOLE, 3600 * SECOND, 0),
    ],
)
def test_how_long_an_edit_might_leave_no_trace(mtime_ns: int, age_ns: int, expected_ms: int) -> None:
    assert unsettled_ns(mtime_ns, mtime_ns + age_ns) == expected_ms * MS


def told(path: Path, now_ns: int = MTIME_NS + SECOND) -> Entry:
    return entry_of("a", path.stat(), now_ns)


def test_a_version_of_a_moment_never_equals_a_later_one(tmp_path: Path) -> None:
    path = lay(tmp_path / "a")
    young, old = told(path, MTIME_NS + MS), told(path)
    assert young.version != old.version
    assert settled(young.version) == settled(old.version) == old.version
    assert is_listed(path.stat(), young)
    assert is_listed(path.stat(), old)
    assert not is_unchanged(path.stat(), young)
    assert is_unchanged(path.stat(), old)


def test_two_looks_in_one_tick_never_tell_one_version(tmp_path: Path) -> None:
    """An edit between them would have left the same time behind."""
    path = lay(tmp_path / "a")
    one, other = told(path, MTIME_NS + MS), told(path, MTIME_NS + MS)
    assert one.version != other.version
    assert settled(one.version) == settled(other.version)
    for entry in (one, other):
        assert is_listed(path.stat(), entry)
        assert not is_unchanged(path.stat(), entry)
    assert is_only_renamed(path.rename(tmp_path / "b").stat(), one)


@pytest.mark.parametrize("mtime_ns", [MTIME_NS, 0, -5, -(10**18), 4 * 10**18])
def test_each_edit_is_another_version(tmp_path: Path, mtime_ns: int) -> None:
    path = lay(tmp_path / "a", b"one", mtime_ns)
    before = told(path)
    assert is_unchanged(path.stat(), before)
    edit(path, b"two", path.stat().st_mtime_ns)  # of the same size, and with its old time
    assert not is_listed(path.stat(), before)
    assert told(path).version != before.version


@pytest.mark.parametrize("mtime_ns", [MTIME_NS, 0, -5, -(10**18)])
def test_a_rename_is_told_from_an_edit(tmp_path: Path, mtime_ns: int) -> None:
    path = lay(tmp_path / "a", b"one", mtime_ns)
    before = told(path)
    renamed = path.rename(tmp_path / "b")
    assert is_only_renamed(renamed.stat(), before)
    os.utime(renamed, ns=(1, mtime_ns + 1))
    assert not is_only_renamed(renamed.stat(), before)


def test_another_size_is_another_version_though_no_time_tells(tmp_path: Path) -> None:
    status = lay(tmp_path / "a").stat()
    listed = replace(told(tmp_path / "a"), size=status.st_size + 1)
    assert not is_listed(status, listed)
    assert not is_only_renamed(status, listed)


def test_another_file_of_the_same_time_and_size_is_another(tmp_path: Path) -> None:
    before = told(lay(tmp_path / "a"))
    other = lay(tmp_path / "b")
    assert not is_listed(other.stat(), before)
    assert not is_only_renamed(other.stat(), before)


@pytest.mark.parametrize("version", ["", "~", "abc", "1-2", '"0123456789abcdef"'])
def test_a_version_of_another_place_fits_nothing(tmp_path: Path, version: str) -> None:
    status = lay(tmp_path / "a").stat()
    entry = replace(told(tmp_path / "a"), version=version)
    assert not is_listed(status, entry)
    assert not is_only_renamed(status, entry)
