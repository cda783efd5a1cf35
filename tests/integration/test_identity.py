"""Every form of identity of the contract, against the web process as it is shipped, over real sockets."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.integration.conftest import PASSWORD, Web

TIMEOUT_SECONDS = 10

HEADER_FORMS = [
    pytest.param(lambda token: {"Authorization": f"Token {token}"}, id="Authorization: Token"),
    pytest.param(lambda token: {"Authorization": f"Bearer {token}"}, id="Authorization: Bearer"),
    pytest.param(lambda token: {"X-Access-Token": token}, id="X-Access-Token"),
    pytest.param(lambda token: {"Token": token}, id="Token"),
    pytest.param(lambda token: {"HTTP_TOKEN": token}, id="HTTP_TOKEN"),
    pytest.param(lambda token: {"Cookie": f"X-Access-Token={token}"}, id="cookie"),
]
Form = Callable[[str], dict[str, str]]


def who(web: Web, headers: Mapping[str, str], method: str = "GET") -> requests.Response:
    return requests.request(method, f"{web.url}/test/who", headers=dict(headers), timeout=TIMEOUT_SECONDS)


def listen(web: Web, query: str = "", **options: Any) -> AbstractContextManager[ClientConnection]:
    listener: ClientConnection = connect(f"{web.events_url}{query}", open_timeout=TIMEOUT_SECONDS, **options)
    return listener


@pytest.fixture
def session(web: Web) -> requests.Session:
    """A browser's cookies after root has logged in at the admin."""
    session = requests.Session()
    page = f"{web.url}/admin/login/"
    session.get(page, timeout=TIMEOUT_SECONDS).raise_for_status()
    form = {"username": "root", "password": PASSWORD, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    response = session.post(page, data=form, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    assert response.status_code == 302
    return session


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("form", HEADER_FORMS)
def test_a_token_is_taken_in_every_form(form: Form, method: str, web: Web) -> None:
    assert who(web, form(web.token), method).json()["user"] == "ann"


@pytest.mark.parametrize("form", HEADER_FORMS)
def test_a_wrong_token_is_refused_in_every_form(form: Form, web: Web) -> None:
    response = who(web, form("0" * 64))

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="carryon"'
    assert response.headers["Content-Type"] == "application/problem+json"


def test_nobody_is_refused(web: Web) -> None:
    assert who(web, {}).status_code == 401
    assert requests.get(f"{web.url}/api/file/download", timeout=TIMEOUT_SECONDS).status_code == 401


def test_staff_are_staff(web: Web) -> None:
    assert who(web, {"Token": web.staff_token}).json() == {"user": "root", "staff": True}
    assert who(web, {"Token": web.token}).json() == {"user": "ann", "staff": False}


def test_a_token_ends_when_it_expires_or_is_revoked_or_its_user_is_locked_out(web: Web) -> None:
    expired, revoked, kept = (web.new_token("--user", "bob", "--expires-days", "1") for _ in range(3))
    web.write("UPDATE knox_authtoken SET expiry = '2020-01-01 00:00:00' WHERE token_key = ?", expired[:15])
    web.write("DELETE FROM knox_authtoken WHERE token_key = ?", revoked[:15])

    assert [who(web, {"Token": token}).status_code for token in (expired, revoked, kept)] == [401, 401, 200]

    web.write("UPDATE auth_user SET is_active = 0 WHERE username = 'bob'")
    assert who(web, {"Token": kept}).status_code == 401


def test_a_session_reads_freely_and_writes_with_its_csrf_token_only(web: Web, session: requests.Session) -> None:
    page = f"{web.url}/test/who"

    assert session.get(page, timeout=TIMEOUT_SECONDS).json()["user"] == "root"
    assert session.post(page, timeout=TIMEOUT_SECONDS).status_code == 403

    session.headers["X-CSRFToken"] = session.cookies["csrftoken"]
    assert session.post(page, timeout=TIMEOUT_SECONDS).json()["user"] == "root"

    session.headers["Origin"] = "https://evil.example"
    assert session.post(page, timeout=TIMEOUT_SECONDS).status_code == 403


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "{url}"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_the_token_cookie_is_taken_from_this_site_only(
    headers: dict[str, str], status: int, method: str, web: Web
) -> None:
    sent = {name: value.format(url=web.url) for name, value in headers.items()}

    assert who(web, {"Cookie": f"X-Access-Token={web.token}", **sent}, method).status_code == status


@pytest.mark.parametrize("form", HEADER_FORMS)
def test_a_socket_takes_a_token_in_every_form_too(form: Form, web: Web) -> None:
    with listen(web, additional_headers=form(web.token)) as socket:
        socket.ping().wait(TIMEOUT_SECONDS)


def test_a_socket_takes_a_token_in_the_query(web: Web) -> None:
    with listen(web, f"?cid=a&token={web.token}") as socket:
        assert socket.subprotocol is None


def test_a_socket_takes_a_token_among_the_subprotocols(web: Web) -> None:
    offered = [Subprotocol("carryon"), Subprotocol(f"token.{web.token}")]

    with listen(web, subprotocols=offered) as socket:
        assert socket.subprotocol == "carryon"


def test_a_socket_takes_a_session_of_the_same_origin(web: Web, session: requests.Session) -> None:
    cookie = {"Cookie": f"sessionid={session.cookies['sessionid']}"}

    with listen(web, additional_headers=cookie, origin=web.url) as socket:
        socket.ping().wait(TIMEOUT_SECONDS)

    with pytest.raises(InvalidStatus) as denied, listen(web, additional_headers=cookie, origin="https://evil.example"):
        pass
    assert denied.value.response.status_code == 403


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", {}),
        ("?token=nonsense", {}),
        ("", {"subprotocols": ["carryon", "token.nonsense"]}),
        ("", {"additional_headers": {"Authorization": "Token nonsense"}}),
        ("", {"additional_headers": {"Cookie": "sessionid=nonsense"}}),
    ],
)
def test_a_socket_of_nobody_is_never_open(query: str, options: dict[str, Any], web: Web) -> None:
    with pytest.raises(InvalidStatus) as denied, listen(web, query, **options):
        pass

    response = denied.value.response
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="carryon"'
    assert response.headers["Content-Type"] == "application/problem+json"


def test_no_token_and_no_query_is_ever_logged(web: Web) -> None:
    with listen(web, f"?token={web.token}"):
        pass
    for query in ("?token=query-of-bad-token", "?%74oken=query-in-disguise"):
        with pytest.raises(InvalidStatus), listen(web, query):
            pass
    for path in ("livez", "nothing", "test/crash", "test/fail/unknown", "admin/login/"):
        requests.get(f"{web.url}/{path}?token={web.token}&q=query-of-http", timeout=TIMEOUT_SECONDS)
    time.sleep(0.2)  # the log is another process's

    log = web.log()
    assert "ZeroDivisionError" in log
    assert "/ws/events/" in log
    assert web.token not in log
    assert "query-" not in log
