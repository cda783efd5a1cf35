"""Every way in which a request to the store fails, in the words of `transfers.errors`: foreign exceptions end here.

Of the store's answer only its code is shown: the rest may quote keys, signatures and addresses.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TypeVar

import urllib3.exceptions
from botocore import exceptions as boto

from transfers.engine.s3.client import READ_TIMEOUT_SECONDS, S3Place
from transfers.errors import (
    CarryonError,
    ChangedElsewhereError,
    FolderUnusableError,
    InvalidInputError,
    OutOfSpaceError,
    SinkError,
    SourceBusyError,
    SourceChangedError,
    SourceError,
    SourceGoneError,
    SourceInterruptedError,
    SourceProtocolError,
    SourceRefusedError,
    SourceUnreachableError,
    TooLargeError,
    UploadEndedError,
)

RefusalT = TypeVar("RefusalT", FolderUnusableError, SourceRefusedError)

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
_BUSY_NAMES = ("RequestTimeout", "ConditionalRequestConflict", "OperationAborted")
"""What comes with other statuses, and passes too (docs: Amazon S3 error responses)."""
_UNKNOWN_CONDITION = ("NotImplemented", "InvalidArgument", "InvalidRequest", "UnsupportedOperation")
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired")
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

_EXPLAINED: Mapping[str, str] = {
    "AccessDenied": "these credentials may not do that",
    "NoSuchBucket": "there is no such bucket",
    "PermanentRedirect": "the bucket is in another region",
    "AuthorizationHeaderMalformed": "the bucket is in another region",
    "RequestTimeTooSkewed": "this computer's clock and the store's differ too much",
    "InvalidAccessKeyId": "the store does not know these credentials",
    "SignatureDoesNotMatch": "the secret key is wrong",
    **dict.fromkeys(_EXPIRED, "the credentials have expired"),
}
"""What people can do something about, by the store's code."""

_FOR_ALL = frozenset(_EXPLAINED) - {"AccessDenied"}  # which may be said of one object

_NAMED: Mapping[str, Callable[[str], CarryonError]] = {
    "NoSuchUpload": lambda _: UploadEndedError("The storage has no such upload (any more)."),
    "EntityTooSmall": lambda _: InvalidInputError(
        {"parts": [f"Every part but the last must have at least {MIN_PART_BYTES} bytes (5 MiB) here."]}
    ),
    "EntityTooLarge": lambda told: TooLargeError(f"The storage takes no part or file of this size ({told})."),
    "PreconditionFailed": lambda told: ChangedElsewhereError(f"it is not what it was: {told}"),
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
    if isinstance(error, (*_NO_CREDENTIALS, *_MISCONFIGURED)) or _refuses(status) or code_of(error) in _EXPLAINED:
        return _refusal(FolderUnusableError, error, told)
    return SinkError(told)


def source_failure(error: BaseException, place: S3Place) -> SourceError:
    """What a foreign exception is to a person who fetches bytes."""
    status, told = status_of(error), _told(error, place)
    if status in (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
        return SourceChangedError(f"the file was changed: {told}")
    if status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR or code_of(error) in _BUSY_NAMES:
        return SourceBusyError(told, _retry_after_seconds(error))
    if is_gone(error):
        return SourceGoneError(told)
    if status >= HTTPStatus.MULTIPLE_CHOICES or isinstance(error, (*_NO_CREDENTIALS, *_MISCONFIGURED)):
        return _refusal(SourceRefusedError, error, told)
    if isinstance(error, _UNREACHABLE):
        return SourceUnreachableError(told)
    return (SourceProtocolError if isinstance(error, KeyError) else SourceInterruptedError)(told)


def _refusal(kind: type[RefusalT], error: BaseException, told: str) -> RefusalT:
    """A refusal of this kind, which knows whether all else would be refused, too."""
    refusal = kind(told)
    refusal.is_for_all = code_of(error) in _FOR_ALL or isinstance(error, (*_NO_CREDENTIALS, *_MISCONFIGURED))
    return refusal


def _retry_after_seconds(error: BaseException) -> float | None:
    """When the store wishes to be asked again."""
    headers = (
        error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}) if isinstance(error, boto.ClientError) else {}
    )
    told = str(headers.get("retry-after", ""))
    return float(told) if re.fullmatch(r"[0-9]{1,9}", told) else None


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


def is_gone(error: BaseException) -> bool:
    """Whether the store has no such object; some say only that in answer to a condition, without a code (swift)."""
    return status_of(error) == HTTPStatus.NOT_FOUND and code_of(error) in ("NoSuchKey", "404")


def knows_no_condition(error: boto.ClientError) -> bool:
    """Whether the store refuses because it does not know the condition that it was given, and did nothing."""
    status = status_of(error)
    is_unknown = status == HTTPStatus.BAD_REQUEST and code_of(error) in _UNKNOWN_CONDITION
    return status == HTTPStatus.NOT_IMPLEMENTED or is_unknown


def _told(error: BaseException, place: S3Place) -> str:
    """The failure in words that tell no secret."""
    if isinstance(error, boto.ClientError):
        code = "" if code_of(error).isdecimal() else f"{code_of(error)} "
        why = f": {_EXPLAINED[code_of(error)]}" if code_of(error) in _EXPLAINED else ""
        return f"{place} answers {code}(HTTP {status_of(error)}){why}"
    if isinstance(error, KeyError):
        return f"{place} gives an answer without its {error.args[0]}"
    text = next(
        (text for kinds, text in _WORDS if isinstance(error, kinds)), "the connection to {place} broke ({kind})"
    )
    return text.format(place=place, kind=type(error).__name__, seconds=READ_TIMEOUT_SECONDS)
