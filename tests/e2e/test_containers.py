"""docker-compose.yml brought up for real, where there is a Docker engine: all five subsystems, and a worker killed.

The images of Python, nginx, PostgreSQL and Valkey are pulled; the variables `…_IMAGE`, `PIP_INDEX_URL` and
`PIP_TRUSTED_HOST` name others, as they do in production.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.compose import composes
from tests.servers import free_port
from tests.service import REPOSITORY

SETTINGS = {"FETCH_ALLOW": "carryon-scale-origin", "SYNC_SOURCE_ROOTS": "/data/downloads"}
MIRRORS = ("PYTHON_IMAGE", "NGINX_IMAGE", "POSTGRES_IMAGE", "VALKEY_IMAGE", "PIP_INDEX_URL", "PIP_TRUSTED_HOST")


def has_engine() -> bool:
    try:
        return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@dataclass(frozen=True)
class Deployed:
    """A copy of this tree that runs in containers."""

    folder: Path
    compose: list[str]
    port: int

    def run(self, *command: str, **variables: str) -> str:
        """What the command says; AssertionError when it fails."""
        environment = {**os.environ, **variables}
        done = subprocess.run(
            command,
            check=False,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, (command, done.stdout[-5000:])
        return done.stdout

    def script(self, module: str, *options: str) -> str:
        """What `deploy/<script>` says of these containers."""
        (token,) = re.findall(r"token (\w{64})", self.run(*self.compose, "logs", "--no-color", "migrate"))
        where = ("--compose", " ".join(self.compose), "--url", f"http://127.0.0.1:{self.port}")
        return self.run(sys.executable, "-m", module, *where, *options, CARRYON_TOKEN=token)


@pytest.fixture(params=["secrets in .env", "secrets in files"])
def deployed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployed]:
    """The tree as it is committed or changed, up with two workers; the second under the oldest Compose there is."""
    if not has_engine():
        pytest.skip("needs a Docker engine")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, tmp_path / name)
    mark = uuid.uuid4().hex[:8]
    own = {"COMPOSE_PROJECT_NAME": f"carryon{mark}", "CARRYON_VERSION": mark}
    in_files = "files" in request.param
    _, compose = (min if in_files else max)(composes().items())
    made = Deployed(tmp_path, compose, free_port())
    given = {name: os.environ[name] for name in MIRRORS if name in os.environ}
    address = f"127.0.0.1:{made.port}"
    lines = {**own, **SETTINGS, **given, "CARRYON_BIND": address, "PUBLIC_URL": f"http://{address}"}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    made.run("deploy/make-secrets", *(["--files"] if in_files else []))
    try:
        made.run(*made.compose, "up", "--build", "--detach", "--scale", "worker=2")
        yield made
    finally:
        made.run(*made.compose, "down", "--volumes", "--rmi", "local")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_containers_do_everything_and_lose_nothing(deployed: Deployed) -> None:
    assert "All of it works." in deployed.script("deploy.smoke")
    assert "the same" in deployed.script("deploy.scale_test", "--size", "64")
