"""Every way an upload can fail, in words for a person.

ClientError
├── UsageError              the command cannot be done as it was given
├── StateError              what is remembered of uploads cannot be read or written
├── InUseError              another process is sending the same file
├── FileError               the file cannot be read
│   └── FileChangedError        the file is no longer the one that was begun with
├── TransientError          another try may help; says when
│   ├── UnreachableError        no connection, or no answer on it
│   ├── BusyError               408, 425, 429, 500, 502, 503, 504
│   └── DamagedError            the bytes that arrived are not those that were sent
├── RefusedError            the server says no, and would say it again
│   ├── UnauthorizedError       401, 403
│   ├── NoSuchUploadError       it knows no such upload of ours (any more)
│   ├── UploadEndedError        the upload takes no more parts
│   └── PartsDifferError        it does not hold the parts that the file would be made of
├── NotCarryonError         what answers at the address is no Carryon server
└── UnverifiedError         the whole file that the server has is not the one that was sent

Stopped is no failure: somebody wants to leave.
"""

from __future__ import annotations


class ClientError(Exception):
    """Something could not be done; `code` is stable, for scripts."""

    code = "error"
    for_all = False
    """Whether every other file would fail for the same reason."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UsageError(ClientError):
    """The command cannot be done as it was given."""

    code = "usage"


class StateError(ClientError):
    """What is remembered of unfinished uploads cannot be read or written."""

    code = "state"
    for_all = True


class InUseError(ClientError):
    """Another process is sending the same file at this moment."""

    code = "in_use"


class FileError(ClientError):
    """The file cannot be read."""

    code = "file"


class FileChangedError(FileError):
    """The file is no longer the one whose upload began."""

    code = "file_changed"


class TransientError(ClientError):
    """Another try may help; `retry_after_seconds` is the server's own wish, if it told one."""

    code = "transient"

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnreachableError(TransientError):
    """No connection came about, or it ended without an answer."""

    code = "unreachable"
    for_all = True


class BusyError(TransientError):
    """The server cannot do it now."""

    code = "busy"


class DamagedError(TransientError):
    """The bytes that arrived are not those that were sent."""

    code = "md5_mismatch"


class RefusedError(ClientError):
    """The server says no, and would say it again; `code` is its own, if it told one."""

    code = "refused"

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code or self.code


class UnauthorizedError(RefusedError):
    """The server does not know the token, or does not let its owner do this."""

    code = "unauthorized"
    for_all = True


class NoSuchUploadError(RefusedError):
    """The server knows no such upload of this user (any more)."""

    code = "no_such_upload"


class UploadEndedError(RefusedError):
    """The upload takes no more parts: it is complete, or being removed."""

    code = "upload_ended"


class PartsDifferError(RefusedError):
    """The server does not hold the parts that the file would be made of."""

    code = "parts_differ"


class NotCarryonError(ClientError):
    """What answers at the address is no Carryon server."""

    code = "not_carryon"
    for_all = True


class UnverifiedError(ClientError):
    """The server read the whole file again, and it is not the one that was sent."""

    code = "unverified"


class Stopped(Exception):  # noqa: N818 - a wish obeyed, not an error
    """Somebody wants to leave."""
