"""Every way the service can say no; each error has a stable code, and never an HTTP status.

CarryonError
├── InvalidInputError               a field of the caller's is not acceptable
├── NotDownloadingError             no such download is running
├── AlreadyDownloadingError         another download writes the same file
├── NoSuchUploadError               no upload that is the caller's has this id
├── UploadEndedError                the upload is complete, or is being removed: it takes no more parts
├── PartsDifferError                the parts to complete an upload from are not the stored ones
├── SizeDiffersError                all parts together are not as large as was told beforehand
├── PartChecksumError               the bytes of a part do not have the MD5 that came with them
├── TooLargeError                   more bytes than the service takes
│   ├── QuotaExceededError              more bytes than the user may have here
│   └── OrderTooLargeError              an order of more bytes than one zip may have
├── NoAddressesError                the storage gives out no addresses of its own
├── NoSuchTaskError                 no task, or source of tasks, that is the caller's has this id
├── TaskCompletedError              the task is completed, which is final
├── TaskBehindError                 the task is further than what is reported of it
├── TaskSupersededError             the user downloads the source in another task by now
├── SourceIncompleteError           the source's public block is not there yet
├── NotGrantedError                 the source's owner has not granted it to the caller
├── NoSuchCaseError                 no case that is the caller's has this id or name
├── NoSuchJobError                  no sync job that is the caller's has this id
├── AlreadySyncingError             the case is being synced already; says in which job
├── NotSyncingError                 the sync job is not live
├── CaseDiffersError                a case of this id or name is known otherwise than it is asked for
├── UnknownRegionError              no cloud is configured for the region
├── CaseApiError                    the case API does not answer, or answers what it should not
├── NoSuchFolderError               no folder that the caller may see has this id
├── NoSuchFileError                 no stored file that the caller may see has this id
├── NoSuchListError                 the download list is somebody else's
├── NoSuchOrderError                no order that is the caller's has this id
├── JobEndedError                   the job of a list or an order has ended: nothing is left to stop
├── NotStreamableError              an order's zip is not known before a worker has made it
├── ZipPendingError                 an order's zip is being made without files that are gone
├── ChecksumsPendingError           an order's zip cannot be laid out yet: checksums are still being taken
├── Interrupted                     the transfer was told to end; says why
└── TransferError                   what ends an attempt to move bytes
    ├── SourceError                 the other side failed
    │   ├── SourceUnreachableError      unknown name, refused connection, TLS failure
    │   ├── SourceInterruptedError      reset, time-out, stall, short body
    │   │   └── BodyCutOffError                 a request's body ended before its end
    │   ├── SourceBusyError             408, 425, 429, 5xx; may say when to come back
    │   ├── SourceRefusedError          any other 4xx, a redirect that leads nowhere
    │   │   └── SourceGoneError             there is no such file, or object, of ours any more
    │   ├── SourceChangedError          its validator or size is not the one we began with
    │   ├── SourceProtocolError         an answer that contradicts HTTP or itself
    │   │   └── RangesContradictError       a range that is not the one that was asked for
    │   ├── MemberError                 a file of an archive failed; says which
    │   ├── WrongBlockError             what a gateway sent is not the block that was asked for
    │   └── AddressForbiddenError       an address or scheme that may not be fetched
    ├── ChecksumMismatchError       the bytes are not the ones that were promised
    ├── ChangedElsewhereError       what was to be replaced or removed is not what it was
    ├── EmptySideError              files were to be deleted because a side has none at all
    ├── StoppedError                somebody stopped the transfer while its beginning was awaited
    └── SinkError                   our own side failed
        ├── IncompleteFileError         a file was to appear that is not whole
        ├── OutOfSpaceError             no space, or over the quota of the file system
        ├── OverQuotaError              the file is more than its user may have here
        └── FolderUnusableError         the folder is missing, forbidden or not ours
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class CarryonError(Exception):
    """Something the service refuses or failed to do, in words for a person."""

    code = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInputError(CarryonError):
    """A field of the request is not acceptable: `errors` maps each field to its messages."""

    code = "invalid_input"

    def __init__(self, errors: Mapping[str, Sequence[str]]) -> None:
        super().__init__("; ".join(f"{name}: {' '.join(texts)}" for name, texts in errors.items()))
        self.errors = {name: list(texts) for name, texts in errors.items()}


class NotDownloadingError(CarryonError):
    """No download that the payload names is running."""

    code = "not_downloading"


class AlreadyDownloadingError(CarryonError):
    """A live download already writes the file that this one would write."""

    code = "already_downloading"


class NoSuchUploadError(CarryonError):
    """The caller has no upload with this id (any more)."""

    code = "no_such_upload"


class UploadEndedError(CarryonError):
    """The upload takes no more parts: it is complete, or is being completed or removed."""

    code = "upload_ended"


class PartsDifferError(CarryonError):
    """The parts to complete an upload from are not those that are stored.

    `differences` says of each part at odds what is wrong with it, by number.
    """

    code = "parts_differ"

    def __init__(self, differences: Mapping[int, str]) -> None:
        told = "; ".join(f"part {number} {what}" for number, what in differences.items())
        super().__init__(f"The parts are not those that are stored: {told}.")
        self.differences = dict(differences)

    @classmethod
    def between(cls, expected: Mapping[int, str], stored: Mapping[int, str]) -> PartsDifferError | None:
        """Compare the MD5s of parts, by number from 1 without a gap; None when they are the same."""
        numbers = {*expected, *stored, *range(1, max(expected, default=1) + 1)}
        differences = {number: cls._difference(expected.get(number), stored.get(number)) for number in sorted(numbers)}
        found = {number: what for number, what in differences.items() if what}
        return cls(found) if found else None

    @staticmethod
    def _difference(expected: str | None, stored: str | None) -> str:
        if stored is None:
            return "is missing"
        if expected is None:
            return "is stored, but not listed"
        return "" if expected == stored else "is stored with another MD5"


class SizeDiffersError(CarryonError):
    """All parts together do not have the size that was told beforehand."""

    code = "size_differs"


class PartChecksumError(CarryonError):
    """The bytes of a part do not have the MD5 that came with them; nothing was stored."""

    code = "md5_mismatch"


class TooLargeError(CarryonError):
    """More bytes than the service takes."""

    code = "too_large"


class QuotaExceededError(TooLargeError):
    """More bytes than the user may have here."""

    code = "quota_exceeded"


class OrderTooLargeError(TooLargeError):
    """The order's files have more bytes than one zip may have; `size` and `limit` in bytes."""

    code = "order_too_large"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"The files of this order have {size} bytes, the limit is {limit}: order a part of the list.")
        self.size = size
        self.limit = limit


class NoAddressesError(CarryonError):
    """The storage has no addresses of its own to give out; bytes go through the service."""

    code = "no_addresses"


class NoSuchTaskError(CarryonError):
    """The caller has no task, or may see no source, with this id."""

    code = "no_such_task"


class TaskCompletedError(CarryonError):
    """The task is completed: no report changes it any more."""

    code = "task_completed"


class TaskBehindError(CarryonError):
    """The task is further than what is reported of it; only one that failed may go back."""

    code = "task_behind"


class TaskSupersededError(CarryonError):
    """The task failed, and its user has begun another one for the same source."""

    code = "task_superseded"


class SourceIncompleteError(CarryonError):
    """The source's public block has not been uploaded yet, so that nothing can be downloaded."""

    code = "source_incomplete"


class NotGrantedError(CarryonError):
    """The caller has no grant for the source."""

    code = "not_granted"


class NoSuchCaseError(CarryonError):
    """No case that is the caller's has this id or name."""

    code = "no_such_case"


class NoSuchJobError(CarryonError):
    """No sync job that is the caller's has this id."""

    code = "no_such_job"


class AlreadySyncingError(CarryonError):
    """The case is being synced already."""

    code = "already_syncing"

    def __init__(self, job_id: str) -> None:
        super().__init__("The case is being synced already.")
        self.job_id = job_id


class NotSyncingError(CarryonError):
    """The sync job is not live, so there is nothing to stop."""

    code = "not_syncing"


class CaseDiffersError(CarryonError):
    """A case of this id or name is known otherwise than it is asked for."""

    code = "case_differs"


class UnknownRegionError(CarryonError):
    """No cloud is configured for the region."""

    code = "unknown_region"


class CaseApiError(CarryonError):
    """The case API does not answer, or answers what it should not."""

    code = "case_api_failed"


class NoSuchFolderError(CarryonError):
    """No folder that the caller may see has this id."""

    code = "no_such_folder"


class NoSuchFileError(CarryonError):
    """No stored file that the caller may see has this id."""

    code = "no_such_file"


class NoSuchListError(CarryonError):
    """The download list is somebody else's, or nobody's."""

    code = "no_such_list"


class NoSuchOrderError(CarryonError):
    """No order that is the caller's has this id."""

    code = "no_such_order"


class JobEndedError(CarryonError):
    """The job of a list or an order has ended, so there is nothing to stop."""

    code = "job_ended"


class NotStreamableError(CarryonError):
    """Files of the order are to be compressed, so that its zip is not known before a worker has made it."""

    code = "not_streamable"


class ChecksumsPendingError(CarryonError):
    """The order's zip cannot be laid out before the checksums of all of its files are taken; that passes."""

    code = "checksums_pending"


class ZipPendingError(CarryonError):
    """Files of the order are gone, and its zip is being made without them: until then it is not known."""

    code = "zip_pending"


class Interruption(enum.StrEnum):
    """Why a transfer was told to end before it was done."""

    STOPPED = "stopped"  # its owner asked for it
    FENCED = "fenced"  # somebody else holds the lease now: write nothing more
    DRAINING = "draining"  # this worker is leaving
    SLICED = "sliced"  # its slice of time is over and others are waiting


class Interrupted(CarryonError):  # noqa: N818 - a request obeyed, not an error
    """The transfer ended because it was told to."""

    code = "interrupted"

    def __init__(self, reason: Interruption) -> None:
        super().__init__(reason.value)
        self.reason = reason


class TransferError(CarryonError):
    """An attempt to move bytes ended without the file."""

    code = "transfer_failed"
    is_for_all = False
    """Whether whatever else is asked of the place will be refused alike: it is full, or knows us no more."""


class SourceError(TransferError):
    """The source failed."""

    code = "source_failed"


class SourceUnreachableError(SourceError):
    """No connection came about: the name is unknown, the connection refused, or TLS failed."""

    code = "source_unreachable"


class SourceInterruptedError(SourceError):
    """The source went away or fell silent while its bytes were awaited."""

    code = "source_interrupted"


class BodyCutOffError(SourceInterruptedError):
    """The body of a request ended, or fell silent, before all of it had come."""

    code = "body_cut_off"


class SourceBusyError(SourceError):
    """The source asks for another try later; `retry_after_seconds` is its own wish, if it told one."""

    code = "source_busy"

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class SourceRefusedError(SourceError):
    """The source will not give the file, however often it is asked."""

    code = "source_refused"


class SourceGoneError(SourceRefusedError):
    """The place where the file lay, a folder or a store of ours, has none of this name."""

    code = "source_gone"


class SourceChangedError(SourceError):
    """The file at the source is no longer the one whose bytes we have."""

    code = "source_changed"


class SourceProtocolError(SourceError):
    """The source's answer contradicts its protocol or itself, so its bytes cannot be placed."""

    code = "source_protocol"


class RangesContradictError(SourceProtocolError):
    """The source answers a range with something else than that range, so its ranges cannot be trusted."""

    code = "ranges_contradict"


class MemberError(SourceError):
    """A file that an archive is made of cannot be read, or is not the one it was; the others may well be.

    `number` is its place in the archive's layout, from 0, and `cause` says what happened, so also whether to try again.
    Of an error that was made again from a row, neither is known.
    """

    code = "member_failed"

    def __init__(self, message: str, number: int | None = None, cause: SourceError | None = None) -> None:
        super().__init__(message)
        self.number = number
        self.cause = cause

    @classmethod
    def of(cls, number: int, cause: SourceError) -> MemberError:
        """The failure of the member with this number."""
        return cls(f"file {number + 1} of the archive: {cause.message}", number, cause)


class WrongBlockError(SourceError):
    """What a gateway sent is not the block that was asked for; nothing of it was kept."""

    code = "wrong_block"


class AddressForbiddenError(SourceError):
    """The URL, or a redirect from it, leads to an address that may not be fetched."""

    code = "address_forbidden"


class ChecksumMismatchError(TransferError):
    """The bytes that arrived are not the bytes that were promised."""

    code = "checksum_mismatch"


class ChangedElsewhereError(TransferError):
    """What was to be replaced or removed has changed since it was listed; nothing was done."""

    code = "changed_elsewhere"


class EmptySideError(TransferError):
    """Deleting what the winning side has not would delete everything: it is empty, or not there."""

    code = "empty_side"


class StoppedError(TransferError):
    """The transfer was stopped by somebody while somebody else awaited its beginning."""

    code = "stopped"


class SinkError(TransferError):
    """The place the bytes go to failed."""

    code = "sink_failed"


class IncompleteFileError(SinkError):
    """The file was to appear, but bytes of it are missing."""

    code = "incomplete_file"


class OutOfSpaceError(SinkError):
    """The file system that the bytes go to is full."""

    code = "out_of_space"
    is_for_all = True


class OverQuotaError(SinkError):
    """The bytes are more than their user may have here."""

    code = "over_quota"


class FolderUnusableError(SinkError):
    """The folder that the bytes go to cannot be used."""

    code = "folder_unusable"


def _with_subclasses(error: type[TransferError]) -> list[type[TransferError]]:
    return [error, *(below for child in error.__subclasses__() for below in _with_subclasses(child))]


TRANSFER_CODES: Mapping[str, type[TransferError]] = {error.code: error for error in _with_subclasses(TransferError)}
"""What a failed transfer's row keeps of its error, by code."""


def transfer_error(code: str, message: str) -> TransferError:
    """Make the error that a failed transfer ended with out of what its row keeps of it."""
    return TRANSFER_CODES.get(code, TransferError)(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A refusal as a client is told of it: what the project's one table makes of any exception."""

    status: int
    """HTTP status."""
    title: str
    detail: str
    """In words for a person; never a trace, a secret or a query string."""
    code: str
    """Stable: the error's own, or the framework's."""
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Messages by field, for input; an inner field's name has dots in it."""
    more: Mapping[str, int] = field(default_factory=dict)
    """Numbers that a program may want of it, by name."""
    type: str = "about:blank"
    """A URI (RFC 9457); with `about:blank` the title is the status's own."""


Envelope = Callable[[Problem], dict[str, Any]]
"""How an API words its failures; a view's `envelope` is one (a method or a staticmethod), or RFC 9457 speaks for it."""
