"""Whatever fails under `/api/v1/`, and wherever, fails in the one envelope and in the client's language."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

import pytest
import requests
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client

from tasks_api import wording
from tasks_api.services import task as tasks
from tests.integration.conftest import Web
from tests.integration.tasks_api.rows import client_of
from tests.integration.transfers.rows import new_user

TIMEOUT_SECONDS = 10
UPLOADS = "/api/v1/tasks/upload/pbulic/"
JSON = "application/json"
HAN = re.compile(r"[\u4e00-\u9fff]")


def failed(answer: Any, status: int, *, english: bool = False) -> dict[str, Any]:
    """Check that it is a failure in its envelope and language; its body."""
    content_type = answer.headers["Content-Type"]
    told: dict[str, Any] = json.loads(answer.content)
    assert (answer.status_code, content_type) == (status, JSON), told
    assert (set(told), told["data"]) == ({"data", "message", "errors"}, None)
    assert bool(HAN.search(told["message"])) != english, told["message"]
    assert all(bool(HAN.search(text)) != english for texts in told["errors"].values() for text in texts), told
    return told


@pytest.fixture
def ann() -> User:
    return new_user("ann")


FAILURES: dict[str, tuple[int, str, str, dict[str, Any]]] = {
    "unknown-path": (404, "GET", "/api/v1/nothing", {}),
    "no-path": (404, "GET", "/api/v1/", {}),
    "no-path-and-slash": (404, "GET", "/api/v1", {}),
    "unknown-path-posted": (404, "POST", "/api/v1/tasks/upload/none/", {"data": "{}", "content_type": JSON}),
    "no-id": (404, "GET", f"{UPLOADS}x", {}),
    "unknown-id": (404, "GET", f"{UPLOADS}999999", {}),
    "method": (405, "PUT", UPLOADS, {}),
    "method-options": (405, "OPTIONS", UPLOADS, {}),
    "method-delete": (405, "DELETE", f"{UPLOADS}1", {}),
    "method-of-its-own": (405, "BREW", UPLOADS, {}),
    "media-type": (415, "POST", UPLOADS, {"data": "<a/>", "content_type": "text/xml"}),
    "no-media-type": (415, "POST", UPLOADS, {"data": "a", "content_type": ""}),
    "acceptable": (406, "GET", UPLOADS, {"HTTP_ACCEPT": "text/csv"}),
    "format": (404, "GET", f"{UPLOADS}?format=xml", {}),
    "json-cut": (400, "POST", UPLOADS, {"data": '{"series_id": 1', "content_type": JSON}),
    "json-deep": (400, "POST", UPLOADS, {"data": "[" * 100_000, "content_type": JSON}),
    "json-surrogate": (400, "POST", UPLOADS, {"data": '{"uuid": "\\ud800"}', "content_type": JSON}),
    "json-bytes": (400, "POST", UPLOADS, {"data": b"\xff\xfe", "content_type": JSON}),
    "json-long-number": (400, "POST", UPLOADS, {"data": '{"series_id": ' + "9" * 5000 + "}", "content_type": JSON}),
    "form-without-boundary": (400, "POST", UPLOADS, {"data": "a", "content_type": "multipart/form-data"}),
    "form-cut": (400, "POST", UPLOADS, {"data": "--b\r\nContent-D", "content_type": "multipart/form-data; boundary=b"}),
    "long-json": (413, "POST", UPLOADS, {"data": '{"uuid": "' + "x" * 2**20 + '"}', "content_type": JSON}),
    "long-form": (413, "POST", UPLOADS, {"data": "x" * 2**21, "content_type": "application/x-www-form-urlencoded"}),
    "many-fields": (413, "POST", UPLOADS, {"data": "&a" * 2000, "content_type": "application/x-www-form-urlencoded"}),
    "many-parameters": (413, "GET", f"{UPLOADS}?{'&a' * 2000}", {}),
    "fields": (400, "POST", UPLOADS, {"data": "{}", "content_type": JSON}),
    "no-object": (400, "POST", UPLOADS, {"data": "[]", "content_type": JSON}),
}


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["", "en"])
@pytest.mark.parametrize("case", FAILURES.values(), ids=FAILURES)
def test_every_failure_is_in_the_envelope(case: tuple[int, str, str, dict[str, Any]], language: str, ann: User) -> None:
    status, method, path, options = case
    api = client_of(ann, **({"Accept-Language": language} if language else {}))
    failed(api.generic(method, path, **options), status, english=bool(language))


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["zh", "en"])
def test_who_is_not_known_is_asked_in_the_envelope(language: str, ann: User) -> None:
    for client in (
        Client(),
        Client(headers={"HTTP_TOKEN": "wrong"}),
        Client(headers={"Authorization": "Bearer \u00e9"}),
    ):
        answer = client.patch(f"{UPLOADS}1", "{", content_type=JSON, headers={"Accept-Language": language})
        failed(answer, 401, english=language == "en")
        assert answer["WWW-Authenticate"] == 'Bearer realm="carryon"'
    browser = Client(enforce_csrf_checks=True, headers={"Accept-Language": language})
    browser.force_login(ann)
    failed(browser.post(UPLOADS, {}), 403, english=language == "en")


@pytest.mark.django_db
@pytest.mark.parametrize(("failure", "status"), [(OperationalError("locked"), 503), (ZeroDivisionError("secret"), 500)])
def test_what_is_our_fault_is_in_the_envelope_too(
    failure: Exception, status: int, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(tasks, "listed", fail)
    api = client_of(ann)
    api.raise_request_exception = False
    answer = api.get(UPLOADS)
    assert "secret" not in failed(answer, status)["message"]
    assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.django_db
def test_an_unknown_host_is_told_in_the_envelope(ann: User) -> None:
    failed(client_of(ann).get(UPLOADS, headers={"Host": "evil.example"}), 400)


@pytest.mark.django_db
def test_fields_are_worded_in_the_clients_language(ann: User) -> None:
    told = {"series_id": "x", "uuid": "a\0", "source_name": ["a"]}
    for language in ("zh-CN,en;q=0.5", "en"):
        answer = client_of(ann).post(UPLOADS, told, content_type=JSON, headers={"Accept-Language": language})
        body = failed(answer, 400, english=language == "en")
        assert set(body["errors"]) == set(told)
        assert all(name in body["message"] for name in told)
        assert answer["Content-Language"] == ("en" if language == "en" else "zh-CN")


@pytest.mark.django_db
def test_names_of_states_are_in_the_clients_language(ann: User) -> None:
    api = client_of(ann)

    def names(language: str) -> list[str]:
        choices = api.get("/api/v1/tasks/downloads", headers={"Accept-Language": language}).json()["meta"][
            "status_choices"
        ]
        return [choice["name"] for choice in choices]

    assert names("zh") == [wording.STATUS_NAMES[code][0] for code in (0, 4, 5, 6, 7, 8, 9)]
    assert names("en-GB") == [wording.STATUS_NAMES[code][1] for code in (0, 4, 5, 6, 7, 8, 9)]


def test_the_servers_edge_refuses_in_the_envelope(web: Web) -> None:
    def chunks() -> Any:
        for _ in range(20):
            yield b"x" * 2**17

    for language in ("zh", "en"):
        headers = {"HTTP_TOKEN": web.token, "Accept-Language": language, "Content-Type": JSON}
        answer = requests.post(f"{web.url}{UPLOADS}", data=chunks(), headers=headers, timeout=TIMEOUT_SECONDS)
        failed(answer, 413, english=language == "en")
        answer = requests.post(f"{web.url}{UPLOADS}", data=b"x" * 2**21, headers=headers, timeout=TIMEOUT_SECONDS)
        failed(answer, 413, english=language == "en")
    request = f"POST {UPLOADS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{"
    with socket.create_connection(web.address, TIMEOUT_SECONDS) as connection:
        connection.sendall(request.encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(2**16), b""))
    assert not answer or (b" 400 " in answer and b'"errors": {}' in answer)
