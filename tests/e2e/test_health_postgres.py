"""The service's word on a PostgreSQL that is away, or hangs; and on its counts by several workers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil
import pytest
import requests

from config.health.checks import LIMIT_SECONDS
from config.metrics.gather import LIMIT_SECONDS as SCRAPE_SECONDS
from tests.e2e.carryon import Carryon, running_carryon
from tests.postgres import running_postgres
from tests.servers import manage
from tests.service import wait_until

NOTICED_SECONDS = 8
BACK_SECONDS = 60


@pytest.fixture(scope="module")
def carryon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carryon]:
    """A service of two workers on a PostgreSQL of its own."""
    with running_postgres() as url:
        variables = {"DATABASE_URL": url, "SECRET_KEY": "a key of forty characters, for tests only", "WORKERS": "2"}
        with running_carryon(tmp_path_factory.mktemp("postgres"), **variables) as running:
            yield running


@pytest.fixture(autouse=True)
def well(carryon: Carryon) -> Iterator[None]:
    wait_until(lambda: down(carryon) == (200, []), BACK_SECONDS)
    yield
    wait_until(lambda: down(carryon) == (200, []), BACK_SECONDS)


def down(carryon: Carryon) -> tuple[int, list[str]]:
    answer = requests.get(f"{carryon.service.url}/readyz", timeout=LIMIT_SECONDS + 5)
    return answer.status_code, answer.json()["down"]


def folder(carryon: Carryon) -> Path:
    """Where the server's socket and cluster lie."""
    return Path(unquote(urlsplit(carryon.variables["DATABASE_URL"]).netloc.partition("@")[2]))


@contextmanager
def hanging(carryon: Carryon) -> Iterator[None]:
    server = psutil.Process(int((folder(carryon) / "cluster/postmaster.pid").read_text().split()[0]))
    processes = [server, *server.children()]
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(processes):
            os.kill(process.pid, signal.SIGCONT)


def test_a_database_that_cannot_be_reached(carryon: Carryon) -> None:
    socket = folder(carryon) / ".s.PGSQL.5432"
    away = socket.with_suffix(".away")
    socket.rename(away)
    try:
        wait_until(lambda: down(carryon) == (503, ["database"]), NOTICED_SECONDS)
    finally:
        away.rename(socket)


def test_a_database_that_hangs_holds_nobody_up(carryon: Carryon) -> None:
    with hanging(carryon):
        wait_until(lambda: down(carryon) == (503, ["database"]), NOTICED_SECONDS)
        for _ in range(3):
            began = time.monotonic()
            assert down(carryon) == (503, ["database"])
            assert time.monotonic() - began < LIMIT_SECONDS + 2
            time.sleep(1.1)
        began = time.monotonic()
        scraped = requests.get(f"{carryon.service.url}/metrics", timeout=30)
        assert time.monotonic() - began < SCRAPE_SECONDS + LIMIT_SECONDS + 2
        assert 'carryon_up{check="database"} 0.0' in scraped.text
        assert 'carryon_processes{kind="worker"} 2.0' in scraped.text
        assert "carryon_transfers{" not in scraped.text


def test_one_of_two_workers_is_enough(carryon: Carryon) -> None:
    carryon.kill("worker-1")
    until = time.monotonic() + 2
    while time.monotonic() < until:
        assert down(carryon) == (200, [])
    assert "Everything is there." in manage(carryon.data_dir, "status", **carryon.variables)
    carryon.wait_until_back()
