"""Every error has a status, every failure an envelope, and nothing unexpected tells of itself."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import kombu.exceptions
import pytest
import redis.exceptions
from django import db
from django.core import exceptions as django_exceptions
from django.core.signals import got_request_exception
from django.http import Http404, HttpRequest
from django.http.request import UnreadablePostError
from django.test import RequestFactory
from pytest_django.fixtures import Settings
from rest_framework import exceptions as api_exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from config import exception_handler
from config.settings.environment import read_environment
from transfers import errors
from transfers.errors import Problem

ALL_ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.CarryonError)]


class PlainView(APIView):
    """A view that speaks RFC 9457, and raises what it is told to."""

    authentication_classes = ()
    permission_classes = ()
    failure: Exception | None = None

    def post(self, request: Request) -> Response:
        if self.failure:
            raise self.failure
        return Response(request.data)


class EnvelopeView(PlainView):
    """A view whose API words its failures in its own way."""

    legacy_fail_status = True

    def envelope(self, problem: Problem) -> dict[str, Any]:
        return {"status": "fail", "errmsg": problem.code.upper(), "errors": dict(problem.errors) or []}


class HonestEnvelopeView(EnvelopeView):
    legacy_fail_status = False


def answer(failure: Exception, view: type[PlainView] = PlainView) -> Response:
    request = APIRequestFactory().post("/path?token=secret", {}, format="json")
    response = view.as_view(failure=failure)(request)
    assert isinstance(response, Response)
    response.render()
    return response


def body(response: Response) -> Any:
    return json.loads(response.rendered_content)


@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_every_error_is_in_the_table(kind: type[errors.CarryonError]) -> None:
    assert kind in exception_handler.STATUSES


def test_the_table_has_no_row_for_nothing() -> None:
    assert set(exception_handler.STATUSES) == set(ALL_ERRORS)


def test_every_error_has_a_code_of_its_own() -> None:
    assert len({kind.code for kind in ALL_ERRORS}) == len(ALL_ERRORS)


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (errors.InvalidInputError({"cid": ["missing"]}), 400, "invalid_input"),
        (errors.NotDownloadingError("none"), 404, "not_downloading"),
        (errors.AlreadyDownloadingError("one"), 409, "already_downloading"),
        (errors.SourceRefusedError("404"), 502, "source_refused"),
        (errors.AddressForbiddenError("10.0.0.1"), 403, "address_forbidden"),
        (errors.OutOfSpaceError("full"), 507, "out_of_space"),
        (errors.FolderUnusableError("gone"), 503, "folder_unusable"),
        (errors.ChecksumMismatchError("md5"), 502, "checksum_mismatch"),
        (errors.StoppedError("aborted"), 409, "stopped"),
        (db.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), 400, "bad_request"),
        (errors.Interrupted(errors.Interruption.STOPPED), 409, "interrupted"),
        (api_exceptions.ParseError(), 400, "parse_error"),
        (api_exceptions.ValidationError({"cid": ["missing"]}), 400, "invalid_input"),
        (api_exceptions.NotAuthenticated(), 403, "not_authenticated"),  # 401 where an authenticator can be asked
        (api_exceptions.PermissionDenied(), 403, "permission_denied"),
        (api_exceptions.NotFound(), 404, "not_found"),
        (api_exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (api_exceptions.NotAcceptable(), 406, "not_acceptable"),
        (api_exceptions.UnsupportedMediaType("text/plain"), 415, "unsupported_media_type"),
        (api_exceptions.Throttled(2.5), 429, "throttled"),
        (Http404("No Download matches the given query."), 404, "not_found"),
        (django_exceptions.PermissionDenied(), 403, "permission_denied"),
        (django_exceptions.RequestDataTooBig(), 413, "too_large"),
        (django_exceptions.TooManyFieldsSent(), 413, "too_large"),
        (django_exceptions.BadRequest(), 400, "bad_request"),
        (django_exceptions.SuspiciousOperation(), 400, "bad_request"),
        (django_exceptions.DisallowedHost(), 400, "unknown_host"),
        (UnreadablePostError("cut"), 400, "body_cut_off"),
        (db.OperationalError("database is locked"), 503, "unavailable"),
        (db.InterfaceError("connection already closed"), 503, "unavailable"),
        (redis.exceptions.ConnectionError(), 503, "unavailable"),
        (redis.exceptions.TimeoutError(), 503, "unavailable"),
        (kombu.exceptions.OperationalError(), 503, "unavailable"),
        (ZeroDivisionError("secret"), 500, "unexpected"),
        (db.IntegrityError("UNIQUE secret"), 500, "unexpected"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_a_failure_becomes(failure: Exception, status: int, code: str) -> None:
    response = answer(failure)

    told = body(response)
    assert response.status_code == told["status"] == status
    assert response["Content-Type"] == "application/problem+json"
    assert told["code"] == code
    assert told["type"] == "about:blank"
    assert told["title"]
    assert told["detail"]
    assert "secret" not in response.rendered_content.decode()


def test_a_later_subclass_takes_the_status_of_its_nearest_known_ancestor() -> None:
    class SourceOnFireError(errors.SourceBusyError):
        code = "on_fire"

    problem = exception_handler.problem_of(SourceOnFireError("smoke"))

    assert (problem.status, problem.code, problem.detail) == (502, "on_fire", "smoke")


@pytest.mark.parametrize(
    ("detail", "by_field"),
    [
        ({"cid": ["missing"]}, {"cid": ["missing"]}),
        ({"cid": "missing"}, {"cid": ["missing"]}),
        (["one", "two"], {"non_field_errors": ["one", "two"]}),
        ("one", {"non_field_errors": ["one"]}),
        ({"a": {"b": ["x"], "c": {"d": ["y"]}}}, {"a.b": ["x"], "a.c.d": ["y"]}),
        ({"items": [{}, {"size": ["too large"]}]}, {"items.1.size": ["too large"]}),
        ({"items": {"0": ["x"]}, "cid": []}, {"items.0": ["x"]}),
    ],
)
def test_messages_are_told_by_field(detail: Any, by_field: Mapping[str, list[str]]) -> None:
    told = body(answer(api_exceptions.ValidationError(detail)))

    assert told["errors"] == by_field
    for name in by_field:
        assert name in told["detail"]


def test_a_failure_without_fields_has_no_errors() -> None:
    assert "errors" not in body(answer(errors.NotDownloadingError("none")))


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [
        (api_exceptions.Throttled(2.5), "3"),
        (api_exceptions.Throttled(), "5"),
        (db.OperationalError(), "5"),
        (errors.FolderUnusableError("gone"), "5"),
    ],
)
def test_who_may_come_back_is_told_when(failure: Exception, seconds: str) -> None:
    assert answer(failure)["Retry-After"] == seconds


def test_an_api_with_an_envelope_fails_in_it() -> None:
    response = answer(errors.InvalidInputError({"cid": ["missing"]}), EnvelopeView)

    assert response.status_code == 400
    assert response["Content-Type"] == "application/json"
    assert body(response) == {"status": "fail", "errmsg": "INVALID_INPUT", "errors": {"cid": ["missing"]}}


@pytest.mark.parametrize(
    ("legacy", "view", "status"),
    [
        (None, EnvelopeView, 404),
        (200, EnvelopeView, 200),
        (200, HonestEnvelopeView, 404),
        (200, PlainView, 404),
    ],
)
def test_the_legacy_status_is_that_of_envelopes_that_ask_for_it(
    legacy: int | None, view: type[PlainView], status: int, settings: Settings
) -> None:
    settings.ENVIRONMENT = read_environment(legacy_fail_status=legacy)

    assert answer(errors.NotDownloadingError("none"), view).status_code == status


@pytest.fixture
def heard() -> Iterator[list[object]]:
    calls: list[object] = []

    def listen(**_: object) -> None:
        calls.append(1)

    got_request_exception.connect(listen)
    yield calls
    got_request_exception.disconnect(listen)


def test_the_unexpected_is_logged_with_its_trace_and_without_the_path(
    caplog: pytest.LogCaptureFixture, heard: list[object]
) -> None:
    answer(ZeroDivisionError("why"))

    [record] = [record for record in caplog.records if record.name == "config.exception_handler"]
    assert record.levelno == logging.ERROR
    assert record.exc_info
    assert "'view': 'unmatched'" in str(record.msg)
    assert "/path" not in str(record.msg)
    assert "token" not in str(record.msg)
    assert heard


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (db.OperationalError("locked"), True),
        (errors.OutOfSpaceError("full"), True),
        (errors.SourceRefusedError("404"), False),
        (errors.NotDownloadingError("none"), False),
    ],
)
def test_an_operator_hears_of_our_side_only(
    failure: Exception,
    told: bool,  # noqa: FBT001 - a table
    caplog: pytest.LogCaptureFixture,
    heard: list[object],
) -> None:
    answer(failure)

    records = [record for record in caplog.records if record.name == "config.exception_handler"]
    assert [record.levelno for record in records] == [logging.WARNING] * told
    assert not heard


@pytest.mark.parametrize(
    "text",
    [
        '{"a": ',
        '{"a": NaN}',
        "[" * 100_000,
        '{"a": "\\ud800"}',
        '{"\\udfff": 1}',
        '{"a": ' + "9" * 5000 + "}",
        b'{"a": "\xff"}',
    ],
    ids=["cut", "NaN", "deep", "surrogate", "surrogate key", "long number", "not utf-8"],
)
def test_what_is_not_json_is_the_callers_fault(text: str | bytes) -> None:
    request = RequestFactory().generic("POST", "/", text, content_type="application/json")

    response = PlainView.as_view()(request)

    assert isinstance(response, Response)
    response.render()
    assert body(response)["code"] == "parse_error"
    assert response.status_code == 400


def test_json_is_taken_with_everything_that_is_text() -> None:
    given = {"a": ["\u0000", "\U0001f600", "é", 1, 1.5, None, True]}
    request = APIRequestFactory().generic("POST", "/", json.dumps(given), content_type="application/json")

    assert PlainView.as_view()(request).data == given


@pytest.mark.parametrize(
    ("respond", "status"),
    [
        (lambda request: exception_handler.bad_request(request, django_exceptions.BadRequest()), 400),
        (lambda request: exception_handler.forbidden(request, django_exceptions.PermissionDenied()), 403),
        (lambda request: exception_handler.not_found(request, Http404()), 404),
    ],
)
@pytest.mark.parametrize(
    ("path", "content_type"), [("/api/nothing", "application/problem+json"), ("/admin/nothing", "text/html")]
)
def test_paths_without_a_view_fail_as_problems_and_pages_as_pages(
    respond: Any, status: int, path: str, content_type: str
) -> None:
    response = respond(RequestFactory().get(path))

    assert response.status_code == status
    assert response["Content-Type"].startswith(content_type)


def fail_outside_a_view(failure: Exception, request: HttpRequest) -> Any:
    try:
        raise failure
    except type(failure):
        return exception_handler.server_error(request)


def test_a_failure_outside_every_view_tells_nothing_of_itself() -> None:
    response = fail_outside_a_view(ZeroDivisionError("secret"), RequestFactory().get("/x"))

    assert response.status_code == 500
    assert json.loads(response.content)["code"] == "unexpected"
    assert b"secret" not in response.content


def test_a_database_that_is_down_outside_every_view_is_unavailable() -> None:
    response = fail_outside_a_view(db.OperationalError("locked"), RequestFactory().get("/x"))

    assert response.status_code == 503
    assert response["Retry-After"] == "5"


def test_a_page_asked_for_what_no_database_can_hold_is_a_bad_request() -> None:
    null = db.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")

    assert fail_outside_a_view(null, RequestFactory().get("/admin/x/")).status_code == 400
    assert fail_outside_a_view(null, RequestFactory().get("/x")).status_code == 400
    assert fail_outside_a_view(ZeroDivisionError("secret"), RequestFactory().get("/admin/x/")).status_code == 500
