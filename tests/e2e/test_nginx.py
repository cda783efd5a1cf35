"""The service behind a real nginx, with the configuration that is shipped: bytes both ways, sockets, and its logs."""

from __future__ import annotations

import hashlib
import json
import random
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.e2e.carryon import Carryon, running_carryon
from tests.e2e.client import Client
from tests.nginx import MISSING, Nginx, checked, found_nginx, rendered, running_nginx
from tests.origin import Behaviour, GeneratedFile, Origin, self_signed
from tests.service import REPOSITORY, wait_until

PROGRAM = found_nginx() or ""
pytestmark = pytest.mark.skipif(not PROGRAM, reason=MISSING)
UPLOADS = "/ehealth-base/multipart/upload"
STATIC = REPOSITORY / "transfers" / "static"
MIB = 2**20
ANSWER_SECONDS = 30


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carryon]:
    """A service that leaves its files to nginx."""
    folder = tmp_path_factory.mktemp("behind")
    with running_carryon(folder, X_ACCEL=json.dumps({str(folder): "/_files"})) as running:
        yield running


@pytest.fixture(scope="module")
def nginx(behind: Carryon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """What clients talk to."""
    folder = tmp_path_factory.mktemp("nginx")
    with running_nginx(PROGRAM, folder, service=behind.service.url, data=behind.data_dir, static=STATIC) as running:
        yield running


@pytest.fixture(scope="module")
def content() -> bytes:
    return random.Random(1).randbytes(3 * MIB + 17)


@pytest.fixture(scope="module")
def uploaded(behind: Carryon, nginx: Nginx, content: bytes) -> str:
    """The path of a file that came in two parts, under the header with an underscore that nginx would drop."""

    def sent(**fields: object) -> dict[str, object]:
        form = {name: (None, str(value)) if name != "file" else ("f", value) for name, value in fields.items()}
        headers = {"HTTP_TOKEN": behind.admin.token}
        reply = requests.post(f"{nginx.url}{UPLOADS}", files=form, headers=headers, timeout=ANSWER_SECONDS)
        assert reply.status_code == 200, reply.text
        answer: dict[str, object] = reply.json()
        return answer

    file = sent(option="initiate", catalog="films", fileName="Ünïcode %41 holiday.mov", fileSize=len(content))["fileId"]
    parts = {1: content[: 2 * MIB], 2: content[2 * MIB :]}
    md5s = {number: sent(fileId=file, part=number, file=part)["md5string"] for number, part in parts.items()}
    assert md5s == {n: hashlib.md5(part, usedforsecurity=False).hexdigest() for n, part in parts.items()}
    completed = sent(option="complete", fileId=file, parts=json.dumps(md5s))
    assert str(completed["url"]).startswith(nginx.url), "it knows by the Host header where its clients are"
    return f"/files/{completed['id']}/content"


def get(base: str, path: str, behind: Carryon, **headers: str) -> requests.Response:
    authorized = {"Authorization": f"Token {behind.admin.token}", **headers}
    return requests.get(base + path, headers=authorized, timeout=ANSWER_SECONDS)


def test_the_configuration_is_one(tmp_path: Path) -> None:
    configuration = rendered(PROGRAM, tmp_path, 8080, service="http://127.0.0.1:1", data=tmp_path, static=tmp_path)
    assert checked(PROGRAM, configuration).returncode == 0
    configuration.write_text(configuration.read_text().replace("client_max_body_size 0;", "client_max_body_size;"))
    assert "client_max_body_size" in checked(PROGRAM, configuration).stderr


def test_the_one_for_tls_in_the_docs_is_one(tmp_path: Path) -> None:
    written = re.search(r"```nginx\n(.*?)```", (REPOSITORY / "docs" / "deploy.md").read_text(), re.DOTALL)
    assert written is not None
    certificate = self_signed(tmp_path)
    text = written[1].replace("listen 443 ssl", "listen 127.0.0.1:8443 ssl")
    text = re.sub(r"/etc/ssl/\S+\.pem", str(certificate.path), text)
    text = re.sub(r"/etc/ssl/\S+\.key", str(certificate.key_path), text)
    configuration = rendered(PROGRAM, tmp_path, 8080, service="http://127.0.0.1:1", data=tmp_path, static=tmp_path)
    configuration.write_text(configuration.read_text().rstrip().removesuffix("}") + text + "}\n")
    answer = checked(PROGRAM, configuration)
    assert answer.returncode == 0, answer.stderr


def test_files_are_sent_by_nginx(behind: Carryon, nginx: Nginx, uploaded: str, content: bytes) -> None:
    handed_over = get(behind.service.url, uploaded, behind)
    assert handed_over.headers["X-Accel-Redirect"].startswith("/_files/files/")
    assert handed_over.content == b""

    whole = get(nginx.url, uploaded, behind)
    assert whole.content == content
    assert "X-Accel-Redirect" not in whole.headers
    told = {name: whole.headers[name] for name in ("X-Content-Type-Options", "Content-Security-Policy")}
    assert told == {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
    assert whole.headers["Content-Disposition"].startswith("attachment;")
    assert whole.headers["Cache-Control"] == "private, no-cache"

    part = get(nginx.url, uploaded, behind, Range="bytes=1000-1999")
    assert (part.status_code, part.content) == (206, content[1000:2000])
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(content)}"
    last = get(nginx.url, uploaded, behind, **{"Range": "bytes=-5", "If-Range": whole.headers["ETag"]})
    assert (last.status_code, last.content) == (206, content[-5:])
    other = get(nginx.url, uploaded, behind, **{"Range": "bytes=-5", "If-Range": '"another"'})
    assert (other.status_code, other.content) == (200, content)
    assert get(nginx.url, uploaded, behind, **{"If-None-Match": whole.headers["ETag"]}).status_code == 304
    assert get(nginx.url, uploaded, behind, Range=f"bytes={len(content)}-").status_code == 416


def test_only_who_may_have_a_file_gets_it(behind: Carryon, nginx: Nginx, uploaded: str) -> None:
    assert requests.get(nginx.url + uploaded, timeout=ANSWER_SECONDS).status_code == 401
    mallory = {"Authorization": f"Token {behind.user('mallory').token}"}
    assert requests.get(nginx.url + uploaded, headers=mallory, timeout=ANSWER_SECONDS).status_code == 404
    assert (behind.data_dir / "carryon.sqlite3").exists()
    for path in ("/_files/carryon.sqlite3", "/_files/", "/_files/../_files/carryon.sqlite3", "/static../README.md"):
        assert get(nginx.url, path, behind).status_code == 404


def test_a_body_is_passed_on_as_it_comes(nginx: Nginx) -> None:
    """Who is unknown hears so although nearly all of the body is still to come: nginx has not waited for it."""
    began = time.monotonic()
    host, port = urlsplit(nginx.url).hostname, urlsplit(nginx.url).port
    head = f"PUT {UPLOADS}/1/parts/1 HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {50 * MIB}\r\n\r\n"
    with socket.create_connection((host, port), timeout=ANSWER_SECONDS) as connection:
        connection.sendall(head.encode() + bytes(1024))
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")
    assert time.monotonic() - began < 15


def test_sockets_hear_of_a_download_and_its_file_is_sent(behind: Carryon, nginx: Nginx, origin: Origin) -> None:
    file = GeneratedFile(3_000_000, seed=3)
    url = origin.add("/through.bin", file, Behaviour(rate=2_000_000))
    client = Client(nginx.url, behind.admin.token)
    with client.listening(fid="through") as listener:
        download = client.begin(url, "through")
        assert listener.wait_for_end("through").status == "STREAM_COMPLETED"
    stored = client.wait_for_end(download)["storedFile"]["id"]
    assert hashlib.sha256(get(nginx.url, f"/files/{stored}/content", behind).content).hexdigest() == file.sha256()


def test_static_files_are_nginxs(behind: Carryon, nginx: Nginx) -> None:
    picture = get(nginx.url, "/static/transfers/favicon.svg", behind)
    assert picture.content == (STATIC / "transfers" / "favicon.svg").read_bytes()
    assert (picture.headers["Content-Type"], picture.headers["X-Content-Type-Options"]) == ("image/svg+xml", "nosniff")


def test_no_log_holds_a_token_or_the_name_of_a_file(
    behind: Carryon, nginx: Nginx, uploaded: str, tmp_path: Path
) -> None:
    get(nginx.url, uploaded, behind)
    with Client(nginx.url, behind.admin.token).listening():
        pass
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    with running_nginx(PROGRAM, tmp_path, service=nobody, data=tmp_path, static=STATIC) as alone:
        assert (
            requests.get(f"{alone.url}/ws/events/?token=a-token-of-somebody", timeout=ANSWER_SECONDS).status_code == 502
        )
        wait_until(lambda: '"GET /ws/events/" 502' in alone.access, 5)  # it writes a line after its answer
        told = alone.access + alone.errors
    wait_until(lambda: f'"GET {uploaded}" 200' in nginx.access, 5)
    told += nginx.access + nginx.errors
    assert not [word for word in (behind.admin.token, "a-token-of", "holiday") if word in told]
