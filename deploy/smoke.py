"""Everything once: what an operator runs after the first `up`, to see whether all of it works there.

A file is uploaded in parts and read back; one is fetched, of which the worker that is at it is killed amid it, while a
socket listens; both are ordered as a zip; a task over IPFS is reported on and polled; the fetched file is synced as a
case. All bytes are held against what was sent. Without options it starts a service of its own, whose workers are
processes; with --compose it takes the one that runs here under docker-compose.yml, through nginx. In its .env there
must be FETCH_ALLOW=carryon-scale-origin and SYNC_SOURCE_ROOTS=/data/downloads. It leaves two files, a task and a case.

Exit code 0 only when all of it worked; 1 otherwise, with what did not.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import PurePosixPath
from typing import Any

import requests

from deploy.fleet import Fleet, containers, parsed, processes
from tests.e2e.client import Client
from tests.origin import GeneratedFile

MIB = 2**20
PART_BYTES = 6 * MIB
"""More than the least that S3 takes."""
FETCHED_BYTES = 32 * MIB
RATE = 4 * MIB
"""Bytes a second, so that there is a middle to be killed in."""
KILL_AT = 8 * MIB
END_SECONDS = 180
ANSWER_SECONDS = 60
UPLOADS = "/ehealth-base/multipart/upload"
SYNCS = "/api/file/raylinksync"


class FailedError(Exception):
    """Something did not work; its text says what."""


class Smoke:
    """A walk through the service at `base`, whose workers are the fleet's."""

    def __init__(self, fleet: Fleet, base: str) -> None:
        self._fleet = fleet
        self._client = Client(base, fleet.client.token)
        self._mark = uuid.uuid4().hex[:12]
        self._folder = f"smoke-{self._mark}"
        self._files: dict[str, bytes] = {}
        """What is there now, by the ids of the stored files."""
        self._place = PurePosixPath()

    def run(self) -> None:
        """Do all of it, and print a line for each; FailedError at the first that does not work."""
        for step in (self.upload, self.download, self.order, self.task, self.sync):
            began = time.monotonic()
            told = step()
            print(f"{step.__name__:9} {time.monotonic() - began:6.1f} s  {told}", flush=True)

    def upload(self) -> str:
        """A file in two parts, by form, with the token in the header that has an underscore."""
        content = GeneratedFile(PART_BYTES + 1000, seed=7).read(0, PART_BYTES + 1000)
        begun = self._form(option="initiate", catalog=self._folder, fileName="up.bin", fileSize=len(content))["fileId"]
        pieces = {1: content[:PART_BYTES], 2: content[PART_BYTES:]}
        md5s = {n: self._form(fileId=begun, part=n, file=piece)["md5string"] for n, piece in pieces.items()}
        _must(md5s == {n: _md5(piece) for n, piece in pieces.items()}, "the MD5s of the parts are not theirs")
        file = str(self._form(option="complete", fileId=begun, parts=json.dumps(md5s))["id"])
        self._has_content(file, content)
        return f"file {file}, {len(content)} bytes in 2 parts, read back whole and by range"

    def download(self) -> str:
        """One file, a worker killed amid it."""
        source = GeneratedFile(FETCHED_BYTES, seed=11)
        url = self._fleet.url(source, "down.bin", RATE)
        doomed = self._fleet.workers()  # asking for them takes a while, which the file would use
        with self._client.listening(fid=self._mark) as listener:
            download = self._client.begin(url, self._mark, folder=self._folder)
            self._client.wait_for(download, lambda detail: detail["downloaded"] >= KILL_AT, END_SECONDS)
            for worker in doomed:
                self._fleet.end(worker, signal.SIGKILL)
            self._fleet.add()
            detail = self._client.wait_for_end(download, END_SECONDS)
            _must(detail["state"] == "completed", f"the download is {detail['state']}: {detail['error']}")
            status = listener.wait_for_end(self._mark).status
        _must(status == "STREAM_COMPLETED", f"the socket told {status}")
        tries = len(detail["attempts"])
        _must(tries > 1, "the worker was killed, and nobody took over")
        self._place = PurePosixPath(detail["savePath"]).parent
        self._has_content(str(detail["storedFile"]["id"]), source.read(0, FETCHED_BYTES))
        return f"{FETCHED_BYTES} bytes whole after {tries} attempts, {detail['bytesRefetched']} of them fetched again"

    def order(self) -> str:
        """Both files in a zip, which a worker makes."""
        wanted = [{"fileHandleId": file} for file in self._files]
        for each in wanted:
            self._ask("POST", "/download/list/me/add", each)
        made = self._ask("PUT", "/download/list/me/order", {"zipFileName": self._folder, "subSet": wanted})
        path = f"/download/order/{made['orderId']}"
        job = self._ask("POST", f"{path}/async/start")["jobId"]
        self._until(lambda a: a.get("jobState") != "PROCESSING", f"{path}/async/get/{job}")
        with zipfile.ZipFile(io.BytesIO(self._request("GET", f"{path}/zip").content)) as opened:
            found = sorted(_md5(opened.read(name)) for name in opened.namelist())
        _must(found == sorted(map(_md5, self._files.values())), "the zip has other bytes than the files")
        return f"a zip of {len(found)} files, with their bytes"

    def task(self) -> str:
        """A public upload that a desktop client reports, and a page that polls."""
        asked = {"series_id": 233, "uuid": self._mark, "source_name": "smoke.mov"}
        task = self._ask("POST", "/api/v1/tasks/upload/pbulic/", asked)["data"]["id"]
        path = f"/api/v1/tasks/upload/pbulic/{task}/"
        self._ask("PATCH", path, {"status": 3, "percent": 40})
        polled = self._request("GET", path)
        _must(polled.json()["data"]["percent"] == 40, "the report is not what is told")  # noqa: PLR2004 - as reported
        again = self._request("GET", path, headers={"If-None-Match": polled.headers["ETag"]})
        _must(again.status_code == requests.codes.not_modified, "what has not changed was told again")
        return f"task {task} reported, polled, and unchanged a 304"

    def sync(self) -> str:
        """The folder of the fetched file, as a case's source."""
        key = f"userdata/smoke/smoke/{self._mark}/{self._folder}"
        case = {"projectname": self._folder, "pid": self._mark, "projecttype": "smoke", "s3keypath": key}
        case |= {"ownerGroupId": "smoke", "labId": "smoke", "region": "ap-northeast-2"}
        asked = {"up": True, "apiUrl": f"{self._fleet.client.base}/api", "source": str(self._place), **case}
        job = self._ask("POST", SYNCS, asked)["data"]["jobId"]
        ended = self._until(lambda a: a["data"]["state"] not in ("queued", "running"), f"{SYNCS}/{job}")["data"]
        told = {name: ended[name] for name in ("state", "filesDone", "failuresCount")}
        _must(told == {"state": "completed", "filesDone": 1, "failuresCount": 0}, f"the sync ended as {told}")
        return f"{ended['filesDone']} file, {ended['bytesDone']} bytes, source → local → cloud"

    # Steps

    def _has_content(self, file: str, content: bytes) -> None:
        path = f"/files/{file}/content"
        _must(self._request("GET", path).content == content, f"file {file} has other bytes than were sent")
        part = self._request("GET", path, headers={"Range": "bytes=1000-1999"})
        _must(part.content == content[1000:2000], f"file {file} is not sent by range")
        self._files[file] = content

    def _form(self, **fields: Any) -> Any:
        files = {
            name: ("part", value) if isinstance(value, bytes) else (None, str(value)) for name, value in fields.items()
        }
        headers = {"Authorization": "", "HTTP_TOKEN": self._client.token}
        return self._request("POST", UPLOADS, files=files, headers=headers).json()

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return self._request(method, path, json=body).json()

    def _until(self, wanted: Callable[[Any], bool], path: str) -> Any:
        deadline = time.monotonic() + END_SECONDS
        while not wanted(answer := self._ask("GET", path)):
            _must(time.monotonic() < deadline, f"{path} has not ended after {END_SECONDS} s")
            time.sleep(0.2)
        return answer

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Token {self._client.token}", **options.pop("headers", {})}
        headers = {name: value for name, value in headers.items() if value}
        url = self._client.base + path
        reply = requests.request(method, url, headers=headers, timeout=ANSWER_SECONDS, **options)
        why = reply.headers.get("X-Errors") or reply.text[:300]
        _must(reply.ok, f"{method} {path} was answered {reply.status_code}: {why}")
        return reply


def _must(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - a condition
    if not holds:
        raise FailedError(otherwise)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def main() -> int:
    """Walk, and tell by the exit code whether all of it worked."""
    options = _options()
    try:
        with ExitStack() as opened:
            running = opened.enter_context(_fleet(options, opened))
            Smoke(running, running.client.base).run()
    except (FailedError, AssertionError, LookupError, OSError, ValueError, subprocess.CalledProcessError) as failed:
        print(f"It does not work: {type(failed).__name__}: {failed}", file=sys.stderr)
        return 1
    print("All of it works.")
    return 0


def _fleet(options: argparse.Namespace, opened: ExitStack) -> AbstractContextManager[Fleet]:
    if options.compose:
        return containers(options.url, os.environ["CARRYON_TOKEN"], options.compose)
    downloads = opened.enter_context(tempfile.TemporaryDirectory(prefix="carryon-smoke-"))
    return processes({"DOWNLOAD_ROOT": downloads, "SYNC_SOURCE_ROOTS": downloads})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "deploy/smoke", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return parsed(parser)


if __name__ == "__main__":
    sys.exit(main())
