"""Schemathesis, over the API as it describes itself, against the web process as it is shipped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import battery
from tests.integration.conftest import Web
from tests.integration.tasks_api.rows import CID
from tests.servers import REPOSITORY

TIMEOUT_SECONDS = 10
SERIES = 233
IDS: Mapping[str, str] = {"public_upload": "public", "private_upload": "private", "download_task": "download"}
"""The dictionary that an operation's id comes from, by how the operation's name begins."""
NAMED = [
    ("series_sources", "path.id", "series"),
    ("download_task_create_by_get", "query.source_id", "source"),
    ("download_task_create", "body.source_id", "source"),
]
GENERAL = [
    'hooks = "tests.integration.tasks_api.hooks"',
    "cache.enabled = false",
]
PATHS = {"public": "upload/pbulic", "private": "upload/private", "download": "download"}


@dataclass(frozen=True)
class Caller:
    """A user of the API."""

    url: str
    token: str

    def asks(self, method: str, path: str, **fields: Any) -> Any:
        """The answer's data."""
        response = requests.request(
            method,
            f"{self.url}/api/v1/tasks/{path}",
            json=fields,
            headers={"Token": self.token},
            timeout=TIMEOUT_SECONDS,
        )
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def reports(self, kind: str, task_id: int, status: int, **fields: Any) -> None:
        self.asks("PATCH", f"{PATHS[kind]}/{task_id}", status=status, **fields)


@dataclass(frozen=True)
class Seeds:
    """Tasks in every state, and whose they are."""

    owner: Caller
    downloader: Caller
    ids: Mapping[str, list[int]]


@pytest.fixture(scope="module")
def seeds(web: Web) -> Seeds:
    owner, downloader = (Caller(web.url, web.new_token("--user", name)) for name in ("olga", "dora"))
    ids: dict[str, list[int]] = {"public": [], "private": [], "download": [], "series": [SERIES], "source": []}
    block = {"hash": CID, "size": 102400}

    def new_source(status: int) -> int:
        new = {"series_id": SERIES, "uuid": f"u{len(ids['source'])}", "source_name": "film.mov"}
        task = owner.asks("POST", PATHS["public"], **new)
        owner.reports("public", task["id"], status, **(block if status == 8 else {}))
        ids["public"].append(task["id"])
        ids["source"].append(task["source_id"])
        return int(task["source_id"])

    def new_download(status: int) -> None:
        source_id = new_source(8)
        web.write(
            "INSERT INTO tasks_api_grant (source_id, user_id, created_at) "
            "SELECT ?, id, CURRENT_TIMESTAMP FROM auth_user WHERE username = 'dora'",
            source_id,
        )
        task = downloader.asks("POST", PATHS["download"], source_id=source_id)
        downloader.reports("download", task["id"], status)
        ids["download"].append(task["id"])

    for status in (0, 1, 2, 3, 9):
        new_source(status)
    for status in (0, 4, 5, 6, 7, 8, 9):
        new_download(status)
    ids["private"] = [task["id"] for task in owner.asks("GET", PATHS["private"])]
    for task_id, status in zip(ids["private"], (3, 8, 9), strict=False):
        owner.reports("private", task_id, status, **(block if status == 8 else {}))
    return Seeds(owner, downloader, ids)


def configuration(ids: Mapping[str, list[int]]) -> list[str]:
    """How Schemathesis is told which ids there are, and what a description cannot say."""
    lines = [f"dictionaries.{name}.values = {json.dumps(known)}" for name, known in ids.items()]
    operations = [(f"{name}_{verb}", "path.id", known) for name, known in IDS.items() for verb in ("detail", "report")]
    operations += NAMED
    for operation, parameter, dictionary in operations:
        lines += ["[[operations]]", f'include-operation-id = "{operation}"']
        lines.append(f'parameters."{parameter}" = {{ dictionary = "{dictionary}", probability = 0.9 }}')
        if operation.endswith("_report"):  # the same state with less percent, or an upload's end without its hash
            accepted = json.dumps(["2xx", "400", "403", "404", "409"])
            lines.append(f"checks.positive_data_acceptance.expected-statuses = {accepted}")
    return lines


@pytest.mark.timeout(3600 if battery.LONG else 300)
@pytest.mark.parametrize(
    "name", ["owner", *(pytest.param(name, marks=pytest.mark.long) for name in ("downloader", "staff"))]
)
def test_every_answer_is_as_described(name: str, web: Web, seeds: Seeds, tmp_path: Path) -> None:
    token = web.staff_token if name == "staff" else getattr(seeds, name).token
    # The owner and staff see whatever has an id, so a 404 now and again is all that they may be answered.
    strict = [] if name == "downloader" else ['warnings.fail-on = ["missing_test_data"]']
    lines = [*GENERAL, *strict, *configuration(seeds.ids)]
    (tmp_path / "schemathesis.toml").write_text("\n".join(lines))
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"),
        *(f"{web.url}/api/schema/", "--include-path-regex", "^/api/v1/", "--header", f"Authorization: Bearer {token}"),
        *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"),
        *("--max-examples", str(battery.rounds(10, 1_000)), "--continue-on-failure"),
        *("--generation-with-security-parameters", "false", "--no-color"),
        *(("--generation-database", "none") if battery.LONG else ("--generation-deterministic",)),
    ]
    found = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout
    assert "Tested: 14" in found.stdout, found.stdout
