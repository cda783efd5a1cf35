"""Cases synced with a real S3 server: resumed by part after kills, beside a store that refuses, stalls and breaks."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import battery
from tests.chaos import Faults
from tests.e2e.carryon import Carryon, running_carryon
from tests.e2e.stores import Gate
from tests.e2e.syncs import CaseClient, tree_of, write
from tests.s3 import BUCKET, S3Server, running_rclone
from tests.service import wait_until

MIB = 2**20
PART_BYTES = 16 * MIB
CONNECTIONS = 8
LARGE_BYTES = battery.rounds(200, 1024) * MIB
_PART = re.compile(rb"^PUT [^ ?]*\?[^ ]*partNumber=(\d+)", re.MULTILINE)
_REQUEST = re.compile(rb"^(GET|HEAD|PUT|POST|DELETE) [^ ]* HTTP/1\.1\r$", re.MULTILINE)


class Counting(Gate):
    """A gate that counts what is asked of the store."""

    def __init__(self, store: S3Server) -> None:
        super().__init__(store)
        self.parts: Counter[int] = Counter()
        self.methods: Counter[str] = Counter()

    async def _pass(self, piece: bytes, sink: socket.socket) -> None:
        self.parts.update(int(number) for number in _PART.findall(piece))
        self.methods.update(method.decode() for method in _REQUEST.findall(piece))
        await super()._pass(piece, sink)

    def forget(self) -> None:
        self.parts.clear()
        self.methods.clear()


@pytest.fixture(scope="module")
def gate(swift: S3Server) -> Iterator[Counting]:
    """The way of the service to the store."""
    with Counting(swift) as gate:
        yield gate


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="module")
def carryon(tmp_path_factory: pytest.TempPathFactory, sources: Path, gate: Counting) -> Iterator[Carryon]:
    """A service of two workers with regions at the store, behind the gate; one has no bucket, one no good name."""
    regions = {
        "r1": {"bucket": BUCKET, "endpoint_url": gate.url},
        "gone": {"bucket": "no-such-bucket", "endpoint_url": gate.url},
        "nowhere": {"bucket": BUCKET, "endpoint_url": "http://127.0.0.1:9"},
    }
    variables = {"SYNC_SOURCE_ROOTS": str(sources), "SYNC_REGIONS": json.dumps(regions), "WORKERS": "2"}
    with running_carryon(tmp_path_factory.mktemp("carryon"), **variables) as running:
        yield running


@pytest.fixture
def case(carryon: Carryon, sources: Path, gate: Counting, request: pytest.FixtureRequest) -> Iterator[CaseClient]:
    """A case of this test's own, whose source is empty."""
    name = re.sub(r"[^a-zA-Z0-9-]+", "-", request.node.name)[:100]
    source = sources / name
    source.mkdir()
    gate.forget()
    yield CaseClient(carryon, name, carryon.admin.token, source=source, region="r1")
    gate.set(Faults())
    shutil.rmtree(source)


def objects(swift: S3Server, case: CaseClient) -> dict[str, int]:
    """What the store has of the case: sizes by path."""
    pages = swift.plain.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{case.key_prefix}/")
    found = [each for page in pages for each in page.get("Contents", [])]
    return {each["Key"].removeprefix(f"{case.key_prefix}/"): each["Size"] for each in found}


def unfinished(swift: S3Server, case: CaseClient) -> list[str]:
    told = swift.plain.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return [each["Key"] for each in told if each["Key"].startswith(case.key_prefix)]


def test_up_and_down_again(case: CaseClient, swift: S3Server, gate: Counting) -> None:
    assert case.source is not None
    for number in range(30):
        write(case.source, f"small/{number}", os.urandom(number * 100), 1_500_000_000 + number)
    write(case.source, "odd + %41 & #?é/日本語 '\".txt", "odd")
    write(case.source, "large", os.urandom(40 * MIB), 1_400_000_000.5)
    (case.source / "empty folder").mkdir()
    wanted = tree_of(case.source)
    told = case.sync(up=True)
    assert told["filesDone"] == told["filesTotal"] == len(wanted)
    assert set(objects(swift, case)) == set(wanted)
    gate.forget()
    assert case.plan(up=True) == case.plan(up=False) == []
    assert set(gate.methods) == {"GET"}
    assert gate.methods["GET"] == 2, "one page of a listing each"
    shutil.rmtree(case.local)
    case.sync(up=False)
    assert tree_of(case.local) == wanted
    assert (case.local / "large").stat().st_mtime_ns == 1_400_000_000_500_000_000
    assert (case.local / "small/7").stat().st_mtime == 1_500_000_007
    assert case.plan(up=True) == case.plan(up=False) == []


@pytest.mark.parametrize("victims", [1, 2])
def test_kill_9_in_mid_multipart_goes_on_by_part(
    case: CaseClient, swift: S3Server, gate: Counting, victims: int
) -> None:
    assert case.source is not None
    write(case.source, "film", os.urandom(LARGE_BYTES))
    wanted = tree_of(case.source)
    gate.set(Faults(rate=30e6))
    job_id = case.begin(up=True)
    wait_until(lambda: len(gate.parts) >= 6, 60)
    case.carryon.kill(*list(case.carryon.workers().values())[:victims])
    gate.set(Faults())
    case.carryon.wait_until_back()
    told = case.wait(job_id)
    assert told["state"] == "completed", told
    twice = sum(gate.parts.values()) - LARGE_BYTES // PART_BYTES - bool(LARGE_BYTES % PART_BYTES)
    assert twice <= CONNECTIONS, gate.parts
    assert objects(swift, case) == {"film": LARGE_BYTES}
    assert unfinished(swift, case) == []
    shutil.rmtree(case.local)
    case.sync(up=False)
    assert tree_of(case.local) == wanted


def test_kill_9_in_mid_download_goes_on(case: CaseClient, gate: Counting) -> None:
    assert case.source is not None
    write(case.source, "film", os.urandom(100 * MIB))
    wanted = tree_of(case.source)
    case.sync(up=True)
    shutil.rmtree(case.local)
    gate.set(Faults(rate=10e6))
    job_id = case.begin(up=False)
    case.wait_until_bytes(job_id, 30 * MIB)
    case.carryon.kill(*case.carryon.workers().values())
    gate.set(Faults())
    case.carryon.wait_until_back()
    assert case.wait(job_id)["state"] == "completed"
    assert tree_of(case.local) == wanted


def test_a_file_edited_between_kill_and_resume_is_the_edited_one(case: CaseClient, gate: Counting) -> None:
    assert case.source is not None
    content = bytearray(os.urandom(100 * MIB))
    write(case.source, "film", bytes(content))
    gate.set(Faults(rate=30e6))
    job_id = case.begin(up=True)
    wait_until(lambda: len(gate.parts) >= 5, 60)
    case.stop(job_id)
    assert case.wait(job_id, 20)["state"] == "stopped"
    gate.set(Faults())
    content[1000] ^= 255
    write(case.local, "film", bytes(content))
    wanted = tree_of(case.local)
    gate.forget()
    case.sync(up=True)
    assert sum(gate.parts.values()) < 7, "of what is stored only the part with the edit is sent again"
    shutil.rmtree(case.local)
    case.sync(up=False)
    assert tree_of(case.local) == wanted


def test_hostile_keys_are_reported_and_never_written(case: CaseClient, swift: S3Server) -> None:
    assert case.source is not None
    write(case.source, "good", "good")
    case.sync(up=True)
    for key in ("../../escaped", "a//b", "./here", "/absolute", "good/below"):
        swift.plain.put_object(Bucket=BUCKET, Key=f"{case.key_prefix}/{key}", Body=b"evil")
    shutil.rmtree(case.local)
    told = case.sync(up=False, state="completed_with_failures")
    assert len(told["failures"]) == 5, told["failures"]
    assert tree_of(case.local).keys() == {"good"}, "of a file and a folder of one name, the one that was synced"
    assert not list(case.carryon.data_dir.rglob("escaped"))


def test_changes_on_both_sides_keep_both(case: CaseClient, swift: S3Server) -> None:
    assert case.source is not None
    write(case.source, "plan.txt", "first")
    case.sync(up=True)
    swift.plain.put_object(Bucket=BUCKET, Key=f"{case.key_prefix}/plan.txt", Body=b"theirs")
    write(case.local, "plan.txt", "ours, longer")
    case.sync(up=True)
    kept = objects(swift, case)
    assert sorted(kept.values()) == [6, 12]
    assert kept["plan.txt"] == 12
    case.sync(up=False)
    assert sorted(path.read_text() for path in case.local.iterdir()) == ["ours, longer", "theirs"]


def test_a_bucket_that_is_not_there_is_a_clear_failure(case: CaseClient) -> None:
    assert case.source is not None
    write(case.source, "good", "good")
    case.region = "gone"
    told = case.sync(up=True, state="failed")
    assert "NoSuchBucket" in told["error"]["detail"], told


def test_a_store_that_cannot_be_reached_is_waited_for_and_told(case: CaseClient) -> None:
    assert case.source is not None
    write(case.source, "good", "good")
    case.region = "nowhere"
    job_id = case.begin(up=True)
    wait_until(lambda: "reached" in str(case.look(job_id)["error"]), 120)
    case.stop(job_id)
    assert case.wait(job_id)["state"] == "stopped"


def test_cut_connections_cost_no_file(case: CaseClient, gate: Counting) -> None:
    assert case.source is not None
    for number in range(60):
        write(case.source, f"{number}", os.urandom(200_000))
    write(case.source, "large", os.urandom(50 * MIB))
    wanted = tree_of(case.source)
    ended = threading.Event()

    def cutting() -> None:
        while not ended.wait(0.5):
            gate.cut()

    gate.set(Faults(rate=20e6))
    job_id = case.begin(up=True)
    cutter = threading.Thread(target=cutting)
    cutter.start()
    ended.wait(4)
    ended.set()
    cutter.join()
    gate.set(Faults())
    assert case.wait(job_id)["state"] == "completed"
    shutil.rmtree(case.local)
    case.sync(up=False)
    assert tree_of(case.local) == wanted


def test_a_sloppy_store(tmp_path: Path) -> None:
    """rclone knows no conditions, and its ETags are another kind: what comes back is still what was sent."""
    (tmp_path / "sources").mkdir()
    with running_rclone() as store:
        variables = {
            "SYNC_SOURCE_ROOTS": str(tmp_path / "sources"),
            "SYNC_REGIONS": json.dumps({"r1": {"bucket": BUCKET, "endpoint_url": store.url}}),
        }
        with running_carryon(tmp_path / "data", **variables) as carryon:
            case = CaseClient(carryon, "sloppy", carryon.admin.token, source=tmp_path / "sources/sloppy", region="r1")
            assert case.source is not None
            write(case.source, "small", "small")
            write(case.source, "large", os.urandom(40 * MIB))
            wanted = tree_of(case.source)
            case.sync(up=True)
            assert case.plan(up=True) == []
            shutil.rmtree(case.local)
            case.sync(up=False)
            assert tree_of(case.local) == wanted
