"""What a client of case sync does, and what is to be seen of it in folders."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.e2e.carryon import Carryon
from tests.service import wait_until

ANSWER_SECONDS = 90
LIVE = ("queued", "running")
GROUP = "32647eac-e413-438b-b3fe-b707e722cc74"
LAB = "42647eac-e413-438b-b3fe-b707e722cc75"
REGION = "ap-northeast-2"
OUR_MARKS = (".carryon",)


@dataclass
class CaseClient:
    """One case of one user's, at a running service."""

    carryon: Carryon
    name: str
    token: str
    patient: str = "P-0001"
    region: str = REGION
    source: Path | None = None
    uuid: str | None = None
    api_url: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.carryon.service.url}/api/file/raylinksync"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.token}"}

    @property
    def key_prefix(self) -> str:
        return f"userdata/{GROUP}/{LAB}/{self.patient}/{self.name}"

    @property
    def local(self) -> Path:
        """The case's local folder."""
        root = Path(self.carryon.variables.get("SYNC_SAVE_PATH", self.carryon.data_dir / "cases"))
        return root / GROUP / self.patient / self.name

    @property
    def cloud(self) -> Path:
        """The case's folder in a cloud that is a folder."""
        return self.carryon.data_dir / "cloud" / self.region / self.key_prefix

    def payload(self, *, up: bool, **extra: Any) -> dict[str, Any]:
        payload = {
            "up": up,
            "apiUrl": self.api_url or f"{self.carryon.service.url}/api",
            "source": str(self.source or self.local),
            "projectname": self.name,
            "pid": self.patient,
            "projecttype": "TEST-PROJECT",
            "s3keypath": self.key_prefix,
            "ownerGroupId": GROUP,
            "labId": LAB,
            "region": self.region,
        }
        return payload | ({"_id": self.uuid} if self.uuid else {}) | self.extra | extra

    def ask(self, *, up: bool, **extra: Any) -> requests.Response:
        """Ask for a sync, and take what comes."""
        return requests.post(self.url, json=self.payload(up=up, **extra), headers=self.headers, timeout=ANSWER_SECONDS)

    def begin(self, *, up: bool, **extra: Any) -> str:
        """Have the case synced; the job's id."""
        answer = self.ask(up=up, **extra)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["status"] == "success", body
        self.uuid = body["data"]["caseId"] or self.uuid
        return str(body["data"]["jobId"])

    def look(self, job_id: str) -> dict[str, Any]:
        answer = requests.get(f"{self.url}/{job_id}", headers=self.headers, timeout=ANSWER_SECONDS)
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    def stop(self, job_id: str) -> requests.Response:
        return requests.post(f"{self.url}/{job_id}/stop", headers=self.headers, timeout=ANSWER_SECONDS)

    def wait(self, job_id: str, seconds: float = 120) -> dict[str, Any]:
        """Wait until the job has ended; where it stands then."""
        deadline = time.monotonic() + seconds
        while (told := self.look(job_id))["state"] in LIVE:
            assert time.monotonic() < deadline, told
            time.sleep(0.05)
        return told

    def sync(self, *, up: bool, state: str = "completed", seconds: float = 120, **extra: Any) -> dict[str, Any]:
        """Have the case synced, and wait for its end."""
        told = self.wait(self.begin(up=up, **extra), seconds)
        assert told["state"] == state, told
        return told

    def plan(self, *, up: bool, **extra: Any) -> list[dict[str, Any]]:
        """What a dry run tells."""
        told = self.sync(up=up, dryRun=True, **extra)
        plan: list[dict[str, Any]] = told["plan"]
        return plan

    def wait_until_bytes(self, job_id: str, count: int, seconds: float = 60) -> None:
        wait_until(lambda: self.look(job_id)["bytesDone"] >= count, seconds)


def tree_of(root: Path) -> dict[str, str]:
    """All files below a folder with their MD5s, and its empty folders."""
    found: dict[str, str] = {}
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in OUR_MARKS]
        for name in files:
            path = Path(folder, name)
            found[str(path.relative_to(root))] = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        if not names and not files and Path(folder) != root:
            found[f"{Path(folder).relative_to(root)}/"] = ""
    return found


def write(root: Path, path: str, content: bytes | str, mtime: float | None = None) -> Path:
    """Write a file below a folder."""
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content.encode() if isinstance(content, str) else content)
    if mtime is not None:
        os.utime(place, (mtime, mtime))
    return place
