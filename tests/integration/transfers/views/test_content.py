"""`/files/{id}/content` as Django answers it: headers, conditions, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from knox.models import AuthToken
from pytest_django.fixtures import Settings

from config.headers import PERMISSIONS
from tests.integration.transfers.files import new_file
from tests.integration.transfers.rows import new_user, use
from transfers import storage
from transfers.models import StoredFile
from transfers.views.content import may_be_shown, sanitized
from transfers.views.ranged import internal_location

pytestmark = pytest.mark.django_db

CONTENT = bytes(range(256)) * 40
SIZE = len(CONTENT)
PROBLEM = "application/problem+json"
THEN = datetime(2020, 2, 2, tzinfo=UTC)


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def api(ann: User) -> Client:
    """A client of ann's."""
    _, token = AuthToken.objects.create(ann)  # type: ignore[no-untyped-call]
    return Client(headers={"Authorization": f"Token {token}"})


@pytest.fixture
def stored(ann: User, tmp_path: Path) -> StoredFile:
    """A file of ann's that is some years old."""
    return stored_then(ann, tmp_path / "film.mov", content_type="video/quicktime")


def stored_then(owner: User, path: Path, content: bytes = CONTENT, **facts: Any) -> StoredFile:
    file = new_file(owner, path, content, **facts)
    os.utime(path, (THEN.timestamp(), THEN.timestamp()))
    StoredFile.objects.filter(pk=file.pk).update(modified_ns=path.stat().st_mtime_ns)
    file.refresh_from_db()
    return file


def get(api: Client, stored: StoredFile, query: str = "", **headers: str) -> Any:
    """The answer, whose body is read to its end."""
    return ask(api.get, f"/files/{stored.pk}/content{query}", **headers)


def ask(method: Callable[..., Any], path: str, **headers: str) -> Any:
    response = method(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response.body = b"".join(response)
    return response


def open_files(path: Path) -> int:
    """How often this process has it open."""
    return sum(os.path.realpath(entry) == str(path) for entry in Path("/proc/self/fd").iterdir())


def test_the_whole_file(api: Client, stored: StoredFile) -> None:
    response = get(api, stored)
    assert (response.status_code, response.body) == (200, CONTENT)
    headers = {name: value for name, value in response.items() if name not in ("ETag", "Vary")}
    assert headers == {
        "Content-Type": "video/quicktime",
        "Content-Length": str(SIZE),
        "Content-Disposition": 'attachment; filename="film.mov"',
        "Last-Modified": "Sun, 02 Feb 2020 00:00:00 GMT",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": PERMISSIONS,
        "Allow": "GET, HEAD, OPTIONS",
    }
    assert response["ETag"].startswith('"')
    assert response["ETag"].endswith('"')


def test_the_file_is_closed_behind_every_answer(api: Client, stored: StoredFile) -> None:
    path = Path(stored.path)
    etag = get(api, stored)["ETag"]
    for headers in ({}, {"Range": "bytes=1-2"}, {"Range": "bytes=-0"}, {"If_Match": '"x"'}, {"If_None_Match": etag}):
        get(api, stored, **headers)
        assert open_files(path) == 0
    api.head(f"/files/{stored.pk}/content")
    assert open_files(path) == 0


def test_an_etag_is_of_the_bytes_and_of_nothing_else(api: Client, ann: User, stored: StoredFile) -> None:
    etag = get(api, stored)["ETag"]
    StoredFile.objects.filter(pk=stored.pk).update(md5="m", sha256="s", verified=True, name="another.mov", folder="x")
    assert get(api, stored)["ETag"] == etag
    twin = stored_then(ann, Path(stored.path).with_name("twin"))
    assert get(api, twin)["ETag"] != etag
    os.utime(stored.path, (1, 1))
    StoredFile.objects.filter(pk=stored.pk).update(modified_ns=Path(stored.path).stat().st_mtime_ns)
    assert get(api, stored)["ETag"] != etag


def test_head_tells_what_get_would(api: Client, stored: StoredFile) -> None:
    got = get(api, stored)
    response = ask(api.head, f"/files/{stored.pk}/content", Range="bytes=0-0")
    assert (response.status_code, response.body) == (200, b"")
    assert dict(response.items()) == dict(got.items())


def test_one_range(api: Client, stored: StoredFile) -> None:
    response = get(api, stored, Range="bytes=100-199")
    assert (response.status_code, response.body) == (206, CONTENT[100:200])
    assert (response["Content-Range"], response["Content-Length"]) == (f"bytes 100-199/{SIZE}", "100")
    assert response["Content-Type"] == "video/quicktime"


def test_several_ranges(api: Client, stored: StoredFile) -> None:
    response = get(api, stored, Range="bytes=9000-,0-9")
    content = response.body
    assert response.status_code == 206
    kind, _, boundary = response["Content-Type"].partition("; boundary=")
    assert (kind, "Content-Range" in response) == ("multipart/byteranges", False)
    assert int(response["Content-Length"]) == len(content)
    parts = content.split(f"--{boundary}".encode())
    assert (parts[0], parts[3]) == (b"", b"--\r\n")
    expected = [(f"bytes 9000-{SIZE - 1}/{SIZE}", CONTENT[9000:]), (f"bytes 0-9/{SIZE}", CONTENT[:10])]
    for part, (content_range, data) in zip(parts[1:3], expected, strict=True):
        assert (
            part
            == f"\r\nContent-Type: video/quicktime\r\nContent-Range: {content_range}\r\n\r\n".encode() + data + b"\r\n"
        )


def test_a_range_beyond_the_end(api: Client, stored: StoredFile) -> None:
    response = get(api, stored, Range=f"bytes={SIZE}-")
    assert (response.status_code, response["Content-Range"]) == (416, f"bytes */{SIZE}")
    assert (response["Content-Type"], response.json()["code"]) == (PROBLEM, "range_not_satisfiable")


def test_ranges_of_another_version(api: Client, stored: StoredFile) -> None:
    etag = get(api, stored)["ETag"]
    expected = {
        etag: 206, '"another"': 200, f"W/{etag}": 200, "yesterday": 200,
        format_datetime(THEN, usegmt=True): 206, "Sun, 02 Feb 2020 00:00:01 GMT": 200,
    }  # fmt: skip
    for if_range, status in expected.items():
        response = get(api, stored, Range="bytes=1-", If_Range=if_range)
        assert (response.status_code, response.body) == (status, CONTENT[1:] if status == 206 else CONTENT)
    # It would be there, were it asked for.
    assert get(api, stored, Range=f"bytes={SIZE}-", If_Range='"another"').status_code == 200


def test_conditions(api: Client, stored: StoredFile) -> None:
    etag = get(api, stored)["ETag"]
    for headers, status in (
        ({"If_None_Match": etag}, 304),
        ({"If_None_Match": f"W/{etag}", "Range": "bytes=0-0"}, 304),
        ({"If_Modified_Since": format_datetime(THEN, usegmt=True)}, 304),
        ({"If_None_Match": '"x"', "If_Modified_Since": format_datetime(THEN, usegmt=True)}, 200),
        ({"If_Match": etag, "Range": "bytes=0-0"}, 206),
        ({"If_Match": '"x"', "Range": "bytes=0-0"}, 412),
        ({"If_Unmodified_Since": "Sat, 01 Feb 2020 00:00:00 GMT"}, 412),
        ({"If_Match": '"x"', "Range": f"bytes={SIZE}-"}, 412),
    ):
        for method in (api.get, api.head):
            response = ask(method, f"/files/{stored.pk}/content", **headers)
            expected = 200 if status == 206 and method == api.head else status
            assert (response.status_code, headers) == (expected, headers)


def test_not_modified_tells_the_validators_and_no_length(api: Client, stored: StoredFile) -> None:
    etag = get(api, stored)["ETag"]
    response = get(api, stored, If_None_Match="*")
    assert (response.status_code, response.body) == (304, b"")
    assert (response["ETag"], response["Cache-Control"]) == (etag, "private, no-cache")
    assert "Content-Length" not in response


def test_a_failed_condition_is_a_problem(api: Client, stored: StoredFile) -> None:
    response = get(api, stored, If_Match='"x"')
    assert (response["Content-Type"], response.json()["code"]) == (PROBLEM, "precondition_failed")


def test_an_empty_file(api: Client, ann: User, tmp_path: Path) -> None:
    empty = new_file(ann, tmp_path / "empty", b"")
    for headers, status in (({}, 200), ({"Range": "bytes=-5"}, 200), ({"Range": "bytes=0-"}, 416)):
        response = get(api, empty, **headers)
        assert (response.status_code, response.get("Content-Range")) == (status, {416: "bytes */0"}.get(status))
        if status == 200:
            assert (response.body, response["Content-Length"]) == (b"", "0")


# What is at its place -------------------------------------------------------------------------------------------------


def replaced_by(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


CHANGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "its-folder-is-missing": lambda path: path.parent.rename(path.parent.with_name("moved")),
    "its-folder-is-a-file": lambda path: (
        path.parent.rename(path.parent.with_name("moved")),
        path.parent.write_bytes(b""),
    ),
    "of-another-size": lambda path: path.write_bytes(CONTENT + b"x"),
    "of-another-time": lambda path: os.utime(path, (1, 1)),
    "a-folder": replaced_by(Path.mkdir),
    "a-pipe": replaced_by(os.mkfifo),
    "a-link-to-nowhere": replaced_by(lambda path: path.symlink_to("nowhere")),
    "a-link-to-itself": replaced_by(lambda path: path.symlink_to(path)),
    "a-device": replaced_by(lambda path: path.symlink_to("/dev/zero")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_another_file_in_its_place_is_never_sent(
    change: Callable[[Path], object], api: Client, ann: User, tmp_path: Path
) -> None:
    stored = stored_then(ann, tmp_path / "folder" / "file")
    before = len(list(Path("/proc/self/fd").iterdir()))
    change(Path(stored.path))
    for response in (get(api, stored), api.head(f"/files/{stored.pk}/content")):
        assert (response.status_code, response["Content-Type"]) == (404, PROBLEM)
    assert get(api, stored).json()["code"] == "file_missing"
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_file_that_is_cut_off_while_it_is_sent_is_not_sent_whole(api: Client, stored: StoredFile) -> None:
    response: Any = api.get(f"/files/{stored.pk}/content")
    os.truncate(stored.path, 100)
    with pytest.raises(OSError, match="no byte 100 any more"):
        list(response.streaming_content)


# Types and names ------------------------------------------------------------------------------------------------------

TYPES = {
    "video/mp4": ("video/mp4", True),
    "Audio/MPEG": ("Audio/MPEG", True),
    "text/plain": ("text/plain", True),
    "text/plain; charset=utf-8": ("text/plain; charset=utf-8", True),
    "text/plain;charset=utf-8; x=y": ("text/plain;charset=utf-8", True),
    "image/png": ("image/png", True),
    "application/pdf": ("application/pdf", True),
    "image/svg+xml": ("image/svg+xml", False),
    "text/html": ("text/html", False),
    "text/html; charset=utf-7": ("text/html; charset=utf-7", False),
    "application/xhtml+xml": ("application/xhtml+xml", False),
    "text/xml": ("text/xml", False),
    "application/javascript": ("application/javascript", False),
    "text/css": ("text/css", False),
    "": ("application/octet-stream", False),
    "nonsense": ("application/octet-stream", False),
    "video": ("application/octet-stream", False),
    "video/": ("application/octet-stream", False),
    "video/mp4\r\nX-Evil: 1": ("video/mp4", True),
    "\r\nX-Evil: 1": ("application/octet-stream", False),
    "text/plain, text/html": ("text/plain", True),
    "vidéo/mp4": ("application/octet-stream", False),
    "multipart/byteranges; boundary=x": ("application/octet-stream", False),
    "Message/http": ("application/octet-stream", False),
    f"{'a' * 200}/b": ("application/octet-stream", False),
}


@pytest.mark.parametrize(("content_type", "sent", "shown"), [(k, *v) for k, v in TYPES.items()], ids=TYPES)
def test_types(content_type: str, sent: str, *, shown: bool) -> None:
    assert sanitized(content_type) == sent
    assert may_be_shown(sanitized(content_type)) is shown


@pytest.mark.parametrize(
    ("content_type", "query", "disposition"),
    [
        ("video/mp4", "", "attachment"),
        ("video/mp4", "?disposition=inline", "inline"),
        ("video/mp4", "?disposition=attachment", "attachment"),
        ("video/mp4", "?disposition=INLINE;%20x", "attachment"),
        ("text/html", "?disposition=inline", "attachment"),
        ("image/svg+xml", "?disposition=inline", "attachment"),
    ],
)
def test_only_what_is_safe_is_shown(
    content_type: str, query: str, disposition: str, api: Client, stored: StoredFile
) -> None:
    StoredFile.objects.filter(pk=stored.pk).update(content_type=content_type, name="file")
    response = get(api, stored, query)
    assert response["Content-Disposition"] == f'{disposition}; filename="file"'
    assert (response["X-Content-Type-Options"], response["Content-Security-Policy"]) == ("nosniff", "sandbox")


NAMES = {
    'a "b" \\c.txt': 'attachment; filename="c.txt"',
    'a "b" c.txt': r'attachment; filename="a \"b\" c.txt"',
    "фильм €.mov": "attachment; filename*=utf-8''%D1%84%D0%B8%D0%BB%D1%8C%D0%BC%20%E2%82%AC.mov",
    "a\r\nX-Evil: 1": 'attachment; filename="aX-Evil: 1"',
    "../../etc/passwd": 'attachment; filename="passwd"',
    "invoice\u202efdp.exe": 'attachment; filename="invoicefdp.exe"',
    "a; filename=b": 'attachment; filename="a; filename=b"',
    "%41.txt": 'attachment; filename="%41.txt"',
    "": 'attachment; filename="file"',
    "\t": 'attachment; filename="file"',
}


@pytest.mark.parametrize(("name", "disposition"), NAMES.items())
def test_names(name: str, disposition: str, api: Client, ann: User, tmp_path: Path) -> None:
    response = get(api, new_file(ann, tmp_path / "file", name=name))
    assert response["Content-Disposition"] == disposition


@pytest.mark.parametrize("accept", ["*/*", "video/*", "text/html", "image/png;q=0.5", "nonsense", ""])
def test_it_is_sent_whatever_is_accepted(accept: str, api: Client, stored: StoredFile) -> None:
    response = get(api, stored, "?format=xml", Accept=accept)
    assert (response.status_code, response.body) == (200, CONTENT)


# Sent by others -------------------------------------------------------------------------------------------------------


def test_nginx_is_told_where_the_file_is(api: Client, ann: User, tmp_path: Path, settings: Settings) -> None:
    use(settings, x_accel={str(tmp_path): "/internal", str(tmp_path / "deeper"): "/deeper/"})
    stored = new_file(ann, tmp_path / "a b" / "100%? #ф.mov")
    response = get(api, stored, Range="bytes=0-0", If_None_Match="*")
    assert (response.status_code, response.content) == (200, b"")
    assert response["X-Accel-Redirect"] == "/internal/a%20b/100%25%3F%20%23%D1%84.mov"
    assert response["Content-Disposition"].startswith("attachment")
    assert "ETag" not in response  # nginx has its own
    assert internal_location(str(tmp_path / "deeper" / "x")) == "/deeper/x"
    assert internal_location(f"{tmp_path}-not/x") is None
    Path(stored.path).unlink()
    assert get(api, stored).status_code == 404


def test_a_store_with_addresses_sends_it_itself(
    api: Client, ann: User, stored: StoredFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, str]] = []

    class Store:
        """A store with addresses, in memory of S3."""

        def content_address(self, location: str, disposition: str, content_type: str) -> storage.Address:
            asked.append((location, disposition, content_type))
            return storage.Address(url="https://store.example/%D1%84?a=b%2Fc&d", method="GET", expires_at=THEN)

    monkeypatch.setattr("transfers.storage.of", lambda _: Store())
    response = get(api, stored, Range="bytes=0-0")
    assert (response.status_code, response["Location"]) == (HTTPStatus.FOUND, "https://store.example/%D1%84?a=b%2Fc&d")
    assert response["Cache-Control"] == "private, no-store"
    assert asked == [(stored.path, 'attachment; filename="film.mov"', "video/quicktime")]
    head = api.head(f"/files/{stored.pk}/content")
    assert (head.status_code, head["Content-Length"], head["Content-Type"]) == (200, str(SIZE), "video/quicktime")
