"""The service's own processes, started for tests: the web server as it is shipped, and a broker for its sockets."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import requests
from django.conf import settings

from config.redis import embedded_socket
from config.supervisor import programs
from config.supervisor.child import tethered
from tests.broker import running_broker

START_SECONDS = 30
STOP_SECONDS = 15
REPOSITORY = Path(__file__).resolve().parent.parent
_DATABASE = "carryon.sqlite3"


@contextmanager
def web_server(data_dir: Path, **variables: str) -> Iterator[str]:
    """Run the shipped web process on a free port of this machine, and give its base URL.

    `data_dir` becomes DATA_DIR, with a migrated database; `variables` are set besides. What the process writes is
    appended to `web.log` there. Sockets with events need `embedded_broker(data_dir)` around this.
    """
    environment = environment_of(data_dir, variables)
    migrated(data_dir, **variables)
    with socket.create_server(("127.0.0.1", 0)) as listening, (data_dir / "web.log").open("ab") as log:
        address = listening.getsockname()
        command = programs.web(listening.fileno(), address, environment).command
        process = subprocess.Popen(
            tethered(command), env=environment, cwd=REPOSITORY, pass_fds=[listening.fileno()], stdout=log, stderr=log
        )
        url = f"http://{address[0]}:{address[1]}"
        try:
            wait_until_live(url, process)
            yield url
        finally:
            stop(process)


def migrated(data_dir: Path, **variables: str) -> None:
    """Give the DATA_DIR a database with all tables and nobody in it, if it has none and it is SQLite's.

    Most tests of the whole service are not about its first start, of whose processor time the tables are a third.
    """
    database = data_dir / _DATABASE
    if variables.get("DATABASE_URL"):
        manage(data_dir, "migrate", "--verbosity", "0", **variables)
    elif not database.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        shutil.copy(_migrated_database(), database)


@functools.cache
def _migrated_database() -> Path:
    folder: Path = settings.ENVIRONMENT.data_dir / "migrated"
    manage(folder, "migrate", "--verbosity", "0")
    return folder / _DATABASE


@contextmanager
def embedded_broker(data_dir: Path) -> Iterator[None]:
    """Run the embedded broker where a service with this DATA_DIR looks for it."""
    with running_broker(data_dir / "broker", embedded_socket(data_dir / "run")):
        yield


def manage(data_dir: Path, *arguments: str, **variables: str) -> str:
    """Run `manage.py` with these arguments on that DATA_DIR, and give what it printed."""
    command = [sys.executable, "manage.py", *arguments]
    environment = environment_of(data_dir, variables)
    return subprocess.run(
        command, env=environment, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def environment_of(data_dir: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a service on that DATA_DIR: embedded, unless `variables` say otherwise."""
    embedded = {"DATABASE_URL": "", "REDIS_URL": "", "DJANGO_SETTINGS_MODULE": "config.settings"}
    return {**os.environ, **embedded, **variables, "DATA_DIR": str(data_dir)}


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def wait_until_live(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once `/livez` answers; AssertionError when the process ends or needs too long."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, f"the web process ended with {process.returncode}"
        assert time.monotonic() < deadline, "the web process did not answer in time"
        with suppress(requests.ConnectionError):
            requests.get(f"{url}/livez", timeout=START_SECONDS).raise_for_status()
            return
        time.sleep(0.05)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process as the supervisor does; AssertionError when it has to be killed."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"process {process.args!r} did not stop") from None
