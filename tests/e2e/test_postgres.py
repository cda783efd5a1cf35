"""The service on PostgreSQL: a download, a kill, and two workers on one file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.carryon import Carryon, running_carryon, sha256
from tests.origin import Behaviour, GeneratedFile, Origin
from tests.postgres import running_postgres
from tests.service import wait_until

MIB = 2**20
RATE = 4_000_000
RESUME_SECONDS = 35


@pytest.fixture(scope="module")
def on_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carryon]:
    """Two workers; the tests run from the first to the last."""
    with running_postgres() as url:
        variables = {
            "DATABASE_URL": url,
            "SECRET_KEY": "a key of forty characters, for tests only",
            "WORKERS": "2",
            "DOWNLOAD_PARALLEL_MIN_BYTES": str(32 * MIB),
        }
        with running_carryon(tmp_path_factory.mktemp("postgres"), **variables) as running:
            yield running


def test_a_download_and_its_frames(on_postgres: Carryon, origin: Origin) -> None:
    assert not list(on_postgres.data_dir.glob("*.sqlite3"))
    file = GeneratedFile(3_000_000, seed=1)
    url = origin.add("/happy.bin", file, Behaviour(rate=2_000_000))
    client = on_postgres.user("ann")
    with client.listening(fid="happy") as listener:
        answer = client.start(url, "happy")
        assert client.start(url, "happy").body["errmsg"] == "ALREADY DOWNLOADING"
        assert client.check(url, "happy").data["lastEvent"]["status"] == "STREAM_RUNNING"
        assert listener.wait_for_end("happy").status == "STREAM_COMPLETED"
        assert listener.frames()[0].message == {"Range": "bytes=0-"}
    detail = client.detail(answer.id)
    assert sha256(detail["savePath"]) == file.sha256() == detail["storedFile"]["sha256"]
    assert on_postgres.leftovers() == []


def test_a_kill_in_the_middle(on_postgres: Carryon, origin: Origin) -> None:
    file = GeneratedFile(40_000_000, seed=2)
    url = origin.add("/killed.bin", file, Behaviour(rate=RATE))
    download = on_postgres.admin.begin(url, "killed")
    detail = on_postgres.admin.wait_for(download, lambda d: d["downloaded"] > RATE)
    holder = int(detail["attempts"][-1]["worker"].split(":")[1])
    on_postgres.kill(on_postgres.workers()[holder])
    on_postgres.admin.wait_for(download, lambda d: len(d["attempts"]) > 1, RESUME_SECONDS)
    origin.behave("/killed.bin", Behaviour(rate=10 * RATE))
    origin.cut()
    detail = on_postgres.admin.wait_for_end(download)
    assert detail["attempts"][0]["outcome"] == "lost"
    assert sha256(detail["savePath"]) == file.sha256()
    on_postgres.wait_until_back()


def test_two_workers_on_one_file(on_postgres: Carryon, origin: Origin) -> None:
    file = GeneratedFile(150_000_000, seed=3)
    url = origin.add("/shared.bin", file, Behaviour(rate=RATE))
    download = on_postgres.admin.begin(url, "shared")
    wait_until(lambda: on_postgres.connected_to(origin.port) == set(on_postgres.workers()), 20)
    detail = on_postgres.admin.detail(download)
    holder = int(detail["attempts"][-1]["worker"].split(":")[1])
    (helper,) = set(on_postgres.workers()) - {holder}
    on_postgres.kill(on_postgres.workers()[helper])
    origin.behave("/shared.bin", Behaviour(rate=10 * RATE))
    origin.cut()
    detail = on_postgres.admin.wait_for_end(download)
    assert (detail["state"], detail["downloaded"]) == ("completed", file.size)
    assert sha256(detail["savePath"]) == file.sha256()
