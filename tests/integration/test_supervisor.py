"""The service started, killed and stopped as on an operator's machine, with all its real processes."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from config.redis import embedded_socket
from tests.service import COMMAND, REPOSITORY, STOP_SECONDS, Service, is_alive, running_service, wait_until

CHILDREN = {"broker", "web", "worker-1", "worker-2", "worker-cpu", "beat"}
BACK_SECONDS = 20
"""How long a killed process may take to work again on a busy machine."""


@pytest.fixture(scope="module")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service on a fresh folder, shared by the tests that leave it running."""
    with running_service(tmp_path_factory.mktemp("data"), WORKERS="2") as service:
        service.wait_until_ready()
        yield service


def get(service: Service, path: str) -> int:
    with urllib.request.urlopen(f"{service.url}{path}", timeout=BACK_SECONDS) as answer:  # noqa: S310 - our own
        return int(answer.status)


def refused(data_dir: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PORT": "0", **variables, "DATA_DIR": str(data_dir)}
    return subprocess.run(
        COMMAND, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def rest_of_run_folder(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / "run").iterdir())


def test_it_is_ready_when_it_says_so(first_start: Service) -> None:
    assert get(first_start, "/livez") == 200
    assert set(first_start.pids()) == CHILDREN
    assert all(is_alive(pid) for pid in first_start.pids().values())
    assert f"{first_start.url}/admin/" in first_start.output


def test_children_have_sessions_of_their_own(first_start: Service) -> None:
    for name, pid in first_start.pids().items():
        assert os.getsid(pid) == pid, name


def test_the_first_login_is_stored_hashed_and_forgotten(first_start: Service) -> None:
    password, token = first_start.told("password"), first_start.told("token")
    assert password
    assert token
    with closing(sqlite3.connect(first_start.data_dir / "carryon.sqlite3")) as database:
        users = database.execute("SELECT username, is_staff, is_superuser, password FROM auth_user").fetchall()
        tokens = database.execute("SELECT count(*) FROM knox_authtoken").fetchone()
    assert [user[:3] for user in users] == [("admin", 1, 1)]
    assert users[0][3].startswith("pbkdf2_sha256$")
    assert tokens == (1,)
    for path in first_start.data_dir.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert token.encode() not in content, path
            assert password.encode() not in content, path
    wait_until(lambda: not (first_start.data_dir / "unshown_login").exists(), 5)


def test_a_second_start_on_the_same_folder_is_refused(first_start: Service) -> None:
    second = refused(first_start.data_dir)
    assert second.returncode == 1
    assert f"already runs on {first_start.data_dir} as process {first_start.process.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert get(first_start, "/livez") == 200


def test_a_taken_port_is_refused(first_start: Service, tmp_path: Path) -> None:
    port = first_start.url.rpartition(":")[2]
    second = refused(tmp_path, PORT=port)
    assert second.returncode == 1
    assert f"Port {port} on 127.0.0.1 is taken" in second.stderr
    assert "Traceback" not in second.stderr
    assert rest_of_run_folder(tmp_path) == []


@pytest.mark.parametrize("name", sorted(CHILDREN))
def test_what_is_killed_comes_back(first_start: Service, name: str) -> None:
    before = first_start.pids()
    heard = len(first_start.output)
    os.kill(before[name], signal.SIGKILL)
    first_start.wait_for(rf"{name} was ended by SIGKILL; starting it again", start=heard)
    # The port is never lost: a client that comes while no web process is there waits in the backlog.
    assert get(first_start, "/livez") == 200
    wait_until(lambda: first_start.pids().get(name) not in (None, before[name]), BACK_SECONDS)
    if name.startswith("worker"):
        wait_until((first_start.data_dir / "run" / f"{name}.ready").exists, BACK_SECONDS)
    after = first_start.pids()
    assert {other: after[other] for other in CHILDREN - {name}} == {other: before[other] for other in CHILDREN - {name}}


def test_housekeeping_goes_on_while_the_workers_are_busy(tmp_path: Path) -> None:
    with running_service(tmp_path, REAP_SECONDS="0.2") as service:
        service.wait_until_ready()
        worker = service.pids()["worker-1"]
        with redis.Redis(unix_socket_path=str(embedded_socket(tmp_path / "run"))) as broker:
            os.kill(worker, signal.SIGSTOP)
            try:
                wait_until(
                    lambda: broker.info("commandstats").get("cmdstat_lpush", {}).get("calls", 0) > 10, BACK_SECONDS
                )
                assert broker.llen("housekeeping") <= 1
            finally:
                os.kill(worker, signal.SIGCONT)


def test_kill_of_the_supervisor_then_a_second_start_then_a_clean_stop(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        service.wait_until_ready()
        wait_until(lambda: not (tmp_path / "unshown_login").exists(), 5)
        pids = service.pids()
        service.signal(signal.SIGKILL)
        service.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in pids.values()), 2)
    damage_journal(tmp_path)

    with running_service(tmp_path) as service:
        seconds = service.wait_until_ready()
        assert service.told("token") is None
        assert service.told("password") is None
        assert get(service, "/livez") == 200
        assert (tmp_path / "broker.unreadable").is_dir()
        pids = service.pids()
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < STOP_SECONDS
        assert not any(is_alive(pid) for pid in pids.values())
        assert rest_of_run_folder(tmp_path) == []
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])))
    print(f"second start: ready after {seconds:.1f} s")


def damage_journal(data_dir: Path) -> None:
    """Make the broker's journal one that it refuses to load: not cut short, but wrong in the middle."""
    (journal,) = (data_dir / "broker" / "appendonlydir").glob("*.incr.aof")
    journal.write_bytes(b"this is no journal\r\n" * 20)


def test_a_start_can_be_tried(tmp_path: Path) -> None:
    with running_service(tmp_path, [*COMMAND, "--try"]) as service:
        service.wait_until_ready()
        assert service.wait() == 0
        assert rest_of_run_folder(tmp_path) == []


def test_stop_during_the_start(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        service.wait_for(r"^prepare +\|")
        pids = service.pids()
        assert service.stop() == 0
        assert not any(is_alive(pid) for pid in pids.values())
        assert rest_of_run_folder(tmp_path) == []


def test_a_bad_configuration_is_told_whole(tmp_path: Path) -> None:
    start = refused(tmp_path, PORT="seventy", WORKERS="0", REDIS_URL="http://redis")
    assert start.returncode == 2
    assert all(name in start.stderr for name in ("PORT:", "WORKERS:", "REDIS_URL:"))
    assert "Traceback" not in start.stderr
    assert start.stdout == ""


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    start = refused(tmp_path, HOST="192.0.2.1")
    assert start.returncode == 1
    assert "HOST: 192.0.2.1 is no address of this machine" in start.stderr


def test_a_database_that_is_not_there_fails_the_start(tmp_path: Path) -> None:
    url = f"postgres://carryon@{str(tmp_path).replace('/', '%2F')}/carryon"
    start = refused(tmp_path, DATABASE_URL=url, SECRET_KEY="a key of forty characters, for tests only")
    assert start.returncode == 1
    assert "The database cannot be used" in start.stdout
    assert "The database could not be made ready" in start.stderr
    assert "Traceback" not in start.stdout + start.stderr
    assert rest_of_run_folder(tmp_path) == []


def test_usage() -> None:
    help_text = subprocess.run([*COMMAND, "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert all(name in help_text for name in ("HOST", "PORT", "DATA_DIR", "WORKERS"))
    assert subprocess.run([*COMMAND, "--nonsense"], cwd=REPOSITORY, capture_output=True, check=False).returncode == 2


@pytest.mark.long
def test_a_web_process_that_never_works_fails_the_start(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a2wsgi.py").write_text("raise RuntimeError('broken')")
    start = refused(tmp_path / "data", PYTHONPATH=str(tmp_path / "broken"))
    assert start.returncode == 1
    assert "web does not start: it ended with code 1" in start.stderr
    assert rest_of_run_folder(tmp_path / "data") == []
