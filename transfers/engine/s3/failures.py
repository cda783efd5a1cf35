"""Every way in which a request to the store fails, in the words of `transfers.errors`: foreign exceptions end here.

Of the store's answer only its code is shown: the rest may quote keys, signatures and addresses.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

import urllib3.exceptions
from botocore import exceptions as boto

from transfers.engine.s3.client import READ_TIMEOUT_SECONDS, S3Place
from transfers.errors import (
    CarryonError,
    FolderUnusableError,
    InvalidInputError,
    OutOfSpaceError,
    SinkError,
    SourceBusyError,
    SourceChangedError,
    SourceError,
    SourceInterruptedError,
    SourceProtocolError,
    SourceRefusedError,
    SourceUnreachableError,
    TooLargeError,
    UploadEndedError,
)

FOREIGN = (
    boto.BotoCoreError,
    boto.ClientError,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    KeyError,
)
"""What botocore raises, and beneath an answer's body urllib3, http.client and the socket; and what an answer lacks."""

MIN_PART_BYTES = 5 * 2**20
"""What every part but the last needs on Amazon's S3 (docs: Amazon S3 multipart upload limits)."""

_BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
_UNREACHABLE = (
    boto.EndpointConnectionError,
    boto.ConnectTimeoutError,
    boto.ProxyConnectionError,
    boto.SSLError,
)
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
)
_MISCONFIGURED = (
    boto.ParamValidationError,
    boto.NoRegionError,
    boto.InvalidRegionError,
    boto.ProfileNotFound,
    boto.ConfigParseError,
    boto.EndpointProviderError,
)
_SILENT = (boto.ReadTimeoutError, urllib3.exceptions.TimeoutError, TimeoutError)
_WORDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    (_NO_CREDENTIALS, "there are no credentials for {place}"),
    (_MISCONFIGURED, "the settings for {place} are not usable ({kind})"),
    (_UNREACHABLE, "{place} cannot be reached ({kind})"),
    (_SILENT, "{place} was silent for {seconds:g} s"),
)

_NAMED: Mapping[str, Callable[[str], CarryonError]] = {
    "NoSuchUpload": lambda _: UploadEndedError("The storage has no such upload (any more)."),
    "EntityTooSmall": lambda _: InvalidInputError(
        {"parts": [f"Every part but the last must have at least {MIN_PART_BYTES} bytes (5 MiB) here."]}
    ),
    "EntityTooLarge": lambda told: TooLargeError(f"The storage takes no part or file of this size ({told})."),
    "QuotaExceeded": lambda told: OutOfSpaceError(f"no space is left: {told}"),
    "XMinioStorageFull": lambda told: OutOfSpaceError(f"no space is left: {told}"),
    "XMinioAdminBucketQuotaExceeded": lambda told: OutOfSpaceError(f"no space is left: {told}"),
}


@contextmanager
def sink_failures(place: S3Place) -> Iterator[None]:
    """Tell what goes wrong while bytes go to the store, or are looked after there, as what it means for a transfer."""
    try:
        yield
    except FOREIGN as error:
        raise sink_failure(error, place) from None  # what botocore says may quote addresses and signatures


@contextmanager
def source_failures(place: S3Place) -> Iterator[None]:
    """Tell what goes wrong while bytes come from the store as what it means for a transfer."""
    try:
        yield
    except FOREIGN as error:
        raise source_failure(error, place) from None


def code_of(error: BaseException) -> str:
    """The store's own code for its refusal; "" for none, and for one that does not look like any."""
    if not isinstance(error, boto.ClientError):
        return ""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code if re.fullmatch(r"[A-Za-z0-9]{1,60}", code) else ""


def sink_failure(error: BaseException, place: S3Place) -> CarryonError:
    """What a foreign exception is to a person who sends bytes."""
    status, told = status_of(error), _told(error, place)
    if (make := _NAMED.get(code_of(error))) is not None:
        return make(told)
    if status == HTTPStatus.INSUFFICIENT_STORAGE:
        return OutOfSpaceError(f"no space is left: {told}")
    if isinstance(error, (*_NO_CREDENTIALS, *_MISCONFIGURED)) or _refuses(status):
        return FolderUnusableError(told)
    return SinkError(told)


def source_failure(error: BaseException, place: S3Place) -> SourceError:
    """What a foreign exception is to a person who fetches bytes."""
    status, told = status_of(error), _told(error, place)
    if status in (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
        return SourceChangedError(f"the file was changed: {told}")
    if status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return SourceBusyError(told)
    if status >= HTTPStatus.MULTIPLE_CHOICES or isinstance(error, (*_NO_CREDENTIALS, *_MISCONFIGURED)):
        return SourceRefusedError(told)
    if isinstance(error, _UNREACHABLE):
        return SourceUnreachableError(told)
    return (SourceProtocolError if isinstance(error, KeyError) else SourceInterruptedError)(told)


def _refuses(status: int) -> bool:
    """Whether the answer is to us and our settings, and will be the same the next time."""
    return status in (
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
    )


def status_of(error: BaseException) -> int:
    """The answer's HTTP status, 0 where there was no answer."""
    if not isinstance(error, boto.ClientError):
        return 0
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _told(error: BaseException, place: S3Place) -> str:
    """The failure in words that tell no secret."""
    if isinstance(error, boto.ClientError):
        code = "" if code_of(error).isdecimal() else f"{code_of(error)} "
        return f"{place} answers {code}(HTTP {status_of(error)})"
    if isinstance(error, KeyError):
        return f"{place} gives an answer without its {error.args[0]}"
    text = next(
        (text for kinds, text in _WORDS if isinstance(error, kinds)), "the connection to {place} broke ({kind})"
    )
    return text.format(place=place, kind=type(error).__name__, seconds=READ_TIMEOUT_SECONDS)
