"""A walk through the whole API of a running service, and what it answered and told on the socket.

`python -m tests.tour` writes what it heard to `config/openapi/examples.yml` and `docs/sockets.yml`, from where the
API's description and `docs/sockets.md` have their examples; `tests/e2e/test_described.py` holds them against another.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.e2e.carryon import Carryon, running_carryon
from tests.origin import Behaviour, GeneratedFile, Origin
from tests.servers import manage
from tests.service import REPOSITORY, wait_until

EXAMPLES = REPOSITORY / "config" / "openapi" / "examples.yml"
FRAMES = REPOSITORY / "docs" / "sockets.yml"
UPLOADS = "/ehealth-base/multipart/upload"
TASKS = "/api/v1/tasks"
SYNC = "/api/file/raylinksync"
PUBLIC_HASH = "QmTxvr8VXe37apeBjyPeAGZi5JiRSbwn8mr2DuuqR517Lo"
PRIVATE_HASH = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
PEER = "QmdUVasivefLGRkT4R9mzcp82Qoc47UBb5G9bHXdZkW3RP"
PART = b"carryon " * 8192
END_SECONDS = 60
_WORKER = re.compile(r'("worker": ")[^"]+"')
"""Names a host."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer, as JSON; None for what is not JSON."""

    operation: str
    request: Any
    status: int
    answer: Any


@dataclass
class Tour:
    """One user who does everything once."""

    carryon: Carryon
    origin: Origin
    sources: Path
    token: str = ""
    exchanges: list[Exchange] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The first user, who may do everything."""
        self.token = self.token or self.carryon.admin.token

    def ask(self, operation: str, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Ask, note it, and give the answer's JSON; AssertionError when it is a refusal."""
        headers = {"Authorization": f"Token {self.token}", **options.pop("headers", {})}
        if "files" not in options and "data" not in options:
            options["json"] = body
        reply = requests.request(method, self.carryon.service.url + path, headers=headers, timeout=60, **options)
        assert reply.ok, (operation, reply.status_code, reply.text)
        is_json = "json" in reply.headers.get("Content-Type", "")
        answer = reply.json() if is_json and reply.content else None
        self.exchanges.append(Exchange(operation, body, reply.status_code, answer))
        return answer

    def until(self, wanted: Callable[[Any], bool], *question: Any) -> Any:
        """Ask again and again until the answer is wanted; only what came last is noted."""
        deadline = time.monotonic() + END_SECONDS
        while not wanted(answer := self.ask(*question)):
            assert time.monotonic() < deadline, answer
            self.exchanges.pop()
            time.sleep(0.1)
        return answer

    def downloads(self) -> None:
        """Start, check, stop, go on, look."""
        url = self.origin.add("/film.mov", GeneratedFile(6_000_000, seed=1), Behaviour(rate=2_000_000))
        asked = {"fileUrl": url, "outputFolder": "films", "cid": "studio", "fid": "film-1"}
        start = ("download_start", "POST", "/api/file/download", asked)
        download = self.ask(*start)["data"]["id"]
        self.until(
            lambda answer: answer["data"]["lastEvent"]["data"].get("downloaded", 0) > 0,
            *("download_check", "POST", "/api/file/download/check", asked),
        )
        self.ask("download_stop", "POST", "/api/file/download/stop", asked)
        self.until(
            lambda a: a["data"]["state"] == "stopped", "download_detail", "GET", f"/api/file/download/{download}"
        )
        self.ask(*start, headers={"Prefer": "respond-async"})
        self.until(
            lambda answer: answer["data"]["state"] == "completed" and answer["data"]["storedFile"]["sha256"],
            *("download_detail", "GET", f"/api/file/download/{download}"),
        )
        self.ask("download_list", "GET", "/api/file/download?cid=studio")
        gone = self.origin.add("/gone.mov", b"", Behaviour(status=404))
        failed = {"fileUrl": gone, "cid": "studio", "fid": "gone"}
        self._refused("download_start", "/api/file/download", failed)

    def uploads(self) -> list[str]:
        """Two files by form and by raw parts, one upload that is ended; the files' ids."""
        ids = []
        for name in ("take-1.mov", "take-2.mov"):
            upload = self._begun(name)
            self._form("upload", fileId=upload, part=1, file=(name, PART))
            self.ask("upload_part", "PUT", f"{UPLOADS}/{upload}/parts/2", data=PART)
            self.ask("upload_detail", "GET", f"{UPLOADS}/{upload}")
            parts = json.dumps(dict.fromkeys(("1", "2"), hashlib.md5(PART, usedforsecurity=False).hexdigest()))
            ids.append(str(self._form("upload", option="complete", fileId=upload, parts=parts)["id"]))
        self.ask("upload_abort", "DELETE", f"{UPLOADS}/{self._begun('never.mov')}")
        return ids

    def files(self, ids: list[str]) -> None:
        """Look at them, get one, delete one that is on no list."""
        for file_id in ids:
            self.until(lambda answer: bool(answer["crc32"]), "file_detail", "GET", f"/files/{file_id}")
        self.ask("file_list", "GET", "/files/?folder=takes")
        self.ask("file_usage", "GET", "/files/usage")
        self.ask("file_content", "GET", f"/files/{ids[0]}/content")
        self.ask("file_content", "GET", f"/files/{ids[0]}/content", headers={"Range": "bytes=0-99"})

    def orders(self, ids: list[str]) -> None:
        """Browse, pick, review, order, zip."""
        folders = self.ask("entity_children", "POST", "/entity/children", {"parentId": None})["page"]
        takes = next(folder["id"] for folder in folders if folder["name"] == "takes")
        self.ask("entity_children", "POST", "/entity/children", {"parentId": takes, "partMask": 3})
        of = [{"fileHandleId": file_id} for file_id in ids]
        self.ask("list_add", "POST", "/download/list/me/add", of[0])
        for method in ("PUT", "POST"):
            operation = f"list_add_start_{method.lower()}"
            job = self.ask(operation, method, "/download/list/me/add/async/start", {"parentId": takes})["jobId"]
            self._result("list_job", f"/async/get/{job}")
            self._result("list_add_result", f"/download/list/me/add?jobId={job}")
        self.ask("list_detail", "GET", "/download/list/me")
        order = self.ask("order_make", "PUT", "/download/list/me/order", {"zipFileName": "takes", "subSet": of[:1]})
        path = f"/download/order/{order['orderId']}"
        self.ask("order_detail", "GET", path)
        self.ask("order_zip", "GET", f"{path}/zip")
        job = self.ask("order_start", "POST", f"{path}/async/start")["jobId"]
        self._result("order_result_get", f"{path}/async/get/{job}")
        self._result("order_result_post", f"{path}/async/get/{job}", "POST")
        self.ask("order_zip", "GET", f"{path}/zip", headers={"Range": "bytes=0-99"})
        self.ask("order_state", "GET", f"{path}/state")
        self.ask("order_failures", "GET", f"{path}/failures")
        self.ask("order_history", "GET", "/download/order/me/history")
        self.ask("list_remove", "POST", "/download/list/me/remove", of[1:])
        self.ask("list_clear", "DELETE", "/download/list/me")
        self.ask("file_delete", "DELETE", f"/files/{ids[1]}")

    def tasks(self) -> None:
        """An upload of both blocks, and a download."""
        created = {"series_id": 233, "uuid": "283509238", "source_name": "film.mov"}
        task = self.ask("public_upload_create", "POST", f"{TASKS}/upload/pbulic/", created)["data"]
        public = f"{TASKS}/upload/pbulic/{task['id']}/"
        self.ask("public_upload_report", "PATCH", public, {"status": 3, "percent": 40})
        whole = {"status": 8, "hash": PUBLIC_HASH, "size": 1073741824, "name": "film.pub", "file": "film", "ip": PEER}
        self.ask("public_upload_report", "PATCH", public, whole)
        self.ask("public_upload_detail", "GET", public)
        self.ask("public_upload_list", "GET", f"{TASKS}/upload/pbulic/")
        source = {"source_id": task["source_id"]}
        by_get = f"{TASKS}/download/?source_id={task['source_id']}"
        download = self.ask("download_task_create_by_get", "GET", by_get)["data"]["id"]
        self.ask("download_task_create", "POST", f"{TASKS}/download/", source)
        self.ask("download_task_report", "PATCH", f"{TASKS}/download/{download}/", {"status": 4, "percent": 10})
        private = self.ask("private_upload_list", "GET", f"{TASKS}/upload/private/")["data"][0]["id"]
        key = {"status": 8, "hash": PRIVATE_HASH, "size": 4096, "name": "film.key", "file": "film", "ip": PEER}
        self.ask("private_upload_report", "PATCH", f"{TASKS}/upload/private/{private}", key)
        self.ask("private_upload_detail", "GET", f"{TASKS}/upload/private/{private}/")
        self.ask("download_task_detail", "GET", f"{TASKS}/download/{download}/")
        self.ask("download_task_list", "GET", f"{TASKS}/downloads/")
        self.ask("series_sources", "GET", "/api/v1/series/233/sources/")
        self.ask("user_me", "GET", "/api/v1/users/me/")

    def syncs(self) -> None:
        """A case, made and brought up, and looked at."""
        case = {"ownerGroupId": "clinic-1", "pid": "P-0002", "projectname": "skull", "projecttype": "scan"}
        case |= {"labId": "lab-7", "region": "ap-northeast-2", "s3keypath": "userdata/clinic-1/lab-7/P-0002/skull"}
        made = self.ask("case_create", "POST", "/api/cases/", case)
        self.ask("case_create", "POST", "/api/cases/", case)
        self.ask("case_detail", "GET", f"/api/cases/{made['_id']}/")
        self.ask("case_list", "GET", "/api/cases/")
        folder = self.sources / "jaw"
        folder.mkdir()
        for number in (1, 2, 3):
            (folder / f"jaw-{number}.stl").write_bytes(PART * number)
        job = self._synced(folder, dryRun=True)
        self.until(lambda a: a["data"]["state"] == "completed", "sync_look", "GET", f"{SYNC}/{job}")
        job = self._synced(folder)
        self.until(lambda a: a["data"]["state"] == "completed", "sync_look", "GET", f"{SYNC}/{job}")
        (self.sources / "other").mkdir()
        for number in range(300):
            (self.sources / "other" / f"{number}.stl").write_bytes(PART[:1000])
        other = self._synced(self.sources / "other", pid="P-0003")
        self.ask("sync_stop", "POST", f"{SYNC}/{other}/stop")

    # Steps

    def _begun(self, name: str) -> int:
        begun = self._form("upload", option="initiate", catalog="takes", fileName=name, fileSize=2 * len(PART))
        return int(begun["fileId"])

    def _form(self, operation: str, **fields: Any) -> Any:
        files = {name: value if isinstance(value, tuple) else (None, str(value)) for name, value in fields.items()}
        shown = {name: value for name, value in fields.items() if not isinstance(value, tuple)}
        return self.ask(operation, "POST", UPLOADS, shown, files=files)

    def _result(self, operation: str, path: str, method: str = "GET") -> Any:
        return self.until(lambda answer: answer.get("jobState") != "PROCESSING", operation, method, path)

    def _synced(self, folder: Path, *, pid: str = "P-0001", **fields: Any) -> str:
        asked = {
            "up": True,
            "apiUrl": f"{self.carryon.service.url}/api",
            "source": str(folder),
            "projectname": folder.name,
            "pid": pid,
            "projecttype": "scan",
            "s3keypath": f"userdata/clinic-1/lab-7/{pid}/{folder.name}",
            "ownerGroupId": "clinic-1",
            "labId": "lab-7",
            "region": "ap-northeast-2",
        }
        return str(self.ask("sync_ask", "POST", SYNC, asked | fields)["data"]["jobId"])

    def _refused(self, operation: str, path: str, body: Any) -> None:
        url = self.carryon.service.url + path
        reply = requests.post(url, json=body, headers={"Authorization": f"Token {self.token}"}, timeout=60)
        assert not reply.ok
        self.exchanges.append(Exchange(operation, body, reply.status_code, reply.json()))


@dataclass(frozen=True, slots=True)
class Heard:
    """What a tour has heard, with nothing of this machine in it."""

    exchanges: list[Exchange]
    frames: list[tuple[str, Any]]
    """Event names and bodies, in the order in which they came."""


def toured(folder: Path) -> Heard:
    """Run a service, walk through all of it, and tell what was heard."""
    sources = folder / "sources"
    sources.mkdir()
    variables = {"SYNC_SOURCE_ROOTS": str(sources), "DOWNLOAD_PARALLEL_MIN_BYTES": str(2**30)}
    with Origin() as origin, running_carryon(folder / "data", **variables) as carryon:
        manage(carryon.data_dir, "create_token", "--user", "ann", **carryon.variables)
        with carryon.admin.listening() as listener:
            tour = Tour(carryon, origin, sources)
            tour.downloads()
            files = tour.uploads()
            tour.files(files)
            tour.orders(files)
            tour.tasks()
            tour.syncs()
            wait_until(lambda: any(_is_end(frame.body) for frame in listener.frames()[-3:]), END_SECONDS)
            frames = [(frame.name, frame.body) for frame in listener.frames()]
        names = {str(carryon.data_dir): "/srv/carryon", carryon.service.url: "http://127.0.0.1:8008"}
        names |= {str(sources): "/srv/scans", origin.url(""): "https://films.example"}
        exchanges = [Exchange(e.operation, *_told((e.request, e.status, e.answer), names)) for e in tour.exchanges]
    return Heard(exchanges, [(name, _told(body, names)) for name, body in frames])


def _is_end(body: dict[str, Any]) -> bool:
    return body.get("state") in ("stopped", "completed", "failed")


def _told(value: Any, names: dict[str, str]) -> Any:
    """The value without what only this machine has."""
    text = _WORKER.sub(r'\1host-1.5f0c1d2e:4711:812345-1a1c43abbe1c"', json.dumps(value))
    for here, anywhere in names.items():
        text = text.replace(json.dumps(here)[1:-1], anywhere)
    return json.loads(text)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tour-", dir="/tmp") as name:
        yield Path(name)


def as_examples(exchanges: list[Exchange]) -> dict[str, dict[str, list[Any]]]:
    """By operation: requests, and answers by their status; of each set of names the last one."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for exchange in exchanges:
        told = found.setdefault(exchange.operation, {})
        for role, value in (("request", exchange.request), (str(exchange.status), exchange.answer)):
            if value is not None:
                told.setdefault(role, {})[_names(value)] = value
    return {
        name: {role: list(values.values()) for role, values in sorted(told.items())}
        for name, told in sorted(found.items())
        if told
    }


def _names(value: Any) -> str:
    return str(sorted(value)) if isinstance(value, dict) else "list"


def kind_of(name: str, body: dict[str, Any]) -> str:
    """What a frame tells, in a word or two."""
    if name == "download_stream":
        told = body["message"]
        return str(told.get("status", "Range")) + ("_stopped" if told.get("data", {}).get("reason") else "")
    if name == "list_job":
        return f"{'order' if 'orderId' in body else 'list'}_job_{body['jobState']}"
    if name == "task_update":
        return f"{name}_{body['kind']}"
    return f"{name}_{body['state']}"


def as_frames(frames: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    """By kind: the last frame of it, as `[name, body]`."""
    last = {kind_of(name, body): [name, body] for name, body in frames}
    return dict(sorted(last.items()))


def main() -> None:
    """Write what a tour has heard."""
    with _folder() as folder:
        heard = toured(folder)
    for path, found in ((EXAMPLES, as_examples(heard.exchanges)), (FRAMES, as_frames(heard.frames))):
        path.parent.mkdir(exist_ok=True)
        head = "# Heard of a running service by `python -m tests.tour`.\n"
        path.write_text(head + yaml.safe_dump(found, allow_unicode=True, sort_keys=False, width=120))


if __name__ == "__main__":
    main()
