"""A service backed up amid transfers, wrecked, restored: what was acknowledged is there, and transfers go on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from tests.e2e.carryon import Carryon, running_carryon, sha256
from tests.e2e.uploads import md5
from tests.origin import Behaviour, GeneratedFile, Origin
from tests.postgres import find_programs, running_postgres
from tests.servers import environment_of
from tests.service import REPOSITORY, wait_until

MIB = 2**20
UPLOADS = "/ehealth-base/multipart/upload"
PART = MIB
RATE = 4_000_000
JOURNALLED_BYTES = 8 * MIB
"""At least so much of 32 MiB has been vouched for: it is, every 4 s."""
KEY = "a key of forty characters, for tests only"


@pytest.fixture(params=["sqlite", "postgresql"])
def variables(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """What a service on that database is started with."""
    one = {"DOWNLOAD_PARALLEL_MIN_BYTES": str(2**30)}  # so that an attempt tells from where it went on
    if request.param == "sqlite":
        yield one
        return
    with running_postgres() as url:
        yield {
            "DATABASE_URL": url,
            "SECRET_KEY": KEY,
            **one,
            "PATH": f"{find_programs()}{os.pathsep}{os.environ['PATH']}",
        }


def command(data_dir: Path, variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=environment_of(data_dir, variables),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def backed_up(data_dir: Path, variables: dict[str, str], destination: Path, *options: str) -> Path:
    done = command(data_dir, variables, "backup", str(destination), *options)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip().splitlines()[-1])


@contextmanager
def emptied(variables: dict[str, str]) -> Iterator[None]:
    """The database's tables are gone when the block begins."""
    if "DATABASE_URL" in variables:
        with psycopg.connect(variables["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
    yield


class Uploading:
    """An upload of three parts."""

    def __init__(self, carryon: Carryon, name: str) -> None:
        self.parts = {number: os.urandom(PART) for number in (1, 2, 3)}
        self.use(carryon.service.url, carryon.admin.token)
        begun = self.ask(option="initiate", catalog="films", fileName=name, fileSize=3 * PART)
        self.id = begun["fileId"]

    def use(self, url: str, token: str) -> None:
        """Go on with the service there."""
        self._url, self._headers = url, {"Authorization": f"Token {token}"}

    def ask(self, **fields: Any) -> dict[str, Any]:
        files = {name: (None, str(value)) for name, value in fields.items()}
        answer = requests.post(self._url + UPLOADS, files=files, headers=self._headers, timeout=60)
        assert answer.ok, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def send(self, number: int) -> None:
        url = f"{self._url}{UPLOADS}/{self.id}/parts/{number}"
        assert requests.put(url, data=self.parts[number], headers=self._headers, timeout=60).ok

    def stored(self) -> dict[str, str]:
        parts: dict[str, str] = self.ask(option="initiate", fileId=self.id)["parts"]
        return parts

    def complete(self) -> bytes:
        """Complete it; the bytes that the service then has."""
        done = self.ask(option="complete", fileId=self.id, parts=json.dumps(self.md5s()))
        return requests.get(done["url"], headers=self._headers, timeout=60).content

    def md5s(self) -> dict[str, str]:
        return {str(number): md5(part) for number, part in self.parts.items()}

    @property
    def content(self) -> bytes:
        return b"".join(self.parts.values())


def test_amid_transfers_backed_up_wrecked_and_restored(
    variables: dict[str, str], tmp_path: Path, origin: Origin
) -> None:
    data_dir, backups = tmp_path / "data", tmp_path / "backups"
    file = GeneratedFile(200_000_000, seed=7)
    url = origin.add("/long.bin", file, Behaviour(rate=RATE))
    with running_carryon(data_dir, **variables) as carryon:
        token = carryon.admin.token
        whole, open_ = Uploading(carryon, "whole.mov"), Uploading(carryon, "open.mov")
        for number in whole.parts:
            whole.send(number)
        assert whole.complete() == whole.content
        open_.send(1)
        open_.send(3)
        open_.parts[3] = os.urandom(PART)
        open_.send(3)  # in the place of what it was
        download = carryon.admin.begin(url, "long")
        carryon.admin.wait_for(download, lambda d: d["downloaded"] > 32 * MIB)
        backup = backed_up(data_dir, variables, backups)
        assert carryon.admin.detail(download)["state"] == "running"  # it was not disturbed
        carryon.service.process.send_signal(signal.SIGKILL)
        carryon.service.process.wait()
        wait_until(lambda: _gone(carryon), 30)
    shutil.rmtree(data_dir)
    with emptied(variables):
        restored = command(data_dir, variables, "restore", str(backup))
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert "All is there." in restored.stdout
    origin.behave("/long.bin", Behaviour(rate=10 * RATE))
    with running_carryon(data_dir, token=token, **variables) as again:
        for upload in (whole, open_):
            upload.use(again.service.url, token)
        assert open_.stored() == {number: md5 for number, md5 in open_.md5s().items() if number != "2"}
        open_.send(2)
        assert open_.complete() == open_.content
        headers = {"Authorization": f"Token {token}"}
        content = requests.get(f"{again.service.url}/files/1/content", headers=headers, timeout=60).content
        assert content == whole.content
        detail = again.admin.wait_for_end(download)
        assert (detail["state"], detail["downloaded"]) == ("completed", file.size)
        assert sha256(detail["savePath"]) == file.sha256()
        assert detail["attempts"][-1]["startOffset"] >= JOURNALLED_BYTES  # it went on, and did not begin anew
        assert again.leftovers() == []


def _gone(carryon: Carryon) -> bool:
    return all(not Path(f"/proc/{pid}").exists() for pid in carryon.service.pids().values())
