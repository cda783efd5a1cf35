"""Whose fault a failure is, and whether to try again."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.apply import Sides
from sync.tasks.trouble import ATTEMPTS, ATTEMPTS_AT_DAMAGE, SAME_FAILURES, Trouble, attempts_at, may_pass
from transfers.engine.tree.local import LocalTree
from transfers.engine.tree.memory import MemoryTree
from transfers.errors import (
    ChangedElsewhereError,
    ChecksumMismatchError,
    FolderUnusableError,
    IncompleteFileError,
    OutOfSpaceError,
    SinkError,
    SourceBusyError,
    SourceInterruptedError,
    SourceRefusedError,
    SourceUnreachableError,
    TransferError,
)

PASSING = [SourceBusyError("503"), SourceUnreachableError("no"), SourceInterruptedError("reset"), SinkError("500")]


@pytest.fixture
def up(tmp_path: Path) -> Sides:
    return Sides(LocalTree(tmp_path, tmp_path.parent / "staging"), MemoryTree())  # which is like a store


@pytest.fixture
def down(up: Sides) -> Sides:
    return Sides(up.loser, up.winner)


def for_all(error: TransferError) -> TransferError:
    error.is_for_all = True
    return error


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        *((error, ATTEMPTS) for error in PASSING),
        (IncompleteFileError(""), ATTEMPTS),
        (ChecksumMismatchError(""), ATTEMPTS_AT_DAMAGE),
        (SourceRefusedError(""), 1),
        (ChangedElsewhereError(""), 1),
        (FolderUnusableError(""), 1),
        (OutOfSpaceError(""), 1),
    ],
    ids=lambda value: getattr(value, "code", value),
)
def test_how_often_a_file_is_tried(error: TransferError, attempts: int) -> None:
    assert attempts_at(error) == attempts
    assert may_pass(error) == (error in PASSING)


@pytest.mark.parametrize("error", [SinkError("500"), SourceBusyError("503"), SourceUnreachableError("no")])
@pytest.mark.parametrize("is_patient", [True, False])
def test_a_store_that_is_away(up: Sides, error: TransferError, *, is_patient: bool) -> None:
    """The job waits at once where it may, and otherwise ends once so many files have failed alike."""
    trouble = Trouble(up, is_patient=is_patient)
    told = [trouble.is_the_places(error, trouble.worked) for _ in range(SAME_FAILURES)]
    assert told == [True] * SAME_FAILURES if is_patient else [*[False] * (SAME_FAILURES - 1), True]


def test_a_store_that_has_worked_meanwhile_is_not_away(up: Sides) -> None:
    trouble = Trouble(up, is_patient=True)
    worked = trouble.worked
    trouble.note_work()
    assert not trouble.is_the_places(SinkError("500"), worked)


def test_others_files_that_worked_in_between_begin_the_row_anew(up: Sides) -> None:
    trouble = Trouble(up, is_patient=False)
    for _ in range(3 * SAME_FAILURES):
        assert not trouble.is_the_places(SinkError("500"), 0)
        trouble.note_work()


def test_so_do_other_failures(up: Sides) -> None:
    trouble = Trouble(up, is_patient=False)
    errors = [SinkError("500"), SourceBusyError("503")] * SAME_FAILURES
    assert not any(trouble.is_the_places(error, 0) for error in errors)


def test_the_line_to_a_store_that_is_read(down: Sides) -> None:
    trouble = Trouble(down, is_patient=True)
    assert trouble.is_the_places(SourceInterruptedError("reset"), 0)
    assert not trouble.is_the_places(SinkError("the disk's"), 0)


@pytest.mark.parametrize("error", [SourceInterruptedError("the disk's"), SourceRefusedError("no"), TransferError("")])
def test_what_cannot_be_read_of_a_disk_is_files_own_trouble(up: Sides, error: TransferError) -> None:
    trouble = Trouble(up, is_patient=True)
    assert not any(trouble.is_the_places(error, 0) for _ in range(3 * SAME_FAILURES))


@pytest.mark.parametrize(
    "error",
    [for_all(SourceRefusedError("expired")), for_all(FolderUnusableError("expired")), OutOfSpaceError("full")],
    ids=lambda error: error.code,
)
def test_what_is_said_to_all_ends_the_job_at_once(up: Sides, error: TransferError) -> None:
    trouble = Trouble(up, is_patient=False)
    trouble.note_work()
    assert trouble.is_the_places(error, 0)


@pytest.mark.parametrize("has_worked", [True, False])
def test_folders_that_cannot_be_used(up: Sides, *, has_worked: bool) -> None:
    """Where anything works, it is a folder in the place, and not the place."""
    trouble = Trouble(up, is_patient=True)
    if has_worked:
        trouble.note_work()
    told = [trouble.is_the_places(FolderUnusableError("no"), 0) for _ in range(SAME_FAILURES)]
    assert told == [*[False] * (SAME_FAILURES - 1), not has_worked]
