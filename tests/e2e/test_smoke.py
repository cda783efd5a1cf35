"""`deploy/smoke` behind a real nginx, and at a service where something does not work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.fleet import Processes
from deploy.smoke import FailedError, Smoke
from tests.e2e.carryon import running_carryon
from tests.nginx import MISSING, Nginx, found_nginx, running_nginx
from tests.origin.process import OriginProcess
from tests.service import REPOSITORY

PROGRAM = found_nginx() or ""
pytestmark = pytest.mark.skipif(not PROGRAM, reason=MISSING)


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Processes, Nginx]]:
    """A service as docker-compose.yml has it, but of processes: nginx sends its files."""
    folder = tmp_path_factory.mktemp("smoke")
    variables = {"X_ACCEL": json.dumps({str(folder): "/_files"}), "SYNC_SOURCE_ROOTS": str(folder / "downloads")}
    with ExitStack() as opened:
        origin = opened.enter_context(OriginProcess())
        carryon = opened.enter_context(running_carryon(folder, **variables))
        static = REPOSITORY / "transfers" / "static"
        place = tmp_path_factory.mktemp("nginx")
        service = carryon.service.url
        nginx = opened.enter_context(running_nginx(PROGRAM, place, service=service, data=folder, static=static))
        yield Processes(carryon, origin, opened), nginx


def test_all_of_it_works_through_nginx(behind: tuple[Processes, Nginx], capsys: pytest.CaptureFixture[str]) -> None:
    fleet, nginx = behind
    Smoke(fleet, nginx.url).run()
    told = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert told == ["upload", "download", "order", "task", "sync"]


def test_what_does_not_work_is_told(behind: tuple[Processes, Nginx], tmp_path: Path) -> None:
    """An nginx that looks for the files elsewhere."""
    fleet, _ = behind
    static = REPOSITORY / "transfers" / "static"
    service = fleet.client.base
    with (
        running_nginx(PROGRAM, tmp_path, service=service, data=tmp_path, static=static) as nginx,
        pytest.raises(FailedError, match=r"GET /files/\d+/content was answered 404"),
    ):
        Smoke(fleet, nginx.url).run()
