"""The web process as it is shipped: what it does with requests that are odd, cut off, slow, large or many."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from contextlib import AsyncExitStack, ExitStack, closing
from pathlib import Path

import pytest
import requests
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from tests.integration.conftest import Web
from tests.servers import embedded_broker, manage, web_server

TIMEOUT_SECONDS = 10
LARGE_BYTES = 2**22
"""More than the web process awaits or the system's buffers hold."""


def exchange(address: tuple[str, int], request: bytes, *, hang_up: bool = False) -> bytes:
    """Send the bytes, and give everything that comes back until the other side closes."""
    with socket.create_connection(address, TIMEOUT_SECONDS) as connection:
        connection.sendall(request)
        if hang_up:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(2**16):
            answer += piece
        return answer


def post(path: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode() + body


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer[9:12])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/livez", 200),
        ("/api/schema", 200),
        ("/api/docs", 200),
        ("/api/file/download", 401),
        ("/api/file/download/stop", 401),
        ("/api/file/download/check", 401),
        ("/nothing", 404),
    ],
)
def test_a_trailing_slash_makes_no_difference(path: str, expected: int, web: Web) -> None:
    for form in (path, f"{path}/"):
        response = requests.get(f"{web.url}{form}", timeout=TIMEOUT_SECONDS, allow_redirects=False)
        assert response.status_code == expected


def test_the_admin_is_reached_with_and_without_a_slash(web: Web) -> None:
    for form in ("/admin", "/admin/", "/admin/login", "/admin/login/"):
        response = requests.get(f"{web.url}{form}?next=/admin/", timeout=TIMEOUT_SECONDS)
        assert response.status_code == 200
        assert "/admin/login/?next=/admin/" in response.url
    preserved = requests.post(f"{web.url}/admin/login", timeout=TIMEOUT_SECONDS, allow_redirects=False)
    assert preserved.status_code == 307


def test_livez_says_that_all_is_well(web: Web) -> None:
    response = requests.get(f"{web.url}/livez", timeout=TIMEOUT_SECONDS)

    assert response.json() == {"status": "ok"}
    assert requests.head(f"{web.url}/livez", timeout=TIMEOUT_SECONDS).headers["Content-Length"] == "16"


@pytest.mark.parametrize("page", ["/api/docs", "/admin/login/"])
def test_pages_come_with_all_they_need(page: str, web: Web) -> None:
    html = requests.get(f"{web.url}{page}", timeout=TIMEOUT_SECONDS).text
    assets = re.findall(r'(?:src|href)="(/static/[^"]+)"', html)

    assert assets
    for asset in assets:
        assert requests.get(f"{web.url}{asset}", timeout=TIMEOUT_SECONDS).status_code == 200, asset
    assert not re.search(r'(?:src|href)="https?://', html.replace("https://github.com", ""))


def test_options_and_wrong_methods_are_answered(web: Web) -> None:
    headers = {"Token": web.token}

    assert requests.options(f"{web.url}/test/who", headers=headers, timeout=TIMEOUT_SECONDS).status_code == 200
    refused = requests.put(f"{web.url}/test/who", headers=headers, timeout=TIMEOUT_SECONDS)
    assert refused.status_code == 405
    assert "GET" in refused.headers["Allow"]


def test_unknown_paths_fail_as_problems_and_pages_as_pages(web: Web) -> None:
    problem = requests.get(f"{web.url}/api/nothing", timeout=TIMEOUT_SECONDS)

    assert problem.headers["Content-Type"] == "application/problem+json"
    assert problem.json()["status"] == problem.status_code == 404


@pytest.mark.parametrize(
    ("path", "code", "body"),
    [
        ("/test/fail/known", 404, {"status": "fail", "errmsg": "not_downloading"}),
        ("/test/fail/unknown", 500, {"status": "fail", "errmsg": "unexpected"}),
    ],
)
def test_an_api_fails_in_its_own_envelope(path: str, code: int, body: dict[str, str], web: Web) -> None:
    response = requests.get(f"{web.url}{path}", timeout=TIMEOUT_SECONDS)

    assert (response.status_code, response.json()) == (code, body)


def test_the_unexpected_tells_nothing_of_itself(web: Web) -> None:
    response = requests.get(f"{web.url}/test/crash", timeout=TIMEOUT_SECONDS)

    assert response.status_code == 500
    assert response.json()["code"] == "unexpected"
    assert "secret" not in response.text


def test_headers_with_underscores_cannot_pass_for_others(web: Web) -> None:
    sent = {"X_Forwarded_Proto": "https", "X-Forwarded_For": "1.2.3.4", "Content_Length": "9", "HTTP_TOKEN": "abc"}

    seen = requests.get(f"{web.url}/test/headers", headers=sent, timeout=TIMEOUT_SECONDS).json()

    assert seen["HTTP_HTTP_TOKEN"] == "abc"
    assert not {"HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_FOR", "HTTP_CONTENT_LENGTH"} & set(seen)


@pytest.mark.parametrize("announced", [1000, LARGE_BYTES], ids=["small", "large"])
@pytest.mark.parametrize("hang_up", [True, False], ids=["half-closed", "closed"])
def test_a_body_that_is_cut_off_never_ends_cleanly(announced: int, hang_up: bool, web: Web) -> None:  # noqa: FBT001
    before = web.log().count("body ended")
    request = post("/test/read", f"Content-Length: {announced}", body=b"x" * 100)

    if hang_up:
        answer = exchange(web.address, request, hang_up=True)
        assert answer == b"" or status(answer) == 400
    else:
        with socket.create_connection(web.address, TIMEOUT_SECONDS) as connection:
            connection.sendall(request)
            time.sleep(0.2)
    time.sleep(0.3)  # for what the process would do with half a body

    assert web.log().count("body ended") == before


def test_half_a_json_body_is_no_request(web: Web) -> None:
    """The half is JSON by itself."""
    headers = (f"Token: {web.token}", "Content-Type: application/json", "Content-Length: 20")

    answer = exchange(web.address, post("/test/who", *headers, body=b'{"a": 1}'), hang_up=True)

    assert answer == b"" or status(answer) == 400


def test_a_body_arrives_whole(web: Web) -> None:
    body = b"x" * LARGE_BYTES

    assert requests.post(f"{web.url}/test/read", data=body, timeout=TIMEOUT_SECONDS).json() == {"size": len(body)}


def test_a_body_in_chunks_of_unknown_number_arrives_whole(web: Web) -> None:
    pieces = (piece for piece in (b'{"a": ', b"[1, 2]", b"}"))
    headers = {"Token": web.token, "Content-Type": "application/json"}

    response = requests.post(f"{web.url}/test/who", data=pieces, headers=headers, timeout=TIMEOUT_SECONDS)

    assert response.json()["body"] == {"a": [1, 2]}


@pytest.mark.parametrize(("token", "expected"), [(True, 413), (False, 401)])
def test_a_large_body_is_refused_before_it_is_sent(token: bool, expected: int, web: Web) -> None:  # noqa: FBT001
    identity = [f"Token: {web.token}"] * token
    headers = ("Content-Type: application/json", f"Content-Length: {LARGE_BYTES}", "Connection: close")

    answer = exchange(web.address, post("/test/who", *identity, *headers))

    assert status(answer) == expected
    assert b"application/problem+json" in answer


def test_nobody_is_asked_to_continue(web: Web) -> None:
    headers = ("Content-Type: application/json", "Content-Length: 100", "Expect: 100-continue", "Connection: close")

    assert status(exchange(web.address, post("/test/who", *headers))) == 401


def test_a_known_client_is_asked_to_continue(web: Web) -> None:
    headers = (f"Token: {web.token}", "Content-Type: application/json", "Content-Length: 2", "Expect: 100-continue")
    with socket.create_connection(web.address, TIMEOUT_SECONDS) as connection:
        connection.sendall(post("/test/who", *headers))
        assert connection.recv(2**16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert status(connection.recv(2**16)) == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[" * 100_000, b'{"a": "\\ud800"}', b"\xff", b'{"a": ' + b"9" * 5000 + b"}", b"x" * (2**20 + 1)],
    ids=["empty", "cut", "deep", "surrogate", "not utf-8", "long number", "large"],
)
@pytest.mark.parametrize("path", ["/test/who", "/api/file/download", "/api/file/download/stop"])
def test_no_body_whatever_is_the_services_fault(path: str, body: bytes, web: Web) -> None:
    headers = {"Token": web.token, "Content-Type": "application/json"}

    response = requests.post(f"{web.url}{path}", data=body, headers=headers, timeout=TIMEOUT_SECONDS)

    assert response.status_code in ((200, 400) if not body else (400, 413))


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /livez?x=\xff HTTP/1.1",
        b"GET /livez\xff HTTP/1.1",
        b"GET /livez%ff%00%0a HTTP/1.1",
        b"GET /api/file/download?page=%00&cid=%ff&token=%ed%a0%80 HTTP/1.1",
        b"GET //evil.example/../livez HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"CONNECT evil.example:443 HTTP/1.1",
        b"BREW /livez HTTP/1.1",
        b"GET /admin//evil.example HTTP/1.1",
    ],
)
def test_no_request_line_whatever_is_the_services_fault(request_line: bytes, web: Web) -> None:
    identity = f"Token: {web.token}".encode()
    answer = exchange(
        web.address, b"\r\n".join([request_line, b"Host: localhost", identity, b"Connection: close", b"", b""])
    )

    assert status(answer) < 500
    assert b"Location: //" not in answer


def test_an_unknown_host_is_told_why(web: Web) -> None:
    response = requests.get(f"{web.url}/api/schema", headers={"Host": "evil.example"}, timeout=TIMEOUT_SECONDS)

    assert response.status_code == 400
    assert "ALLOWED_HOSTS" in response.json()["detail"]


def test_a_socket_to_nowhere_is_not_opened(web: Web) -> None:
    headers = {"Token": web.token}

    with pytest.raises(InvalidStatus) as denied, connect(f"{web.events_url}nothing", additional_headers=headers):
        pass

    assert denied.value.response.status_code == 404
    assert json.loads(denied.value.response.body)["status"] == 404


def test_a_socket_is_found_with_and_without_a_slash(web: Web) -> None:
    for url in (web.events_url, web.events_url.rstrip("/")):
        with connect(url, additional_headers={"Token": web.token}) as listener:
            assert listener.ping().wait(TIMEOUT_SECONDS)


def test_an_idle_socket_stays_open(web: Web) -> None:
    """redis-py 8 gives up a silent connection after 5 s, and once took the socket with it (channels_redis#422)."""
    with connect(web.events_url, additional_headers={"Token": web.token}) as listener:
        time.sleep(7)
        assert listener.ping().wait(TIMEOUT_SECONDS)


def test_many_sockets_open_at_once(web: Web) -> None:
    """redis-py 8 allows 100 connections, and once refused the sockets that needed more (channels_redis#422)."""

    async def open_all() -> int:
        headers = {"Token": web.token}
        async with AsyncExitStack() as listeners:
            connecting = (
                connect_async(web.events_url, additional_headers=headers, open_timeout=30) for _ in range(150)
            )
            opened = await asyncio.gather(*(listeners.enter_async_context(listener) for listener in connecting))
            pongs = [await listener.ping() for listener in opened]
            await asyncio.wait_for(asyncio.gather(*pongs), TIMEOUT_SECONDS)
            return len(opened)

    assert asyncio.run(open_all()) == 150


def test_slow_senders_hold_no_thread_and_an_end_is_soon(tmp_path: Path) -> None:
    """With one thread, many half-sent bodies and a socket: others are answered, and SIGTERM ends it in time."""
    with embedded_broker(tmp_path), ExitStack() as connections:
        with web_server(tmp_path, WEB_THREADS="1") as url:
            token = manage(tmp_path, "create_token", "--user", "ann").strip()
            host, port = url.removeprefix("http://").split(":")
            form = ("Content-Type: application/x-www-form-urlencoded", f"Cookie: csrftoken={'a' * 32}")
            senders = [
                post("/api/file/download", "Content-Length: 100", body=b"{"),
                post("/admin/login/", "Content-Length: 100000", *form, body=b"a"),
                post("/admin/login/", "Content-Length: 100000", *form, "Expect: 100-continue", body=b"a"),
            ]
            for request in senders * 2:
                slow = connections.enter_context(closing(socket.create_connection((host, int(port)))))
                slow.sendall(request)
            events = f"{url.replace('http', 'ws')}/ws/events/"
            listener = connections.enter_context(connect(events, additional_headers={"Token": token}))

            assert requests.get(f"{url}/livez", timeout=TIMEOUT_SECONDS).ok
            assert requests.get(f"{url}/admin/login/", timeout=TIMEOUT_SECONDS).ok

            ending = time.monotonic()
        assert time.monotonic() - ending < 10
        with pytest.raises(ConnectionClosedError) as closed:
            listener.recv(TIMEOUT_SECONDS)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
