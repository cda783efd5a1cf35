"""Stored files from the web process as it is shipped: any range, resumed by real clients, many slow ones."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest
import requests
from hypothesis import given

from tests import battery
from tests.integration.conftest import Web
from tests.unit.transfers.views.test_ranges import headers as range_headers
from tests.unit.transfers.views.test_ranges import model

TIMEOUT_SECONDS = 20
SIZE = 3_000
LARGE = 64 * 2**20
SLOW_CLIENTS = battery.rounds(60, 1_000)


@dataclass(frozen=True)
class Content:
    """A stored file of ann's, and where it is served."""

    path: Path
    bytes: bytes = field(repr=False)
    pk: int
    address: tuple[str, int]
    token: str

    @property
    def target(self) -> str:
        return f"/files/{self.pk}/content"

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}{self.target}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.get(self.url, headers=self.headers | named, timeout=TIMEOUT_SECONDS)

    def begun(self) -> socket.socket:
        """A connection whose client has asked for the file and takes little of it."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**14)
        connection.settimeout(TIMEOUT_SECONDS)
        connection.connect(self.address)
        lines = (f"GET {self.target} HTTP/1.1", "Host: localhost", f"X-Access-Token: {self.token}")
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection


_ROW = """INSERT INTO transfers_storedfile (owner_id, name, folder, path, size, modified_ns, content_type,
    md5, sha256, crc32, checksum_error, promised_md5, created_at, lease_epoch, lease_owner)
    SELECT id, ?, '', ?, ?, ?, 'text/plain', '', '', '', '', '', '2026-01-01 00:00:00', 0, ''
    FROM auth_user WHERE username = 'ann'"""


def stored(web: Web, path: Path, content: bytes) -> Content:
    path.write_bytes(content)
    web.write(_ROW, path.name, str(path), len(content), path.stat().st_mtime_ns)
    headers = {"Authorization": f"Bearer {web.token}"}
    listed = requests.get(f"{web.url}/files/?text={path.name}", headers=headers, timeout=TIMEOUT_SECONDS).json()
    return Content(path, content, listed["results"][0]["id"], web.address, web.token)


@pytest.fixture(scope="module")
def small(web: Web, tmp_path_factory: pytest.TempPathFactory) -> Content:
    return stored(web, tmp_path_factory.mktemp("content") / "small.txt", bytes(n * n % 251 for n in range(SIZE)))


@pytest.fixture(scope="module")
def large(web: Web, tmp_path_factory: pytest.TempPathFactory) -> Content:
    return stored(web, tmp_path_factory.mktemp("content") / "large.bin", bytes(range(256)) * (LARGE // 256))


@pytest.fixture(scope="module")
def process(web: Web) -> psutil.Process:
    """The web process."""
    listening = (p for p in psutil.Process().children(recursive=True) if _listens(p, web.address[1]))
    return next(listening)


def _listens(process: psutil.Process, port: int) -> bool:
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in process.net_connections("tcp"))


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def received_bytes(response: requests.Response, content: bytes) -> dict[int, int]:
    """The bytes of the file that an answer holds, by offset; AssertionError where it contradicts itself."""
    if response.status_code == 200:
        return dict(enumerate(response.content))
    kind = response.headers["Content-Type"]
    if not kind.startswith("multipart/byteranges; boundary="):
        return _offsets(response.headers["Content-Range"], response.content, content)
    first, *parts, last = (b"\r\n" + response.content).split(b"\r\n--" + kind.partition("=")[2].encode())
    assert (first, last) == (b"", b"--\r\n")
    found: dict[int, int] = {}
    for part in parts:
        match = re.fullmatch(rb"\r\nContent-Type: text/plain\r\nContent-Range: (.*)\r\n\r\n(.*)", part, re.DOTALL)
        assert match
        found |= _offsets(match[1].decode(), match[2], content)
    return found


def _offsets(content_range: str, received: bytes, content: bytes) -> dict[int, int]:
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", content_range)
    assert match
    first, last, size = map(int, match.groups())
    assert (size, last - first + 1) == (len(content), len(received))
    return dict(enumerate(received, first))


@given(header=range_headers.map(str.strip))
def test_any_range_header(small: Content, header: str) -> None:
    response = small.get(Range=header)
    asked = model(header, SIZE)
    if asked == set():
        assert (response.status_code, response.headers["Content-Range"]) == (416, f"bytes */{SIZE}")
        return
    assert response.status_code == (200 if asked is None else 206)
    received = received_bytes(response, small.bytes)
    assert set(range(SIZE) if asked is None else asked) <= set(received)
    assert all(small.bytes[offset] == value for offset, value in received.items())


def test_all_kinds_of_answers_on_one_connection(small: Content) -> None:
    etag = small.get().headers["ETag"]
    connection = HTTPConnection(*small.address, timeout=TIMEOUT_SECONDS)
    for method, headers, status, size in (
        ("GET", {}, 200, SIZE),
        ("HEAD", {}, 200, 0),
        ("GET", {"Range": "bytes=1-2"}, 206, 2),
        ("GET", {"Range": "bytes=1-2,1000-1001"}, 206, None),
        ("HEAD", {"Range": "bytes=1-2,1000-1001"}, 200, 0),
        ("GET", {"If-None-Match": etag}, 304, 0),
        ("HEAD", {"If-None-Match": etag}, 304, 0),
        ("GET", {"Range": f"bytes={SIZE}-"}, 416, None),
        ("GET", {"If-Match": '"x"'}, 412, None),
        ("HEAD", {"If-Match": '"x"'}, 412, 0),
        ("OPTIONS", {}, 200, None),
        ("GET", {"Range": "bytes=-1", "If-Range": etag}, 206, 1),
    ) * 3:
        connection.request(method, small.target, headers=small.headers | headers)
        response = connection.getresponse()
        body = response.read()
        assert (response.status, method, headers) == (status, method, headers)
        assert size is None or len(body) == size
        assert method == "HEAD" or status == 304 or int(response.headers["Content-Length"]) == len(body)
    connection.close()


def test_somebody_elses_file_is_not_there(web: Web, small: Content) -> None:
    other = web.new_token("--user", "a-stranger")
    for path in (small.target, f"/files/{small.pk}"):
        response = requests.get(
            f"{web.url}{path}", headers={"X-Access-Token": other, "Range": "bytes=0-0"}, timeout=TIMEOUT_SECONDS
        )
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert requests.get(small.url, timeout=TIMEOUT_SECONDS).status_code == 401


@pytest.mark.parametrize("path", ["files/{}", "files/{}/", "files/{}/content"])
def test_as_many_digits_as_the_server_takes_are_no_file(path: str, web: Web) -> None:
    statuses = []
    for digits in (20, 60_000, 2**20):
        url = f"{web.url}/{path.format('9' * digits)}"
        response = requests.get(url, headers={"Authorization": f"Bearer {web.token}"}, timeout=TIMEOUT_SECONDS)
        statuses.append(response.status_code)
    assert statuses == [404, 404, 400]


def test_requests_resumes(large: Content) -> None:
    half = LARGE // 2 + 7
    with requests.get(large.url, headers=large.headers, stream=True, timeout=TIMEOUT_SECONDS) as first:
        begun = first.raw.read(half)
    rest = large.get(Range=f"bytes={half}-", If_Range=first.headers["ETag"])
    assert (rest.status_code, begun + rest.content == large.bytes) == (206, True)


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
def test_curl_resumes(large: Content, tmp_path: Path) -> None:
    target = tmp_path / "large.bin"
    target.write_bytes(large.bytes[: 5 * 2**20 + 1])
    command = ["curl", "--silent", "--fail", "--continue-at", "-", "--output", target, "--header"]
    subprocess.run([*command, f"Authorization: Bearer {large.token}", large.url], check=True, timeout=60)
    assert target.read_bytes() == large.bytes


def test_a_client_that_leaves_in_mid_stream_frees_everything(large: Content, process: psutil.Process) -> None:
    wait_for(lambda: not _open(process, large.path))
    sockets = _open(process, "socket:")
    for _ in range(3):
        with ExitStack() as connections:
            for _ in range(20):
                connection = connections.enter_context(large.begun())
                connection.recv(1000)
            assert _open(process, large.path) == 20
        wait_for(lambda: not _open(process, large.path))
        wait_for(lambda: _open(process, "socket:") <= sockets)


def test_slow_clients_hold_nobody_up(large: Content, small: Content, process: psutil.Process) -> None:
    memory = process.memory_info().rss
    with ExitStack() as connections:
        slow = [connections.enter_context(large.begun()) for _ in range(SLOW_CLIENTS)]
        wait_for(lambda: _open(process, large.path) == SLOW_CLIENTS)
        stop = connections.enter_context(_trickling(slow))
        waited = [_seconds(small.get) for _ in range(30)]
        assert not stop.is_set()
        assert sorted(waited)[15] < 0.5
        assert process.memory_info().rss - memory < 64 * 2**20
        quick = large.get()
        assert quick.content == large.bytes
    wait_for(lambda: not _open(process, large.path))


class _trickling:  # noqa: N801 - a context manager
    """Takes a little from each of the connections, again and again."""

    def __init__(self, connections: list[socket.socket]) -> None:
        self._connections = connections
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> threading.Event:
        self._thread.start()
        return self._stop

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            for connection in self._connections:
                assert connection.recv(2**12)


def _seconds(call: Callable[[], requests.Response]) -> float:
    began = time.monotonic()
    assert call().status_code == 200
    return time.monotonic() - began


def _open(process: psutil.Process, name: Path | str) -> int:
    """How many descriptors the process has of what is called so."""
    return sum(_leads_to(entry).startswith(str(name)) for entry in Path(f"/proc/{process.pid}/fd").iterdir())


def _leads_to(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except FileNotFoundError:  # closed since
        return ""


@pytest.fixture
def doomed(web: Web, tmp_path: Path) -> Content:
    return stored(web, tmp_path / "doomed.bin", bytes(LARGE))


def test_a_download_goes_on_when_its_file_is_deleted(doomed: Content, process: psutil.Process) -> None:
    with doomed.begun() as connection:
        wait_for(lambda: _open(process, doomed.path) == 1)
        url = doomed.url.removesuffix("/content")
        assert requests.delete(url, headers=doomed.headers, timeout=TIMEOUT_SECONDS).status_code == 204
        doomed.path.unlink()  # as the worker does
        assert doomed.get().status_code == 404
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(2**12)
        count = len(received.partition(b"\r\n\r\n")[2])
        while count < LARGE:
            chunk = connection.recv(2**20)
            assert chunk
            count += len(chunk)
        assert count == LARGE
    assert (doomed.path.parent.exists(), doomed.path.exists()) == (True, False)


def test_another_file_in_its_place_is_not_sent(doomed: Content) -> None:
    doomed.path.write_bytes(bytes(LARGE))
    response = doomed.get()
    assert (response.status_code, response.json()["code"]) == (404, "file_missing")
