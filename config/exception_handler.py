"""What a client is told when a request fails: the one table from error to HTTP status, and the envelope it comes in."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import kombu.exceptions
import redis.exceptions
import structlog
from django import db
from django.conf import settings
from django.core import exceptions as django_exceptions
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.views import defaults
from rest_framework import exceptions as api_exceptions
from rest_framework.response import Response

from config import throttles, tracing
from tasks_api import envelope as tasks_envelope
from transfers import errors
from transfers.errors import Envelope, Problem

logger = structlog.get_logger(__name__)

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = 5
"""When to come back to a part of ours that is down: about what the supervisor needs to start it again."""

PATH_ENVELOPES: Mapping[str, Callable[[Problem, str], dict[str, Any]]] = {
    tasks_envelope.PREFIX: tasks_envelope.failure_for,
}
"""How failures are worded below a path also where no view answers; given the problem and `Accept-Language`."""

OUR_FAULT = frozenset(
    (HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE)
)
"""The statuses that an operator must hear of."""

STATUSES: Mapping[type[errors.CarryonError], HTTPStatus] = {
    errors.CarryonError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidInputError: HTTPStatus.BAD_REQUEST,
    errors.NotDownloadingError: HTTPStatus.NOT_FOUND,
    errors.AlreadyDownloadingError: HTTPStatus.CONFLICT,
    errors.NoSuchUploadError: HTTPStatus.NOT_FOUND,
    errors.UploadEndedError: HTTPStatus.CONFLICT,
    errors.PartsDifferError: HTTPStatus.CONFLICT,
    errors.SizeDiffersError: HTTPStatus.CONFLICT,
    errors.PartChecksumError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.QuotaExceededError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.OrderTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.NoAddressesError: HTTPStatus.CONFLICT,
    errors.NoSuchTaskError: HTTPStatus.NOT_FOUND,
    errors.TaskCompletedError: HTTPStatus.CONFLICT,
    errors.TaskBehindError: HTTPStatus.CONFLICT,
    errors.TaskSupersededError: HTTPStatus.CONFLICT,
    errors.SourceIncompleteError: HTTPStatus.CONFLICT,
    errors.NotGrantedError: HTTPStatus.FORBIDDEN,
    errors.NoSuchCaseError: HTTPStatus.NOT_FOUND,
    errors.NoSuchJobError: HTTPStatus.NOT_FOUND,
    errors.AlreadySyncingError: HTTPStatus.CONFLICT,
    errors.NotSyncingError: HTTPStatus.CONFLICT,
    errors.CaseDiffersError: HTTPStatus.CONFLICT,
    errors.UnknownRegionError: HTTPStatus.BAD_REQUEST,
    errors.CaseApiError: HTTPStatus.BAD_GATEWAY,
    errors.NoSuchFolderError: HTTPStatus.NOT_FOUND,
    errors.NoSuchFileError: HTTPStatus.NOT_FOUND,
    errors.NoSuchListError: HTTPStatus.NOT_FOUND,
    errors.NoSuchOrderError: HTTPStatus.NOT_FOUND,
    errors.JobEndedError: HTTPStatus.CONFLICT,
    errors.NotStreamableError: HTTPStatus.CONFLICT,
    errors.ZipPendingError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ChecksumsPendingError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Interrupted: HTTPStatus.CONFLICT,
    errors.TransferError: HTTPStatus.BAD_GATEWAY,
    errors.SourceError: HTTPStatus.BAD_GATEWAY,
    errors.SourceUnreachableError: HTTPStatus.BAD_GATEWAY,
    errors.SourceInterruptedError: HTTPStatus.BAD_GATEWAY,
    errors.BodyCutOffError: HTTPStatus.BAD_REQUEST,
    errors.SourceBusyError: HTTPStatus.BAD_GATEWAY,
    errors.SourceRefusedError: HTTPStatus.BAD_GATEWAY,
    errors.SourceGoneError: HTTPStatus.BAD_GATEWAY,
    errors.SourceChangedError: HTTPStatus.BAD_GATEWAY,
    errors.SourceProtocolError: HTTPStatus.BAD_GATEWAY,
    errors.RangesContradictError: HTTPStatus.BAD_GATEWAY,
    errors.MemberError: HTTPStatus.BAD_GATEWAY,
    errors.WrongBlockError: HTTPStatus.BAD_GATEWAY,
    errors.AddressForbiddenError: HTTPStatus.FORBIDDEN,
    errors.ChecksumMismatchError: HTTPStatus.BAD_GATEWAY,
    errors.ChangedElsewhereError: HTTPStatus.CONFLICT,
    errors.EmptySideError: HTTPStatus.CONFLICT,
    errors.StoppedError: HTTPStatus.CONFLICT,
    errors.SinkError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.IncompleteFileError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.OutOfSpaceError: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.OverQuotaError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.FolderUnusableError: HTTPStatus.SERVICE_UNAVAILABLE,
}

FOREIGN: tuple[tuple[tuple[type[Exception], ...], HTTPStatus, str, str], ...] = (
    ((Http404,), HTTPStatus.NOT_FOUND, "not_found", "There is nothing here."),
    ((django_exceptions.PermissionDenied,), HTTPStatus.FORBIDDEN, "permission_denied", "You may not do this."),
    (
        (
            django_exceptions.RequestDataTooBig,
            django_exceptions.TooManyFieldsSent,
            django_exceptions.TooManyFilesSent,
        ),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too_large",
        "The request's body is too large.",
    ),
    (
        (django_exceptions.DisallowedHost,),
        HTTPStatus.BAD_REQUEST,
        "unknown_host",
        "The service does not go by this host name; its operator can add it to ALLOWED_HOSTS.",
    ),
    (
        (django_exceptions.BadRequest, django_exceptions.SuspiciousOperation),
        HTTPStatus.BAD_REQUEST,
        "bad_request",
        "The request cannot be understood.",
    ),
    (
        (db.DataError,),  # PostgreSQL's word for a null character, above all
        HTTPStatus.BAD_REQUEST,
        "bad_request",
        "The request holds a value that no database can hold.",
    ),
    ((UnreadablePostError,), HTTPStatus.BAD_REQUEST, "body_cut_off", "The request's body did not arrive whole."),
    (
        (
            db.OperationalError,
            db.InterfaceError,
            redis.exceptions.ConnectionError,
            redis.exceptions.TimeoutError,
            kombu.exceptions.OperationalError,
        ),
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        "A part of the service is down; try again.",
    ),
    (
        (Exception,),
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "unexpected",
        "Something unexpected went wrong; it has been logged.",
    ),
)
"""Exceptions of the libraries below, with what a client is told of them; the first row that fits is taken."""


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> Response:
    """Answer for a view of the API, in its own envelope and, where an old client needs it, its own status."""
    problem = problem_of(exc)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        exc = throttles.refused_unknown(throttles.address_of(context["request"])) or exc
        problem = problem_of(exc)
    if problem.status in OUR_FAULT:
        tell(exc, problem, tracing.view_of(context["request"].resolver_match))
    view = context["view"]
    envelope: Envelope | None = getattr(view, "envelope", None)
    if envelope is None:
        return Response(
            problem_json(problem), problem.status, headers=_headers(exc, problem), content_type=PROBLEM_JSON
        )
    legacy = settings.ENVIRONMENT.legacy_fail_status if getattr(view, "legacy_fail_status", False) else None
    return Response(envelope(problem), legacy or problem.status, headers=_headers(exc, problem))


def tell(exc: Exception, problem: Problem, view: str) -> None:
    """Log what an operator must hear of, with a trace only where nobody foresaw it; called while it is handled.

    Not the path, nor an error's own text: both are made of what clients send, patients' names among it.
    """
    unexpected = problem.status == HTTPStatus.INTERNAL_SERVER_ERROR
    log = logger.exception if unexpected else logger.warning
    log("request failed", view=view, status=problem.status, code=problem.code, error=type(exc).__name__)
    if unexpected:
        got_request_exception.send(sender=None)  # Django's own reporters and test client listen


def problem_of(exc: Exception) -> Problem:
    """What to tell a client about any exception; what nobody foresaw is a 500 that tells nothing of itself."""
    if isinstance(exc, errors.CarryonError):
        status = next(STATUSES[kind] for kind in type(exc).__mro__ if kind in STATUSES)
        found = problem(status, exc.message, exc.code, _errors_of(exc))
        return dataclasses.replace(found, more=_more_of(exc))
    if isinstance(exc, api_exceptions.ValidationError):
        return problem_of(errors.InvalidInputError(_by_field(exc.detail)))
    if isinstance(exc, api_exceptions.APIException):
        return problem(HTTPStatus(exc.status_code), str(exc.detail), str(exc.get_codes()))
    status, code, detail = next(row[1:] for row in FOREIGN if isinstance(exc, row[0]))
    return problem(status, detail, code)


def _errors_of(exc: errors.CarryonError) -> dict[str, list[str]]:
    if isinstance(exc, errors.PartsDifferError):
        return {f"parts.{number}": [what] for number, what in exc.differences.items()}
    return exc.errors if isinstance(exc, errors.InvalidInputError) else {}


def _more_of(exc: errors.CarryonError) -> dict[str, int]:
    return {"size": exc.size, "limit": exc.limit} if isinstance(exc, errors.OrderTooLargeError) else {}


def problem(status: HTTPStatus, detail: str, code: str, by_field: Mapping[str, list[str]] | None = None) -> Problem:
    """Make a problem whose title is the status's own phrase."""
    return Problem(status=status.value, title=status.phrase, detail=detail, code=code, errors=by_field or {})


def worded(problem: Problem, path: str, accept_language: str) -> tuple[dict[str, Any], str]:
    """Word a problem for whoever asked for the path, where no view does; the body, and its media type."""
    for prefix, envelope in PATH_ENVELOPES.items():
        if f"{path}/".startswith(prefix):
            return envelope(problem, accept_language), "application/json"
    return problem_json(problem), PROBLEM_JSON


def problem_json(problem: Problem) -> dict[str, Any]:
    """Word a problem as RFC 9457 does, with `code` and, when there are any, numbers and `errors` besides."""
    body: dict[str, Any] = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    return body | dict(problem.more) | ({"errors": dict(problem.errors)} if problem.errors else {})


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that never reached a view because it is malformed."""
    return defaults.bad_request(request, exception) if _is_page(request) else _answer(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that a plain Django view refused."""
    return defaults.permission_denied(request, exception) if _is_page(request) else _answer(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer for a path that leads nowhere."""
    return defaults.page_not_found(request, exception) if _is_page(request) else _answer(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer when something outside the API's views failed; Django logs it by the answer's status."""
    failure = sys.exc_info()[1]
    if not isinstance(failure, Exception):
        return defaults.server_error(request)
    if not _is_page(request):
        return _answer(request, failure)
    at_fault = problem_of(failure).status == HTTPStatus.BAD_REQUEST
    return defaults.bad_request(request, failure) if at_fault else defaults.server_error(request)


def _is_page(request: HttpRequest) -> bool:
    """Whether people look at the answer in a browser."""
    return request.path.startswith("/admin/")


def _answer(request: HttpRequest, exc: Exception) -> HttpResponse:
    problem = problem_of(exc)
    body, media_type = worded(problem, request.path, request.headers.get("Accept-Language", ""))
    return JsonResponse(body, status=problem.status, headers=_headers(exc, problem), content_type=media_type)


def _headers(exc: Exception, problem: Problem) -> dict[str, str]:
    headers = {}
    if challenge := getattr(exc, "auth_header", None):  # set by the view, on a 401
        headers["WWW-Authenticate"] = challenge
    if problem.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = retry_after(exc)
    return headers


def retry_after(exc: Exception | None) -> str:
    """The seconds after which to come back, as the header has them."""
    return str(math.ceil(getattr(exc, "wait", None) or RETRY_AFTER_SECONDS))


def _by_field(detail: object, name: str = "") -> dict[str, list[str]]:
    """Flatten the framework's nested messages: one list of texts a field, inner fields as `outer.inner`."""
    if isinstance(detail, Mapping):
        inner: list[tuple[object, object]] = list(detail.items())
    elif isinstance(detail, list) and not all(isinstance(item, str) for item in detail):
        inner = list(enumerate(detail))
    else:
        texts = detail if isinstance(detail, list) else [detail]
        return {name or "non_field_errors": [str(text) for text in texts]} if texts else {}
    flat: dict[str, list[str]] = {}
    for key, value in inner:
        flat |= _by_field(value, f"{name}.{key}" if name else str(key))
    return flat
