"""The service's word on its own folder and on a store that are away, where nothing else goes with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from config.health.checks import LIMIT_SECONDS
from config.redis import embedded_socket
from tests.broker import running_broker
from tests.chaos import ChaosProxy
from tests.e2e.carryon import Carryon, running_carryon
from tests.s3 import BUCKET, S3Server
from tests.s3.fixtures import rclone, s3_credentials
from tests.service import wait_until

__all__ = ["rclone", "s3_credentials"]

KEY = "a key of forty characters, for tests only"
NOTICED_SECONDS = 15
"""A second of cache, the store's own patience, and a busy machine."""
BACK_SECONDS = 60


@pytest.fixture(scope="module")
def way(rclone: S3Server) -> Iterator[ChaosProxy]:
    """The way to the store."""
    with ChaosProxy(("127.0.0.1", rclone.port)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def carryon(tmp_path_factory: pytest.TempPathFactory, way: ChaosProxy) -> Iterator[Carryon]:
    """A service that has only its notes in DATA_DIR; files go to S3, all else lies in other places."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    socket = embedded_socket(elsewhere)
    variables = {
        "DATABASE_URL": f"sqlite:///{elsewhere / 'carryon.sqlite3'}",
        "REDIS_URL": f"unix://{socket}",
        "SECRET_KEY": KEY,
        "DOWNLOAD_ROOT": str(elsewhere / "downloads"),
        "SYNC_SAVE_PATH": str(elsewhere / "cases"),
        "STORAGE": "s3",
        "S3_BUCKET": BUCKET,
        "S3_ENDPOINT_URL": f"http://127.0.0.1:{way.port}",
    }
    with ExitStack() as opened:
        opened.enter_context(running_broker(elsewhere / "broker", socket))
        yield opened.enter_context(running_carryon(tmp_path_factory.mktemp("data"), **variables))


@pytest.fixture(autouse=True)
def well(carryon: Carryon) -> Iterator[None]:
    """Each test begins and ends with everything there."""
    wait_until(lambda: down(carryon) == (200, []), BACK_SECONDS)
    yield
    wait_until(lambda: down(carryon) == (200, []), BACK_SECONDS)


def down(carryon: Carryon) -> tuple[int, list[str]]:
    answer = requests.get(f"{carryon.service.url}/readyz", timeout=LIMIT_SECONDS + 5)
    return answer.status_code, answer.json()["down"]


def test_its_own_folder_that_takes_nothing(carryon: Carryon) -> None:
    folder: Path = carryon.data_dir
    aside = folder.rename(folder.with_name("aside"))
    folder.write_text("no folder")
    try:
        wait_until(lambda: down(carryon) == (503, ["storage:data"]), NOTICED_SECONDS)
    finally:
        folder.unlink()
        aside.rename(folder)


def test_a_store_that_cannot_be_reached(carryon: Carryon, way: ChaosProxy) -> None:
    way.down()
    way.cut()  # the service keeps its connection for the next question
    try:
        wait_until(lambda: down(carryon) == (503, ["storage:s3"]), NOTICED_SECONDS)
    finally:
        way.up()
