"""Limits that all workers keep together: bandwidth in all and for a host, and connections to a host."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.carryon import Carryon, running_carryon, sha256
from tests.origin import Behaviour, GeneratedFile, Origin

ALL_RATE, HOST_RATE = 8_000_000, 5_000_000
CONNECTIONS = 3
MIB = 2**20


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carryon]:
    """Two workers under limits."""
    variables = {
        "WORKERS": "2",
        "DOWNLOAD_MAX_BYTES_PER_SECOND": str(ALL_RATE),
        "DOWNLOAD_MAX_BYTES_PER_SECOND_PER_HOST": str(HOST_RATE),
        "DOWNLOAD_CONNECTIONS_PER_HOST": str(CONNECTIONS),
        "DOWNLOAD_PARALLEL_MIN_BYTES": str(17 * MIB),  # two parts
        "DOWNLOAD_STALL_SECONDS": "5",
    }
    with running_carryon(tmp_path_factory.mktemp("limited"), **variables) as running:
        yield running


def fetch(carryon: Carryon, origin: Origin, hosts: list[str], file: GeneratedFile) -> float:
    """Fetch `/file.bin` from each of these names of the origin at once; seconds from the first request to the end."""
    urls = [origin.url("/file.bin", host=host) for host in hosts]
    name = f"limited-{time.monotonic_ns()}"
    downloads = [carryon.admin.begin(url, name, folder=f"{name}/{number}") for number, url in enumerate(urls)]
    details = [carryon.admin.wait_for_end(download) for download in downloads]
    seconds = time.monotonic() - origin.requests[0].at
    for detail in details:
        assert detail["state"] == "completed", detail
        assert sha256(detail["savePath"]) == file.sha256()
        Path(detail["savePath"]).unlink()
    return seconds


@pytest.mark.parametrize(
    ("hosts", "rate"),
    [
        (["127.0.0.1"], HOST_RATE),
        (["127.0.0.1", "127.0.0.1"], HOST_RATE),
        (["127.0.0.1", "localhost"], ALL_RATE),
    ],
    ids=["one file", "two files of a host", "two hosts"],
)
def test_bandwidth(limited: Carryon, origin: Origin, hosts: list[str], rate: int) -> None:
    file = GeneratedFile(3 * rate // len(hosts), seed=1)
    origin.add("/file.bin", file)
    measured = len(hosts) * file.size / fetch(limited, origin, hosts, file)
    print(f"{measured / MIB:.2f} MiB/s where {rate / MIB:.2f} are allowed")
    assert measured == pytest.approx(rate, rel=0.25)


def test_bandwidth_while_the_broker_is_away(limited: Carryon, origin: Origin) -> None:
    """Each worker then keeps the limits by itself, and nothing waits for the broker."""
    file = GeneratedFile(6 * HOST_RATE, seed=2)
    url = origin.add("/alone", file)
    download = limited.admin.begin(url, "alone")
    limited.admin.wait_for(download, lambda detail: detail["downloaded"] > HOST_RATE)
    with limited.without_broker():
        began, before = time.monotonic(), limited.admin.detail(download)["downloaded"]
        time.sleep(3)
        moved, seconds = limited.admin.detail(download)["downloaded"] - before, time.monotonic() - began
    print(f"{moved / seconds / MIB:.2f} MiB/s without a broker")
    assert moved / seconds == pytest.approx(HOST_RATE, rel=0.3)  # the row is half a second old
    assert limited.admin.wait_for_end(download)["storedFile"]["sha256"] == file.sha256()


@pytest.mark.parametrize(("count", "size"), [(12, 300_000), (2, 18 * MIB)], ids=["many small", "two large"])
def test_connections_to_a_host(limited: Carryon, origin: Origin, count: int, size: int) -> None:
    file = GeneratedFile(size, seed=3)
    origin.add("/file.bin", file, Behaviour(rate=2_000_000))
    fetch(limited, origin, ["127.0.0.1"] * count, file)
    print(f"{origin.opened} connections opened, {origin.connections} of them kept")
    assert origin.busiest("/file.bin") == CONNECTIONS
