"""The source document's three flows, by a client that knows nothing else, on the web process as it is shipped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from websockets.sync.client import ClientConnection, connect

from tests.integration.conftest import Web
from tests.integration.tasks_api.document import EXAMPLES, differences

TIMEOUT_SECONDS = 10
PUBLIC_HASH = "QmTxvr8VXe37apeBjyPeAGZi5JiRSbwn8mr2DuuqR517Lo"
PRIVATE_HASH = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
PEER = "QmdUVasivefLGRkT4R9mzcp82Qoc47UBb5G9bHXdZkW3RP"


@dataclass
class Desktop:
    """The document's client: its paths to the letter, form data, and the token in HTTP_TOKEN."""

    url: str
    token: str
    as_multipart: bool = True
    calls: set[str] = field(default_factory=set)

    def new_upload(self, **form: Any) -> dict[str, Any]:
        return self._data("POST", "/api/v1/tasks/upload/pbulic/", form)

    def report_upload(self, task_id: int, **form: Any) -> dict[str, Any]:
        return self._data("PATCH", "/api/v1/tasks/upload/pbulic/{任务ID}/", form, task_id)

    def new_download(self, source_id: int) -> dict[str, Any]:
        return self._data("GET", "/api/v1/tasks/download/", {"source_id": source_id})

    def report_download(self, task_id: int, **form: Any) -> dict[str, Any]:
        return self._data("PATCH", "/api/v1/tasks/download/{任务ID}/", form, task_id)

    def download(self, task_id: int) -> dict[str, Any]:
        return self._data("GET", "/api/v1/tasks/download/{任务ID}/", {}, task_id)

    def private_uploads(self) -> dict[str, Any]:
        return self._answer("GET", "/api/v1/tasks/upload/private/", {}, None)

    def report_private(self, task_id: int, **form: Any) -> dict[str, Any]:
        return self._data("PATCH", "/api/v1/tasks/upload/private/{任务ID}", form, task_id)

    def _data(self, method: str, path: str, form: dict[str, Any], task_id: int | None = None) -> dict[str, Any]:
        data: dict[str, Any] = self._answer(method, path, form, task_id)["data"]
        return data

    def _answer(self, method: str, path: str, form: dict[str, Any], task_id: int | None) -> dict[str, Any]:
        address = self.url + path.replace("{任务ID}", str(task_id))
        sent = (
            {"files": {name: (None, str(value)) for name, value in form.items()}}
            if self.as_multipart
            else {"data": form}
        )
        response = requests.request(
            method, address, headers={"HTTP_TOKEN": self.token}, timeout=TIMEOUT_SECONDS, allow_redirects=False, **sent
        )  # type: ignore[arg-type]
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        call = f"{method} {path}"
        self.calls.add(call)
        assert differences(call, answer) is None
        assert answer["message"] == ""
        return answer


@pytest.fixture(params=[True, False], ids=["multipart", "urlencoded"])
def multipart(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def ann(web: Web, multipart: bool) -> Desktop:  # noqa: FBT001 - a fixture
    return Desktop(web.url, web.token, multipart)


@pytest.fixture
def bob(web: Web, multipart: bool) -> Desktop:  # noqa: FBT001 - a fixture
    return Desktop(web.url, web.new_token("--user", "bob-of-the-flows"), multipart)


class Ear:
    """What a user's socket is told of tasks."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    def hears(self, kind: str, **facts: Any) -> None:
        """The next frame tells of a task of this kind with these facts."""
        name, inner = json.loads(self._socket.recv(timeout=TIMEOUT_SECONDS))
        told = json.loads(inner)
        assert (name, set(told), told["kind"]) == ("task_update", {"kind", "task"}, kind)
        call = "GET /api/v1/tasks/download/{任务ID}/" if kind == "download" else "POST /api/v1/tasks/upload/pbulic/"
        assert differences(call, {"data": told["task"], "message": ""}) is None
        assert {name: told["task"][name] for name in facts} == facts

    def hears_nothing(self) -> None:
        with pytest.raises(TimeoutError):
            self._socket.recv(timeout=0.3)


@pytest.fixture
def ears(web: Web, ann: Desktop, bob: Desktop) -> Iterator[list[Ear]]:
    """Those of ann, bob and staff."""
    tokens = (ann.token, bob.token, web.staff_token)
    with ExitStack() as sockets:
        opened = [connect(web.events_url, additional_headers={"Token": token}) for token in tokens]
        yield [Ear(sockets.enter_context(socket)) for socket in opened]


NAME = "仙剑奇侠传-电视版（第21集）"
BLOCK = {"name": "第21集.pub", "file": "仙剑奇侠传", "hash": PUBLIC_HASH, "size": 102400, "ip": PEER}
KEY = {"name": "第21集.key", "file": "仙剑奇侠传", "hash": PRIVATE_HASH, "size": 512, "ip": PEER}


def told(ears: list[Ear], kind: str, **facts: Any) -> None:
    """All of them hear of it."""
    for ear in ears:
        ear.hears(kind, **facts)


def upload_public(ann: Desktop, ears: list[Ear], uuid: str) -> dict[str, Any]:
    """The document's first flow; what the last answer tells of the task."""
    task = ann.new_upload(series_id=233, uuid=uuid, source_name=NAME)
    assert (task["status"], task["percent"], task["series_id"], task["source_name"]) == (0, 0, 233, NAME)
    assert [task[unset] for unset in BLOCK] == ["", "", "", 0, ""]
    unknown = {"name": "第21集.pub", "file": "仙剑奇侠传", "hash": "", "size": 0, "ip": ""}
    for status, percent in ((1, 10), (1, 90), (2, 50), (3, 0), (3, 70)):
        answer = ann.report_upload(task["id"], status=status, percent=percent, **unknown)
        assert (answer["status"], answer["percent"]) == (status, percent)
        told(ears, "public_upload", id=task["id"], status=status, percent=percent)
    answer = ann.report_upload(task["id"], status=8, percent=100, **{**BLOCK, "size": 102400.0})
    assert answer == {**task, "status": 8, "percent": 100, **BLOCK}
    told(ears, "public_upload", id=task["id"], status=8, **BLOCK)
    return answer


def download_public(bob: Desktop, ears: list[Ear], source_id: int) -> int:
    """The document's second flow up to where the private block is waited for; the task."""
    task = bob.new_download(source_id)
    assert bob.new_download(source_id)["id"] == task["id"]
    assert (task["status"], task["percent"]) == (0, 0)
    assert {name: task[name] for name in BLOCK} == BLOCK
    for status, form in ((4, {"percent": 30}), (4, {"percent": 100}), (5, {})):
        bob.report_download(task["id"], status=status, **form)
        told(ears, "download", id=task["id"], status=status, percent=form.get("percent", 0))
    waiting = bob.download(task["id"])
    assert (waiting["status"], waiting["private_status"], waiting["private_hash"]) == (5, 0, "")
    return int(task["id"])


def upload_private(ann: Desktop, ears: list[list[Ear]], source_id: int) -> None:
    """The document's third flow; the ears of who uploads, and of who downloads."""
    answer = ann.private_uploads()
    assert answer["meta"]["status_choices"] == EXAMPLES["GET /api/v1/tasks/upload/private/"]["meta"]["status_choices"]
    [task] = [each for each in answer["data"] if each["source_id"] == source_id]
    assert (task["status"], task["source_name"], task["hash"]) == (0, NAME, "")
    for status, percent, shown in ((3, 40, ""), (8, 100, PRIVATE_HASH)):
        ann.report_private(task["id"], status=status, percent=percent, **KEY)
        told(ears[0], "private_upload", id=task["id"], status=status, percent=percent, **KEY)
        told(ears[1], "download", source_id=source_id, private_status=status, private_hash=shown)
    assert task["id"] not in [each["id"] for each in ann.private_uploads()["data"]]


def finish_download(bob: Desktop, ears: list[Ear], task_id: int) -> None:
    """The rest of the second flow."""
    ready = bob.download(task_id)
    assert (ready["private_hash"], ready["private_size"], ready["private_name"]) == (PRIVATE_HASH, 512, KEY["name"])
    for status in (6, 7, 8):
        bob.report_download(task_id, status=status, percent=100)
        told(ears, "download", id=task_id, status=status)
    assert bob.report_download(task_id, status=8, percent=100)["status"] == 8, "again, which is no news"


def test_the_three_flows(web: Web, ann: Desktop, bob: Desktop, ears: list[Ear]) -> None:
    of_ann, of_bob, of_staff = ears
    uploaded = upload_public(ann, [of_ann, of_staff], uuid=f"28350923-{ann.as_multipart}")
    source_id = uploaded["source_id"]
    web.write(  # the owner's grant
        "INSERT INTO tasks_api_grant (source_id, user_id, created_at) "
        "SELECT ?, id, CURRENT_TIMESTAMP FROM auth_user WHERE username = 'bob-of-the-flows'",
        source_id,
    )
    download_id = download_public(bob, ears, source_id)
    upload_private(ann, [[of_ann, of_staff], [of_ann, of_bob, of_staff]], source_id)
    finish_download(bob, ears, download_id)
    for ear in ears:
        ear.hears_nothing()
    assert bob.new_download(source_id)["id"] != download_id, "the last one has ended"
    assert ann.calls | bob.calls == set(EXAMPLES)
