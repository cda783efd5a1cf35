"""What goes wrong while files are brought: whether to try again, and whose fault it is, the file's or the place's."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

from transfers.errors import (
    AddressForbiddenError,
    ChangedElsewhereError,
    ChecksumMismatchError,
    FolderUnusableError,
    IncompleteFileError,
    OutOfSpaceError,
    SinkError,
    SourceBusyError,
    SourceChangedError,
    SourceError,
    SourceInterruptedError,
    SourceRefusedError,
    SourceUnreachableError,
)

if TYPE_CHECKING:
    from sync.apply import Sides
    from transfers.errors import CarryonError, TransferError

ATTEMPTS = 5
"""How often a file is tried within one sync."""
ATTEMPTS_AT_DAMAGE = 2
"""How often a file is that turns out damaged: it may have been on its way, but hardly twice."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
MAX_FRUITLESS = 5
"""Times that a job is handed back because its places do not answer, without any file in between, before it fails."""
SAME_FAILURES = 10
"""Files that fail alike, one after another, before the place itself is taken to be at fault."""
_HOPELESS = (
    SourceRefusedError,
    AddressForbiddenError,
    OutOfSpaceError,
    FolderUnusableError,
    ChangedElsewhereError,
    SourceChangedError,
)
_PASSING = (SourceBusyError, SourceUnreachableError, SourceInterruptedError)


def attempts_at(error: TransferError) -> int:
    """How often a file is tried that fails so."""
    if isinstance(error, ChecksumMismatchError):
        return ATTEMPTS_AT_DAMAGE
    return 1 if isinstance(error, _HOPELESS) and not isinstance(error, IncompleteFileError) else ATTEMPTS


def pause_seconds(error: TransferError, attempt: int) -> float:
    """How long to wait before the next attempt at a file."""
    asked = (error.retry_after_seconds or 0.0) if isinstance(error, SourceBusyError) else 0.0
    backoff = FIRST_PAUSE_SECONDS * 2.0**attempt * random.uniform(0.5, 1)  # noqa: S311
    return min(max(backoff, asked), LONGEST_PAUSE_SECONDS)


def may_pass(error: CarryonError) -> bool:
    """Whether a place that fails so may be back soon."""
    return isinstance(error, _PASSING) or type(error) is SinkError


class Trouble:
    """The failures of one process's share of a job, held together: what fails all files is no fault of theirs."""

    def __init__(self, sides: Sides, *, is_patient: bool) -> None:
        """`is_patient`: the job may be handed back, to be gone on with later."""
        self._sides, self._is_patient = sides, is_patient
        self._lock = threading.Lock()
        self._code, self._in_a_row = "", 0
        self.worked = 0
        """How often anything has worked."""
        self.failure: TransferError | None = None
        """What the job is to end with, or to wait for."""

    def note_work(self) -> None:
        """Something has worked: the place is there."""
        with self._lock:
            self.worked += 1
            self._in_a_row = 0

    def is_the_places(self, error: TransferError, worked: int) -> bool:
        """Whether it is the place that has failed a file, which had its last attempt; so the job is to end, or to wait.

        `worked` is how often anything had when the file was tried first.
        """
        with self._lock:
            self._in_a_row = self._in_a_row + 1 if error.code == self._code else 1
            self._code = error.code
            many = self._in_a_row >= SAME_FAILURES
            if isinstance(error, FolderUnusableError) and not error.is_for_all:
                return many and not self.worked  # or else they are files of a folder in it
            if error.is_for_all or not self._is_of_a_store(error):
                return error.is_for_all
            return many or (self._is_patient and self.worked == worked)

    def _is_of_a_store(self, error: TransferError) -> bool:
        """Whether it is a store that was away: a file on a disk that cannot be read has trouble of its own."""
        side = self._sides.winner if isinstance(error, SourceError) else self._sides.loser
        is_remote = side.checks_what_it_takes or isinstance(error, SourceBusyError | SourceUnreachableError)
        return may_pass(error) and is_remote
