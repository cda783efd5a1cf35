"""Files that came by download, given back and deleted: by the whole service, while its processes die."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import battery
from tests.e2e.carryon import Carryon, sha256
from tests.e2e.client import Client
from tests.origin import Behaviour, GeneratedFile, Origin
from tests.service import wait_until

TIMEOUT_SECONDS = 60
GONE_SECONDS = 35
"""How long a deleted file's bytes may stay: a lease and the reaper's pause, after a kill."""


def ask(carryon: Carryon, method: str, path: str, user: Client | None = None, **headers: str) -> requests.Response:
    """Call the API of stored files."""
    token = (user or carryon.admin).token
    url = f"{carryon.service.url}/files/{path}"
    return requests.request(method, url, headers={"X-Access-Token": token, **headers}, timeout=TIMEOUT_SECONDS)


def fetched(carryon: Carryon, origin: Origin, name: str, size: int = 100_000) -> tuple[Path, dict[str, Any]]:
    """A file that was downloaded: where it lies, and what the service knows of it."""
    url = origin.add(f"/{name}", GeneratedFile(size, seed=size))
    detail = carryon.admin.wait_for_end(carryon.admin.begin(url, name))
    assert detail["state"] == "completed", detail
    return Path(detail["savePath"]), detail


def is_gone(carryon: Carryon, path: Path, text: str) -> Callable[[], bool]:
    return lambda: not path.exists() and not ask(carryon, "GET", f"?text={text}").json()["count"]


def test_a_download_is_given_back_and_deleted(carryon: Carryon, origin: Origin) -> None:
    path, detail = fetched(carryon, origin, "given-back.bin", 5_000_000)
    file = f"{detail['storedFile']['id']}"
    told = ask(carryon, "GET", file).json()
    response = requests.get(told["url"], headers={"X-Access-Token": carryon.admin.token}, timeout=TIMEOUT_SECONDS)
    assert response.content == path.read_bytes()
    assert ask(carryon, "GET", f"{file}/content", Range="bytes=-5").content == path.read_bytes()[-5:]
    assert ask(carryon, "GET", file, carryon.user("mallory")).status_code == 404

    assert ask(carryon, "DELETE", file).status_code == 204
    assert ask(carryon, "GET", file).status_code == 404
    wait_until(is_gone(carryon, path, "given-back"), GONE_SECONDS)
    assert carryon.admin.detail(detail["id"])["storedFile"] is None

    again = carryon.admin.wait_for_end(carryon.admin.begin(origin.url("/given-back.bin"), "given-back.bin"))
    assert (again["id"], again["savePath"]) == (detail["id"], str(path))
    assert sha256(path) == sha256(path)
    assert ask(carryon, "DELETE", f"{again['storedFile']['id']}").status_code == 204
    wait_until(is_gone(carryon, path, "given-back"), GONE_SECONDS)


def test_deleted_while_it_is_fetched_anew(carryon: Carryon, origin: Origin) -> None:
    path, detail = fetched(carryon, origin, "anew.bin")
    file = GeneratedFile(3_000_000, seed=9)
    url = origin.add("/anew.bin", file, Behaviour(rate=1_000_000))
    download = carryon.admin.begin(url, "anew.bin")
    wait_until(lambda: origin.fetched("/anew.bin") > 200_000, 30)
    assert ask(carryon, "DELETE", f"{detail['storedFile']['id']}").status_code == 204
    assert carryon.admin.detail(download)["state"] == "running"
    again = carryon.admin.wait_for_end(download)
    time.sleep(5)  # whoever removes the first one has had the time
    assert (again["state"], again["savePath"], sha256(path)) == ("completed", str(path), file.sha256())
    assert again["storedFile"]["id"] != detail["storedFile"]["id"]
    listed = ask(carryon, "GET", "?text=anew").json()["results"]
    assert [each["id"] for each in listed] == [again["storedFile"]["id"]]


@pytest.mark.parametrize("round_", range(battery.rounds(1, 10)))
def test_nothing_stays_and_nothing_else_goes_whoever_is_killed(carryon: Carryon, origin: Origin, round_: int) -> None:
    draw = random.Random(round_)
    carryon.wait_until_back()
    names = [f"killed-{round_}-{number}.bin" for number in range(16)]
    files = [fetched(carryon, origin, name, 1000 + number) for number, name in enumerate(names)]
    kept, deleted = files[::4], [file for number, file in enumerate(files) if number % 4]
    contents = [path.read_bytes() for path, _ in kept]
    for number, (_, detail) in enumerate(deleted):
        assert ask(carryon, "DELETE", f"{detail['storedFile']['id']}").status_code == 204
        if number % 4 == 0:
            time.sleep(draw.uniform(0, 0.05))
            carryon.kill("worker-1")
    ids = [detail["storedFile"]["id"] for _, detail in kept]
    assert [each["id"] for each in ask(carryon, "GET", f"?text=killed-{round_}-").json()["results"]] == ids[::-1]
    wait_until(lambda: not any(path.exists() for path, _ in deleted), GONE_SECONDS)
    assert [path.read_bytes() for path, _ in kept] == contents
    carryon.wait_until_back()


def test_deleting_needs_no_broker(carryon: Carryon, origin: Origin) -> None:
    carryon.wait_until_back()
    path, detail = fetched(carryon, origin, "brokerless.bin")
    with carryon.without_broker():
        assert ask(carryon, "DELETE", f"{detail['storedFile']['id']}").status_code == 204
        assert path.exists()
    wait_until(is_gone(carryon, path, "brokerless"), GONE_SECONDS)
