"""What uploads answer to the letter: the same each time, nothing of the server's own; and no byte moved at the end."""

from __future__ import annotations

import errno
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from knox.models import AuthToken
from pytest_django.fixtures import Settings

from tests.e2e.uploads import BOUNDARY, PATH, Answer, File, Form, Uploads, md5, md5s, part_form
from tests.integration.transfers.rows import new_user, use
from tests.integration.transfers.views.test_upload import CONTENT, PARTS, STEPS, Api, sent
from transfers.engine.local import collecting
from transfers.engine.local.part_journal import PartJournal
from transfers.models import StoredFile, Upload
from transfers.services import upload as uploads
from transfers.storage.local import UPLOADS
from transfers.tasks import take_checksums

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

MIB = 2**20
WRONG = md5(b"something else")
OURS = re.compile(r"Traceback|Errno|Error\(|Error'|0x[0-9a-f]{6}|b'|\b[a-z_]+\.py\b|/(tmp|work|home|root|usr|var|etc)/")
"""What only the server knows, and Python's ways to say things."""


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files come to rest; nothing is synced there, as nothing here is about power."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    folder = tmp_path.resolve() / "files"
    use(settings, files_root=folder)
    return folder


class Failing(Api):
    """A client of a service whose storage may fail."""

    def ask(self, method: str, path: str, *, headers: Any = None, data: bytes = b"") -> Answer:
        """Send a request to the address, or below it."""
        assert self.client is not None
        told = {**self.headers, **(headers or {})}
        kind = told.pop("Content-Type", "application/octet-stream")
        reply = self.client.generic(method, PATH + path, data, content_type=kind, headers=told)
        return Answer(reply.status_code, reply.headers, reply.content)


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def api(ann: User) -> Failing:
    """A client of ann's."""
    _, token = AuthToken.objects.create(ann)  # type: ignore[no-untyped-call]
    return Failing("http://testserver", token, client=Client())


# No byte moved at the end --------------------------------------------------------------------------------------------


def with_md5_behind(upload: int, number: int, content: bytes) -> Form:
    """The form of a client that hashes the part while it sends it."""
    return Form([*part_form(upload, number, content).fields, ("md5", md5(content))])


FIRST, SECOND, LAST = (1, 2, 3), (2, 1, 3), (3, 1, 2)
COURSES = [
    *[
        (size, order, told)
        for size in (2**16, MIB, 10**6, 5 * MIB)
        for order in (FIRST, SECOND)
        for told in (True, False)
    ],
    *[(size, LAST, True) for size in (2**16, MIB, 10**6, 5 * MIB, 20 * MIB)],  # else nothing tells of those before it
    (20 * MIB, FIRST, True),
]


@pytest.mark.parametrize(("part_bytes", "order", "told"), COURSES, ids=str)
@pytest.mark.parametrize("last_bytes", [12_345, 777_777])
def test_completing_moves_no_byte_where_fields_follow_the_files(
    api: Api, root: Path, part_bytes: int, order: tuple[int, ...], last_bytes: int, *, told: bool
) -> None:
    last = random.Random(3).randbytes(min(last_bytes, part_bytes - 1))
    parts = {number: bytes([number]) * part_bytes for number in (1, 2)} | {3: last}
    size = sum(map(len, parts.values()))
    upload = api.begin(**({"fileSize": size} if told else {}))
    for number in order:
        assert api.post(with_md5_behind(upload, number, parts[number])).data["md5string"] == md5(parts[number])
    data = (root / UPLOADS / str(upload) / "data").stat().st_ino
    api.finished(upload, md5s(parts))
    path = Path(StoredFile.objects.get().path)
    assert path.stat().st_ino == data
    assert path.read_bytes() == b"".join(parts.values())


# The same each time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "promised", ["", md5(CONTENT), WRONG], ids=["nothing promised", "promised", "wrongly promised"]
)
@pytest.mark.parametrize("parts", [{1: CONTENT}, PARTS], ids=["one part", "several parts"])
@pytest.mark.parametrize("told", [True, False], ids=["size told", "size not told"])
def test_an_answer_is_the_same_before_and_after_the_file_was_verified(
    api: Api, promised: str, parts: dict[int, bytes], *, told: bool
) -> None:
    facts = {**({"md5": promised} if promised else {}), **({"fileSize": len(CONTENT)} if told else {})}
    upload = sent(api, parts, **facts)
    answers = [api.complete(upload, md5s(parts)).data, api.complete(upload, md5s(parts)).data]
    states = [api.resume(upload).data, api.state(upload).data]
    take_checksums(str(StoredFile.objects.get().pk))
    stored = StoredFile.objects.get()
    assert (stored.md5, stored.verified) == (md5(CONTENT), promised == md5(CONTENT) if promised else None)
    answers.append(api.complete(upload, md5s(parts)).data)
    assert answers == [answers[0]] * 3
    assert [api.resume(upload).data, api.state(upload).data] == states
    assert answers[0].get("md5") == (md5(CONTENT) if len(parts) == 1 else None), "never one that was not found here"


def test_a_file_that_is_deleted_at_once_has_no_address(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = sent(api)
    finish = uploads.finish

    def finish_and_delete(row: Upload) -> None:
        finish(row)
        StoredFile.objects.update(deleted_at="2026-01-01T00:00:00Z")

    monkeypatch.setattr(uploads, "finish", finish_and_delete)
    told = api.complete(upload, md5s(PARTS)).data
    assert "url" not in told
    assert (told["fileId"], told["size"]) == (upload, len(CONTENT))
    for _ in range(2):
        api.complete(upload, md5s(PARTS)).problem(404, "no_such_upload")


# Nothing of the server's own -----------------------------------------------------------------------------------------


def check(answer: Answer, root: Path, *statuses: int) -> None:
    """The answer is a problem of one of these statuses, and tells nothing that only the server knows."""
    text = answer.content.decode()
    assert answer.status in statuses, text
    assert not OURS.search(text), text
    assert str(root.parent) not in text
    assert UPLOADS not in text


def failing(number: int) -> Callable[[pytest.MonkeyPatch, Path], None]:
    """Let whatever is opened or asked about where files come to rest fail like this."""

    def fail(patch: pytest.MonkeyPatch, root: Path) -> None:
        def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(path: Any, *arguments: Any, **options: Any) -> Any:
                if str(path).startswith(str(root)):
                    raise OSError(number, os.strerror(number), str(path))
                return real(path, *arguments, **options)

            return call

        for name in ("open", "statvfs", "mkdir"):
            patch.setattr(os, name, guarded(getattr(os, name)))

    return fail


def _a_file_stands_there(_: pytest.MonkeyPatch, root: Path) -> None:
    (root / UPLOADS).rename(root / "away")
    (root / UPLOADS).write_bytes(b"a file")


FAILURES: dict[str, Callable[[pytest.MonkeyPatch, Path], None]] = {
    "input/output error": failing(errno.EIO),
    "read-only": failing(errno.EROFS),
    "no space": failing(errno.ENOSPC),
    "forbidden": failing(errno.EACCES),
    "a file stands there": _a_file_stands_there,
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_no_answer_tells_of_the_server_when_its_storage_fails(
    api: Failing, root: Path, monkeypatch: pytest.MonkeyPatch, fail: Callable[[pytest.MonkeyPatch, Path], None]
) -> None:
    steps: dict[str, Callable[[Uploads, int], Answer]] = {**STEPS, "initiate": lambda api, _: api.initiate()}
    uploads_ = {name: sent(api, {1: PARTS[1]}) for name in steps}
    api.client.raise_request_exception = False  # type: ignore[union-attr]
    with monkeypatch.context() as patch:
        fail(patch, root)
        for name, step in steps.items():
            check(step(api, uploads_[name]), root, 200, 204, 404, 409, 503, 507)
        check(api.initiate(), root, 503, 507)
        check(api.part(uploads_["part"], 2, b"x"), root, 503, 507)


def test_whoever_completes_beside_another_is_told_when_to_ask_again(
    api: Failing, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "PATIENCE_SECONDS", 0.05)
    upload = sent(api)
    with PartJournal(root / UPLOADS / str(upload) / "journal").held():
        answer = api.complete(upload, md5s(PARTS))
    check(answer, root, 503)
    assert int(answer.headers["Retry-After"]) > 0
    api.complete(upload, md5s(PARTS)).data  # noqa: B018 - that it is one


def field(headers: bytes) -> bytes:
    return f"--{BOUNDARY}\r\n".encode() + headers + f"\r\n\r\nx\r\n--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(field(b"Content-Disposition"), id="a header without a colon"),
        pytest.param(field(b"Content-Disposition: \xff\xfe"), id="a header of no encoding"),
        pytest.param(field(b"Content-Type: text/plain"), id="no disposition"),
        pytest.param(field(b"Content-Disposition: form-data"), id="no name"),
        pytest.param(field(b"Content-Disposition: attachment; name=a"), id="another disposition"),
        pytest.param(field(b"\x00: \x00"), id="zeros"),
        pytest.param(field(b" continued"), id="a continuation of nothing"),
        pytest.param(field(b"Content-Disposition: form-data; name=a\r\n:"), id="a header without a name"),
        pytest.param(field(b'Content-Disposition: form-data; name="a"\r\nContent-Length: x'), id="no number"),
        pytest.param(field(b'Content-Disposition: form-data; name="a"; x="' + b"y" * 20_000), id="a long header"),
        pytest.param(field(b'Content-Disposition: form-data; name="a"\r\nContent-Type: a; charset=\xff'), id="charset"),
        pytest.param(b"\xff" * 200, id="no form at all"),
        pytest.param(f"--{BOUNDARY}\n".encode(), id="a wrong line break"),
        pytest.param(f"--{BOUNDARY}x".encode(), id="a byte behind the boundary"),
        pytest.param(field(b"")[:60], id="cut off"),
    ],
)
def test_no_answer_tells_how_forms_are_read(api: Failing, root: Path, data: bytes) -> None:
    answer = api.ask("POST", "", headers={"Content-Type": Form([]).content_type}, data=data)
    check(answer, root, 400)
    assert "('" not in answer.body["detail"], "a tuple of Python's"
    assert "\\x" not in answer.body["detail"]


def test_a_file_in_front_of_its_fields_that_is_too_large_is_told_what_to_do(
    api: Failing, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_ASIDE_BYTES", 1000)
    upload = api.begin()
    fields = [("file", File(b"x" * 2000)), ("fileId", upload), ("part", 1)]
    answer = api.post(Form(fields))
    check(answer, root, 413)
    assert "last" in answer.body["detail"]
    assert api.stored(upload) == {}
