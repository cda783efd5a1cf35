"""What stands between strangers and the service: the shipped web process under low limits, and what it lets through."""

from __future__ import annotations

import concurrent.futures
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import connect
from websockets.typing import Origin

from config import headers
from tests.integration.conftest import PASSWORD, Web
from tests.servers import embedded_broker, manage, web_server

PROXY = {"X-Forwarded-For": "198.51.100.1"}
TOO_MANY = 429
PATIENCE_SECONDS = 60
_addresses = itertools.count(1)
_OPERATORS = """
from django.contrib.auth.models import User
for name in ("root", "ops"):
    User.objects.create_superuser(name, password={password!r})
"""
_USERS = """
from django.contrib.auth.models import User
from knox.models import AuthToken
for number in range(40):
    user = User.objects.create(username=f"user-{number}")
    print(*(AuthToken.objects.create(user)[1] for _ in range(2)))
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A service whose limits are soon reached, behind a proxy on this machine."""
    data_dir = tmp_path_factory.mktemp("guarded")
    variables = {
        "TRUSTED_PROXIES": "127.0.0.1",
        "LOGIN_FAILURES": "3",
        "LOGIN_LOCKOUT_MINUTES": "10",
        "RATE_LIMIT_LOGIN": "8/hour",
        "RATE_LIMIT_ANONYMOUS": "6/hour",
        "RATE_LIMIT_START": "5/hour",
        "RATE_LIMIT_REQUESTS": "20/hour",
        "CORS_ALLOWED_ORIGINS": "https://app.example",
    }
    with embedded_broker(data_dir), web_server(data_dir, **variables) as url:
        manage(data_dir, "shell", "-v", "0", "-c", _OPERATORS.format(password=PASSWORD))
        yield Web(url, data_dir, "", "")


@pytest.fixture(scope="module")
def tokens(guarded: Web) -> Iterator[list[str]]:
    """Two tokens each of users who have asked for nothing yet."""
    return iter([line.split() for line in manage(guarded.data_dir, "shell", "-v", "0", "-c", _USERS).splitlines()])


@pytest.fixture
def address() -> str:
    """Where nobody has come from yet."""
    number = next(_addresses)
    return f"203.0.{number // 250}.{number % 250}"


@pytest.fixture
def token(tokens: Iterator[list[str]]) -> str:
    """Of a user who has asked for nothing yet."""
    return next(tokens)[0]


def log_in(  # noqa: PLR0917 - the first four as they are said
    web: Web, name: str, password: str, address: str, path: str = "/login/", agent: str = "test"
) -> requests.Response:
    session = requests.Session()
    session.headers.update({"X-Forwarded-For": address, "User-Agent": agent})
    page = session.get(f"{web.url}{path}")
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert found, page.text[:500]
    form = {"username": name, "password": password, "csrfmiddlewaretoken": found[1], "next": "/admin/"}
    return session.post(f"{web.url}{path}", data=form, allow_redirects=False)


def api(web: Web, token: str, path: str, method: str = "GET", **options: object) -> requests.Response:
    headers = {**PROXY, "Authorization": f"Token {token}", **options.pop("headers", {})}  # type: ignore[dict-item]
    return requests.request(method, f"{web.url}{path}", headers=headers, timeout=PATIENCE_SECONDS, **options)  # type: ignore[arg-type]


def shaken(web: Web, headers: dict[str, str]) -> Response:
    """The answer to a handshake."""
    try:
        with connect(web.events_url, additional_headers=headers) as socket:
            assert socket.response
            return socket.response
    except InvalidStatus as refused:
        return refused.response


# Passwords -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/login/", "/login", "/admin/login/"])
@pytest.mark.parametrize("name", ["root", "nobody"])
def test_after_some_wrong_passwords_a_user_is_locked_out_from_there(
    guarded: Web, address: str, path: str, name: str
) -> None:
    answers = [log_in(guarded, name, f"wrong {turn}", address, path, f"agent {turn}") for turn in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, TOO_MANY]
    assert answers[-1].headers["Retry-After"] == "600"
    assert "Try again in 10 minutes" in answers[-1].text
    right = log_in(guarded, name, PASSWORD, address, path)
    assert right.status_code == TOO_MANY
    assert name not in right.text
    assert log_in(guarded, "root", PASSWORD, f"{address}9").status_code == 302
    assert log_in(guarded, "ops", PASSWORD, address).status_code == 302


def test_the_answers_for_known_and_unknown_users_are_the_same(guarded: Web, address: str) -> None:
    def told(name: str) -> list[tuple[int, str]]:
        answers = [log_in(guarded, name, "wrong", address) for _ in range(4)]
        return [(answer.status_code, re.sub(r'value="\w*"', "", answer.text)) for answer in answers]

    assert told("root") == told("toor")


def test_a_client_cannot_pass_for_another_by_what_it_says(guarded: Web, address: str) -> None:
    for turn in range(3):
        answer = log_in(guarded, "root", "wrong", f"6.6.6.{turn}, {address}")
    assert answer.status_code == TOO_MANY
    assert log_in(guarded, "root", PASSWORD, f"9.9.9.9, {address}").status_code == TOO_MANY
    assert log_in(guarded, "root", PASSWORD, f"{address}, 203.0.200.1").status_code == 302


def test_of_ipv6_a_whole_network_is_locked_out(guarded: Web) -> None:
    for turn in range(3):
        answer = log_in(guarded, "root", "wrong", f"2001:db8:7:7::{turn}")
    assert answer.status_code == TOO_MANY
    assert log_in(guarded, "root", PASSWORD, "2001:db8:7:7:ffff::1").status_code == TOO_MANY
    assert log_in(guarded, "root", PASSWORD, "2001:db8:7:8::1").status_code == 302


def test_an_address_may_try_only_so_many_passwords_whoever_it_names(guarded: Web, address: str) -> None:
    paths = itertools.cycle(["/login/", "/login", "/admin/login/"])
    answers = [log_in(guarded, f"name-{turn}", "wrong", address, next(paths)) for turn in range(10)]
    assert [answer.status_code for answer in answers] == [200] * 8 + [TOO_MANY] * 2
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_guesses_made_at_once_are_no_more(guarded: Web, address: str) -> None:
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda turn: log_in(guarded, "ops", f"wrong {turn}", address), range(24)))
    assert sum(answer.status_code == 200 for answer in answers) <= 8
    assert log_in(guarded, "ops", PASSWORD, address).status_code == TOO_MANY


def test_an_operator_sees_who_is_locked_out_and_unlocks(guarded: Web, address: str) -> None:
    for turn in range(3):
        log_in(guarded, "ops", f"secret typed {turn}", address, agent=f"agent {turn}")
    session = requests.Session()
    session.cookies.update(log_in(guarded, "root", PASSWORD, "203.0.210.1").cookies)
    page_url = f"{guarded.url}/admin/axes/accessattempt/"
    page = session.get(f"{page_url}?q={address}")
    assert page.text.count("locked out") >= 3
    assert "secret typed" not in page.text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    rows = re.findall(r'name="_selected_action" value="(\d+)"', page.text)
    assert token
    assert len(rows) == 3
    form = {"csrfmiddlewaretoken": token[1], "action": "unlock", "_selected_action": rows[0]}
    assert f"Unlocked: ops from {address}." in session.post(page_url, data=form).text
    assert log_in(guarded, "ops", PASSWORD, address).status_code == 302


def test_no_log_holds_what_was_typed(guarded: Web, address: str) -> None:
    log_in(guarded, "my-password-in-the-wrong-field", "hunter2-typed", address)
    assert "my-password-in-the-wrong-field" not in guarded.log()
    assert "hunter2-typed" not in guarded.log()


# Rates ---------------------------------------------------------------------------------------------------------------


def test_a_user_may_ask_for_only_so_much(guarded: Web, token: str, tokens: Iterator[list[str]]) -> None:
    variants = itertools.cycle(["/files/", "/files", "/files/usage", "/api/v1/users/me/", "/api/v1/users/me"])
    answers = [api(guarded, token, next(variants)) for _ in range(24)]
    assert [answer.status_code for answer in answers] == [200] * 20 + [TOO_MANY] * 4
    assert all(0 < int(answer.headers["Retry-After"]) <= 180 for answer in answers[20:])
    assert api(guarded, next(tokens)[0], "/files/").status_code == 200


def test_several_tokens_of_a_user_count_together(guarded: Web, tokens: Iterator[list[str]]) -> None:
    both = itertools.cycle(next(tokens))
    answers = [api(guarded, next(both), "/files/") for _ in range(22)]
    assert [answer.status_code for answer in answers].count(TOO_MANY) == 2


def test_a_handshake_counts_as_a_request(guarded: Web, token: str) -> None:
    known = {**PROXY, "Authorization": f"Token {token}"}
    answers = [shaken(guarded, known) for _ in range(19)]
    assert api(guarded, token, "/files/").status_code == 200
    answers += [shaken(guarded, known) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [101] * 19 + [TOO_MANY] * 2
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 180
    assert json.loads(answers[-1].body)["code"] == "throttled"
    assert api(guarded, token, "/files/").status_code == TOO_MANY


def test_who_opens_sockets_as_nobody_is_refused_as_one_too(guarded: Web, address: str, token: str) -> None:
    nobody = {"X-Forwarded-For": address, "Authorization": "Token nonsense"}
    assert [shaken(guarded, nobody).status_code for _ in range(8)] == [401] * 6 + [TOO_MANY] * 2
    assert shaken(guarded, {**nobody, "Authorization": f"Token {token}"}).status_code == 101


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/files/", {"status", "code", "title", "type", "detail"}),
        ("/api/v1/users/me/", {"data", "message", "errors"}),
        ("/api/file/download", {"status", "errmsg", "errors", "errDev"}),
        ("/api/file/raylinksync/x", {"status", "errmsg"}),
    ],
)
def test_a_refusal_is_worded_as_each_api_words_them(guarded: Web, token: str, path: str, told: set[str]) -> None:
    for _ in range(20):
        api(guarded, token, "/files/")
    answer = api(guarded, token, path)
    assert (answer.status_code, set(answer.json())) == (TOO_MANY, told)
    assert "Retry-After" in answer.headers


def test_work_is_begun_only_so_often_and_nothing_comes_of_the_rest(guarded: Web, token: str) -> None:
    payload = {"fileUrl": "http://127.0.0.1:1/film.mov", "cid": "studio"}
    answers = [
        api(
            guarded,
            token,
            path,
            "POST",
            json={**payload, "fid": str(turn), "outputFolder": str(turn)},
            headers={"Prefer": "respond-async"},
        )
        for turn, path in enumerate(["/api/file/download", "/api/file/download/"] * 4)
    ]
    assert [answer.status_code for answer in answers] == [202] * 5 + [TOO_MANY] * 3
    assert api(guarded, token, "/api/file/download").json()["data"]["count"] == 5


def test_parts_of_uploads_are_never_counted(guarded: Web, token: str) -> None:
    url = "/ehealth-base/multipart/upload"

    def step(**fields: object) -> requests.Response:
        file = fields.pop("file", None)
        files = {**{name: (None, str(value)) for name, value in fields.items()}}
        return api(guarded, token, url, "POST", files={**files, **({"file": ("x", file)} if file else {})})

    begun = step(option="initiate", catalog="doc", fileName="x.bin")
    number = begun.json()["fileId"]
    for part in range(1, 41):
        assert step(fileId=number, part=part, file=b"x" * 10).status_code == 200
    assert api(guarded, token, f"{url}/{number}").status_code == 200
    begun_more = [step(option="initiate", catalog="doc", fileName="x.bin") for _ in range(6)]
    assert [answer.status_code for answer in begun_more] == [200] * 4 + [TOO_MANY] * 2


def test_strangers_are_refused_in_short_and_nobody_else_is(guarded: Web, token: str, address: str) -> None:
    def ask(authorization: str, path: str) -> requests.Response:
        headers = {"X-Forwarded-For": address, **({"Authorization": authorization} if authorization else {})}
        return requests.get(f"{guarded.url}{path}", headers=headers, timeout=PATIENCE_SECONDS)

    tries = [ask(f"Token guess-{turn}" if turn % 2 else "", "/files/") for turn in range(9)]
    assert [answer.status_code for answer in tries] == [401] * 6 + [TOO_MANY] * 3
    assert all("Retry-After" in answer.headers for answer in tries[6:])
    assert ask(f"Token {token}", "/files/").status_code == 200
    assert requests.get(f"{guarded.url}/livez", timeout=PATIENCE_SECONDS).status_code == 200


# Other origins -------------------------------------------------------------------------------------------------------


def test_pages_of_allowed_origins_may_use_the_api(guarded: Web, token: str) -> None:
    allowed = {"Origin": "https://app.example"}
    asked = {**allowed, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
    preflight = requests.options(f"{guarded.url}/api/v1/tasks/download/1/", headers=asked, timeout=PATIENCE_SECONDS)
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"]
    answer = api(guarded, token, "/api/v1/users/me/", headers=allowed)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert {"ETag", "Content-Range", "Content-Disposition", "Retry-After"} <= exposed
    assert "Access-Control-Allow-Credentials" not in answer.headers
    unchanged = api(guarded, token, "/api/v1/users/me/", headers={**allowed, "If-None-Match": answer.headers["ETag"]})
    assert unchanged.status_code == 304
    assert unchanged.headers["Access-Control-Allow-Origin"] == "https://app.example"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://app.example",
        "https://app.example:444",
        "https://app.example.evil.example",
        "null",
    ],
)
def test_pages_of_other_origins_are_told_nothing(guarded: Web, token: str, origin: str) -> None:
    answer = api(guarded, token, "/api/v1/users/me/", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", ["/admin/login/", "/login", "/upload", "/list/"])
def test_no_page_of_ours_is_for_other_origins(guarded: Web, path: str) -> None:
    answer = requests.get(
        f"{guarded.url}{path}",
        headers={"Origin": "https://app.example"},
        allow_redirects=False,
        timeout=PATIENCE_SECONDS,
    )
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_sockets_go_by_the_same_rule(guarded: Web, token: str, address: str) -> None:
    session = log_in(guarded, "root", PASSWORD, address).cookies
    cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in session.items())}
    other, own = Origin("https://app.example"), Origin(guarded.url)
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(guarded.events_url, origin=other, additional_headers=cookie),
    ):
        raise AssertionError("it is open")
    assert refused.value.response.status_code == 403
    with connect(guarded.events_url, origin=own, additional_headers=cookie):
        pass
    known = {"Authorization": f"Token {token}"}
    with connect(guarded.events_url, origin=other, additional_headers=known):
        pass


def test_by_default_no_origin_is_allowed(web: Web) -> None:
    answer = api(web, web.token, "/api/v1/users/me/", headers={"Origin": "https://app.example"})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


# Headers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "policy"),
    [
        ("/files/", headers.NOTHING),
        ("/nowhere", headers.NOTHING),
        ("/admin/login/", headers.ADMIN),
        ("/api/docs/", headers.DOCS),
        ("/api/schema/", headers.NOTHING),
    ],
)
def test_every_answer_says_what_a_browser_may_do_with_it(web: Web, path: str, policy: str) -> None:
    answer = requests.get(f"{web.url}{path}", timeout=PATIENCE_SECONDS)
    assert answer.headers["Content-Security-Policy"] == policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "camera=()" in answer.headers["Permissions-Policy"]
    assert "Strict-Transport-Security" not in answer.headers


@pytest.mark.parametrize("policy", [headers.NOTHING, headers.ADMIN, headers.DOCS])
def test_no_policy_lets_scripts_stand_in_a_page(policy: str) -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["object-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert "'unsafe-inline'" not in rules.get("script-src", "")
    assert ("'unsafe-eval'" in rules.get("script-src", "")) == (policy == headers.ADMIN)


def test_behind_tls_browsers_are_told_to_stay_there(tmp_path: Path) -> None:
    with web_server(tmp_path, PUBLIC_URL="https://carryon.example") as url:
        named = {"Host": "carryon.example", "X-Forwarded-Proto": "https"}
        secure = requests.get(f"{url}/login", headers=named, timeout=PATIENCE_SECONDS)
        plain = requests.get(
            f"{url}/login", headers={"Host": "carryon.example"}, allow_redirects=False, timeout=PATIENCE_SECONDS
        )
    assert "max-age=31536000" in secure.headers["Strict-Transport-Security"]
    assert (plain.status_code, plain.headers["Location"]) == (301, "https://carryon.example/login")
    assert "Secure" in secure.headers["Set-Cookie"]


def test_who_is_no_trusted_proxy_cannot_say_that_it_speaks_tls(tmp_path: Path) -> None:
    with web_server(tmp_path, PUBLIC_URL="https://carryon.example", TRUSTED_PROXIES="10.0.0.0/8") as url:
        named = {"Host": "carryon.example", "X-Forwarded-Proto": "https"}
        answer = requests.get(f"{url}/login", headers=named, allow_redirects=False, timeout=PATIENCE_SECONDS)
    assert (answer.status_code, answer.headers["Location"]) == (301, "https://carryon.example/login")
