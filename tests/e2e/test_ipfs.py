"""Files from IPFS by the whole service: proved, resumed after kills, and never half or forged."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.e2e.carryon import Carryon, leftovers_of, running_carryon
from tests.ipfs import Dag, Fault, TrustlessGateway
from tests.ipfs.dag import version_1
from tests.service import wait_until

MIB = 2**20
LEAF_BYTES = 262_144
REFETCHED_SECONDS = 5
"""What a kill may cost, in time."""


@pytest.fixture(scope="module")
def running_gateway() -> Iterator[TrustlessGateway]:
    with TrustlessGateway() as running:
        yield running


@pytest.fixture(scope="module")
def carryon(running_gateway: TrustlessGateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carryon]:
    """A service whose operator has named a gateway, on an address that nothing else may be fetched from."""
    variables = {
        "IPFS_GATEWAY_URL": running_gateway.url,
        "FETCH_ALLOW": "",
        "DOWNLOAD_RETRY_SECONDS": "0.05",
        "DOWNLOAD_MAX_ATTEMPTS": "3",
        "DOWNLOAD_PARALLEL_MIN_BYTES": str(32 * MIB),
    }
    with running_carryon(tmp_path_factory.mktemp("ipfs"), **variables) as running:
        yield running


@pytest.fixture
def gateway(running_gateway: TrustlessGateway) -> TrustlessGateway:
    """The gateway, honest and empty."""
    running_gateway.dag = Dag()
    running_gateway.asked.clear()
    running_gateway.faults.clear()
    running_gateway.pause_seconds = 0
    running_gateway.bytes_sent = 0
    return running_gateway


def content(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("size", [0, 1, 3 * MIB + 7, 70 * MIB + 1], ids=["empty", "a byte", "small", "in parts"])
@pytest.mark.parametrize("version", [1, 0])
def test_a_file_arrives(carryon: Carryon, gateway: TrustlessGateway, size: int, version: int) -> None:
    gateway.dag = Dag(version=version, raw_leaves=version == 1)
    whole = content(size, version)
    entry = gateway.dag.file(whole)
    detail = carryon.admin.wait_for_end(carryon.admin.begin(f"ipfs://{entry.text}", entry.text))
    assert (detail["state"], detail["error"]) == ("completed", "")
    path = Path(detail["savePath"])
    assert path.name == entry.text
    assert path.read_bytes() == whole
    assert not leftovers_of(path)
    assert gateway.bytes_sent <= entry.total + 16 * LEAF_BYTES  # a block that two parts share is asked for twice
    path.unlink()


def test_a_file_within_directories_has_its_name(carryon: Carryon, gateway: TrustlessGateway) -> None:
    dag = gateway.dag
    entry = dag.file(content(MIB, 3))
    top = dag.directory({"films": dag.directory({"the föhn.mov": entry})})
    detail = carryon.admin.wait_for_end(
        carryon.admin.begin(f"ipfs://{top.text}/films/{quote('the föhn.mov')}", "named", folder="films")
    )
    assert detail["state"] == "completed", detail
    assert detail["validator"] == f"version: {entry.text}"
    assert Path(detail["savePath"]).name == "the föhn.mov"
    assert Path(detail["savePath"]).read_bytes() == content(MIB, 3)


@pytest.mark.parametrize("fault", [Fault.FORGED, Fault.SHORT, Fault.PAGE, Fault.ENDLESS])
def test_a_forged_file_never_appears(carryon: Carryon, gateway: TrustlessGateway, fault: Fault) -> None:
    whole = content(4 * MIB, hash(fault.value))
    entry = gateway.dag.file(whole)
    forged = version_1(gateway.dag.leaf(whole[12 * LEAF_BYTES : 13 * LEAF_BYTES]).cid)
    gateway.faults[forged] = fault
    url = f"ipfs://{entry.text}"
    detail = carryon.admin.wait_for_end(carryon.admin.begin(url, fault.name))
    assert (detail["state"], detail["errorCode"]) == ("failed", "wrong_block")
    assert forged in detail["error"]
    assert gateway.asked[forged] == 4  # one that brought what comes before, and as many as may bring nothing
    path = Path(detail["savePath"])
    assert not path.exists()
    assert detail["downloaded"] == 12 * LEAF_BYTES
    gateway.faults.clear()
    gateway.bytes_sent = 0
    detail = carryon.admin.wait_for_end(carryon.admin.begin(url, fault.name))
    assert detail["state"] == "completed", detail
    assert path.read_bytes() == whole
    assert gateway.bytes_sent < 5 * LEAF_BYTES, "what was proved once is kept"


def test_a_gateway_that_lies_once_costs_one_block(carryon: Carryon, gateway: TrustlessGateway) -> None:
    whole = content(4 * MIB, 5)
    entry = gateway.dag.file(whole)
    for number in (0, 5, 15):
        leaf = gateway.dag.leaf(whole[number * LEAF_BYTES : (number + 1) * LEAF_BYTES])
        gateway.faults[version_1(leaf.cid)] = Fault.FORGED_ONCE
    detail = carryon.admin.wait_for_end(carryon.admin.begin(f"ipfs://{entry.text}", "once"))
    assert (detail["state"], len(detail["attempts"])) == ("completed", 4)
    assert Path(detail["savePath"]).read_bytes() == whole
    assert detail["bytesRefetched"] == 0


@pytest.mark.parametrize(("size", "connections"), [(16 * MIB, 1), (64 * MIB, 4)], ids=["one connection", "in parts"])
def test_a_killed_worker_fetches_little_twice(
    carryon: Carryon, gateway: TrustlessGateway, size: int, connections: int
) -> None:
    whole = content(size, size)
    entry = gateway.dag.file(whole)
    gateway.pause_seconds = 0.15
    pk = carryon.admin.begin(f"ipfs://{entry.text}", f"killed-{size}")
    wait_until(lambda: gateway.bytes_sent > size * 7 // 8, 60)
    carryon.kill("worker-1")
    gateway.pause_seconds = 0
    detail = carryon.admin.wait_for_end(pk, 90)
    assert detail["state"] == "completed", detail
    assert [attempt["outcome"] for attempt in detail["attempts"]].count("lost") == 1
    assert Path(detail["savePath"]).read_bytes() == whole
    twice = gateway.bytes_sent - entry.total
    print(f"{twice / MIB:.1f} MiB fetched twice of {size / MIB:.0f}")
    assert twice <= connections * LEAF_BYTES * REFETCHED_SECONDS / 0.15 < size * 3 / 4
    carryon.wait_until_back()


def test_what_is_not_a_file_is_refused_in_words(carryon: Carryon, gateway: TrustlessGateway) -> None:
    top = gateway.dag.directory({})
    answer = carryon.admin.start(f"ipfs://{top.text}", "directory")
    assert answer.body["status"] == "fail"
    assert "directory" in str(answer.body)
    refused = carryon.admin.start("ipfs://example.com/file", "no identifier")
    assert "content identifier" in str(refused.body)


def test_an_operators_gateway_opens_no_way_for_other_urls(carryon: Carryon, gateway: TrustlessGateway) -> None:
    entry = gateway.dag.file(b"here")
    answer = carryon.admin.start(f"{gateway.url}/ipfs/{entry.text}?format=raw", "direct")
    assert answer.body["status"] == "fail"
    assert not gateway.asked
