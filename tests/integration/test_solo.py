"""Each process as containers run it: alone, watched by its health check, and ended by SIGTERM."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import requests

from config.redis import embedded_socket
from config.supervisor.health import WORKER_SECONDS
from tests.servers import REPOSITORY, embedded_broker, environment_of, free_port
from tests.service import wait_until

SOLO = (sys.executable, "-m", "config.supervisor.solo")
HEALTH = (sys.executable, "-I", "-S", "config/supervisor/health.py")
START_SECONDS = 60
STOP_SECONDS = 20


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a service whose broker runs and whose database is prepared."""
    environment = environment_of(tmp_path, {"PORT": str(free_port())})
    with embedded_broker(tmp_path):
        subprocess.run([*SOLO, "prepare"], env=environment, cwd=REPOSITORY, check=True, capture_output=True)
        yield environment


def is_healthy(name: str, variables: dict[str, str]) -> bool:
    return subprocess.run([*HEALTH, name], env=variables, cwd=REPOSITORY, check=False).returncode == 0


@contextmanager
def running(name: str, variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The process, from when its health check is content."""
    assert not is_healthy(name, variables)
    process = subprocess.Popen([*SOLO, name], env=variables, cwd=REPOSITORY)
    try:
        wait_until(lambda: process.poll() is not None or is_healthy(name, variables), START_SECONDS)
        assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.wait()


def test_prepare_tells_the_first_login_once(tmp_path: Path) -> None:
    environment = environment_of(tmp_path, {})
    told = [
        subprocess.run([*SOLO, "prepare"], env=environment, cwd=REPOSITORY, check=True, capture_output=True, text=True)
        for _ in range(2)
    ]
    assert re.search(r"^user admin\npassword \S+\ntoken \S+$", told[0].stdout, re.MULTILINE)
    assert "password" not in told[1].stdout + told[1].stderr


@pytest.mark.parametrize("name", ["web", "worker", "worker-cpu", "beat"])
def test_a_process_works_alone_and_leaves_when_told(name: str, variables: dict[str, str]) -> None:
    with running(name, variables) as process:
        if name == "web":
            answer = requests.get(f"http://127.0.0.1:{variables['PORT']}/livez", timeout=10)
            assert answer.json() == {"status": "ok"}
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.wait(STOP_SECONDS) in (0, -signal.SIGTERM)  # uvicorn ends by the signal that it was sent
        assert time.monotonic() - began < STOP_SECONDS
    if name == "web":
        assert not is_healthy(name, variables)


@contextmanager
def hanging(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The process stands still during the block."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextmanager
def without_broker(data_dir: Path) -> Iterator[None]:
    """Connections to the broker are cut, and nobody reaches it during the block."""
    listening = embedded_socket(data_dir / "run")
    away = listening.with_suffix(".away")
    with redis.Redis(unix_socket_path=str(listening)) as client:
        client.ping()
        listening.rename(away)
        try:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            yield
        finally:
            away.rename(listening)


@pytest.mark.parametrize("name", ["worker", "worker-cpu"])
def test_a_worker_is_healthy_only_while_its_loop_runs_and_has_its_broker(
    name: str, tmp_path: Path, variables: dict[str, str]
) -> None:
    with running(name, variables) as process:
        for ill in (hanging(process), without_broker(tmp_path)):
            with ill:
                [ready] = (tmp_path / "run").glob("worker-*.ready")
                os.utime(ready, (time.time() - WORKER_SECONDS + 2,) * 2)  # most of the wait is over
                wait_until(lambda: not is_healthy(name, variables), WORKER_SECONDS + 15)
            wait_until(lambda: is_healthy(name, variables), START_SECONDS)


def test_beat_that_no_longer_does_anything_is_not_healthy(tmp_path: Path) -> None:
    variables = {"DATA_DIR": str(tmp_path)}
    note = tmp_path / "run" / "beat.ready"
    note.parent.mkdir()
    note.touch()
    assert is_healthy("beat", variables)
    os.utime(note, (time.time() - 400,) * 2)
    assert not is_healthy("beat", variables)


def test_a_taken_port_and_a_wrong_setting_are_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        for wrong, told in ((port, f"Port {port} on 127.0.0.1 is taken"), ("x", "PORT: ")):
            environment = environment_of(tmp_path, {"PORT": wrong})
            ended = subprocess.run(
                [*SOLO, "web"], env=environment, cwd=REPOSITORY, check=False, capture_output=True, text=True
            )
            assert ended.returncode != 0
            assert told in ended.stderr
            assert "Traceback" not in ended.stderr
