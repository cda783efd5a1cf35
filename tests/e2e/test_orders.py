"""Orders on a running service: workers killed, drained and added amid zips, which come whole or not at all."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
import requests
from urllib3.exceptions import ProtocolError
from websockets.sync.client import connect

from tests import battery
from tests.e2e.carryon import Carryon, frozen, running_carryon
from tests.e2e.ordering import Ordering, sizes_of
from tests.e2e.test_full_disk import DISK_BYTES, small_disk
from tests.origin import Behaviour, GeneratedFile
from tests.origin.process import OriginProcess
from tests.service import wait_until

MIB = 2**20
SEED = int(os.environ.get("CARRYON_SEED", "1"))
RESUME_SECONDS = 90
"""The lease of somebody who cannot be seen to be dead, the reaper's look, and a busy machine."""
NOISE = random.Random(SEED).randbytes(MIB)
TEXT = b"".join(b"line %d of a text that deflates well, but not fast\n" % n for n in range(20_000))


@pytest.fixture(scope="module")
def carryon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carryon]:
    """One worker, which these tests kill."""
    with running_carryon(tmp_path_factory.mktemp("carryon"), WORKERS="1") as running:
        yield running


@pytest.fixture(scope="module")
def user(carryon: Carryon) -> Ordering:
    return Ordering(carryon, carryon.user("orderer").token)


@pytest.fixture
def ann(carryon: Carryon, user: Ordering) -> Iterator[Ordering]:
    """After each test there lie the zips that the database knows, and nothing else."""
    carryon.wait_until_back()
    user.ask("DELETE", "/download/list/me")
    yield user
    wait_until(lambda: user.lying() == user.zips(), 15)


def some_files(ann: Ordering, folder: Path, count: int = 24, mib: int = 16) -> dict[int, tuple[str, int]]:
    """Stored files: ids, with names and sizes; together large enough to be met amid the work."""
    found = {}
    for number in range(count):
        name = f"{number}.bin"
        found[ann.new_file(folder, name, NOISE, repeat=mib)] = (name, mib * MIB)
    return found


def wait_for(ann: Ordering, ending: str) -> None:
    """Wait until something of this kind is being made, some of it written."""
    wait_until(
        lambda: any(p.name.endswith(ending) and _blocks(p) for p in ann.made.glob("*")) if ann.made.is_dir() else False,
        30,
    )


def _blocks(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_blocks
    return 0


@pytest.mark.parametrize("round_", range(battery.rounds(2, 20)))
def test_a_kill_amid_a_zip(carryon: Carryon, ann: Ordering, tmp_path: Path, round_: int) -> None:
    files = some_files(ann, tmp_path)
    job = ann.start(ann.order(list(files)))
    wait_for(ann, ".zip.part")
    time.sleep(random.Random(f"{SEED} {round_}").uniform(0, 0.3))
    carryon.kill("worker-cpu")
    was_amid = ann.lying() != ann.zips()
    killed = time.monotonic()
    result = ann.result(job, RESUME_SECONDS)
    print(f"killed amid the work: {was_amid}; whole after {time.monotonic() - killed:.1f} s")
    assert sizes_of(ann.zip_of(result)) == dict(files.values())
    assert {each["status"] for each in result["fileSummary"]} == {"SUCCESS"}
    ann.ask("DELETE", f"/files/{result['resultZipFileHandleId']}")


def test_a_kill_amid_the_compressing(carryon: Carryon, ann: Ordering, tmp_path: Path) -> None:
    texts = [ann.new_file(tmp_path, f"{n}.txt", TEXT, content_type="text/plain", repeat=40) for n in range(3)]
    job = ann.start(ann.order(texts))
    wait_for(ann, ".deflated.part")
    carryon.kill("worker-cpu")
    assert any(".deflated" in name for name in ann.lying())
    content = ann.zip_of(ann.result(job, RESUME_SECONDS))
    assert sizes_of(content) == {f"{n}.txt": 40 * len(TEXT) for n in range(3)}
    assert len(content) < 60 * len(TEXT)


def test_a_job_that_is_stopped_while_its_worker_is_dead(carryon: Carryon, ann: Ordering, tmp_path: Path) -> None:
    files = some_files(ann, tmp_path)
    order = ann.order(list(files))
    job = ann.start(order)
    wait_for(ann, ".zip.part")
    os.kill(carryon.pid("worker-cpu"), signal.SIGSTOP)
    stopping = ann.ask("POST", f"/async/stop/{job}")
    carryon.kill("worker-cpu")
    assert stopping.status_code == 202, stopping.text
    wait_until(lambda: ann.ask("GET", f"/async/get/{job}").json()["jobState"] == "FAILED", RESUME_SECONDS)
    assert ann.result(job)["errorDetails"] == "stopped"
    wait_until(lambda: ann.lying() == ann.zips(), 15)
    assert sizes_of(ann.zip_of(ann.result(ann.start(order)))) == dict(files.values())


def test_a_file_that_goes_amid_a_zip(carryon: Carryon, ann: Ordering, tmp_path: Path) -> None:
    files = some_files(ann, tmp_path)
    *others, last = files
    job = ann.start(ann.order(list(files)))
    wait_for(ann, ".zip.part")
    with frozen(carryon.pid("worker-cpu")):
        assert ann.lying() != ann.zips(), "it is amid the work"
        path = Path(ann.rows("SELECT path FROM transfers_storedfile WHERE id = ?", last)[0][0])
        assert ann.ask("DELETE", f"/files/{last}").status_code == 204
        path.unlink(missing_ok=True)  # another worker may have been as fast
    result = ann.result(job, RESUME_SECONDS)
    assert [each.get("failureCode") for each in result["fileSummary"]] == [None] * len(others) + ["NOT_FOUND"]
    assert ann.listed() == [last]
    assert sizes_of(ann.zip_of(result)) == dict(files[each] for each in others)


def test_a_drain_amid_a_zip(carryon: Carryon, ann: Ordering, tmp_path: Path) -> None:
    """Who is asked to leave leaves at once, and another one goes on with what there is."""
    files = some_files(ann, tmp_path, 40)
    job = ann.start(ann.order(list(files)))
    wait_for(ann, ".zip.part")
    pid = carryon.pid("worker-cpu")
    with carryon.another_worker(cpu=True):
        os.kill(pid, signal.SIGTERM)
        asked = time.monotonic()
        wait_until(lambda: carryon.service.pids().get("worker-cpu") != pid, 20)
        print(f"left after {time.monotonic() - asked:.1f} s")
        result = ann.result(job, RESUME_SECONDS)
        assert sizes_of(ann.zip_of(result)) == dict(files.values())


def test_a_broker_that_forgets_everything(carryon: Carryon, ann: Ordering, tmp_path: Path) -> None:
    files = some_files(ann, tmp_path, 2, 1)
    order = ann.order(list(files))
    with frozen(carryon.pid("worker-cpu")):
        job = ann.start(order)
        with redis.Redis(unix_socket_path=str(carryon.broker_socket)) as broker:
            broker.flushall()
    assert sizes_of(ann.zip_of(ann.result(job, RESUME_SECONDS))) == dict(files.values())


def test_two_workers_at_once(carryon: Carryon, ann: Ordering, tmp_path: Path) -> None:
    with carryon.another_worker(cpu=True):
        orders = [some_files(ann, tmp_path, 1 + n, 4) for n in range(6)]
        jobs = [ann.start(ann.order(list(files))) for files in orders]
        for job, files in zip(jobs, orders, strict=True):
            assert sizes_of(ann.zip_of(ann.result(job, RESUME_SECONDS))) == dict(files.values())
        epochs = ann.rows("SELECT lease_epoch FROM transfers_listjob ORDER BY requested_at DESC LIMIT 6")
    assert epochs == [(1,)] * 6, "each was one worker's"


@pytest.mark.parametrize("delay_seconds", [0.0, 0.3, 0.8])
def test_a_kill_amid_an_addition_to_the_list(carryon: Carryon, ann: Ordering, delay_seconds: float) -> None:
    count = 50_000
    ann.new_rows(count, "many")
    with frozen(carryon.pid("worker-cpu")):
        job = ann.told("POST", "/download/list/me/add/async/start", {"query": {"folder": "many"}})["jobId"]
    time.sleep(delay_seconds)
    carryon.kill("worker-cpu")
    assert ann.result(job, RESUME_SECONDS)["numberOfFiles"] == count
    assert len(set(ann.listed())) == count
    ann.forget_rows("many")


def test_zips_and_checksums_do_not_wait_behind_downloads(tmp_path: Path) -> None:
    """Every thread that moves bytes is at a download that takes for ever, and more of them wait."""
    threads = 2
    with OriginProcess() as origin, running_carryon(tmp_path / "data", WORKER_THREADS=str(threads)) as carryon:
        urls = [
            origin.url(GeneratedFile(MIB, seed=number), Behaviour(rate=1_000), name=f"{number}.bin")
            for number in range(20 * threads)
        ]
        downloads = [carryon.admin.begin(url, f"{number}.bin") for number, url in enumerate(urls)]
        for download in downloads[:threads]:
            carryon.admin.wait_for(download, lambda detail: detail["state"] == "running")
        ann = Ordering(carryon, carryon.user("ann").token)
        file = ann.new_file(tmp_path / "files", "a.bin", NOISE, crc32="")
        began = time.monotonic()
        adding = ann.told("POST", "/download/list/me/add/async/start", {"query": {"text": "a.bin"}})["jobId"]
        assert ann.result(adding, 10)["numberOfFiles"] == 1
        assert sizes_of(ann.zip_of(ann.result(ann.start(ann.order([file])), 20))) == {"a.bin": MIB}
        seconds = time.monotonic() - began
        states = [carryon.admin.detail(download)["state"] for download in downloads]
    assert states.count("running") == threads, "none of them has ended meanwhile"
    assert seconds < 15


def test_neither_checksums_nor_additions_wait_behind_zips(tmp_path: Path) -> None:
    """As many zips as there are threads would take hours each; another one comes to its turn when one of them ends."""
    threads = 4
    limits = {"WORKER_CPU_THREADS": str(threads), "ORDER_MAX_BYTES": str(2**50)}
    with running_carryon(tmp_path / "data", **limits) as carryon:
        bob, ann = (Ordering(carryon, carryon.user(name).token) for name in ("bob", "ann"))
        text = {"content_type": "text/plain", "hole": 2**42}
        endless = [bob.new_file(tmp_path, f"{n}.txt", b"", **text) for n in range(threads)]
        jobs = [bob.start(bob.order([file])) for file in endless]
        at_work = "SELECT count(*) FROM transfers_listjob WHERE message LIKE 'compressing %'"
        wait_until(lambda: bob.rows(at_work) == [(threads - 2,)], 30)
        file = ann.new_file(tmp_path, "a.bin", NOISE, crc32="")
        adding = ann.told("POST", "/download/list/me/add/async/start", {"query": {"text": "a.bin"}})["jobId"]
        assert ann.result(adding, 20)["numberOfFiles"] == 1
        wait_until(lambda: ann.rows("SELECT crc32 FROM transfers_storedfile WHERE id = ?", file) != [("",)], 20)
        job = ann.start(ann.order([file]))
        assert ann.ask("GET", f"/async/get/{job}").status_code == 202
        for endless_job in jobs:
            bob.ask("POST", f"/async/stop/{endless_job}")
        assert sizes_of(ann.zip_of(ann.result(job, 20))) == {"a.bin": MIB}


def test_streamed_by_the_real_server(ann: Ordering, tmp_path: Path) -> None:
    """Between memory and files, which the kernel sends; the connection is good for the next request afterwards."""
    small = [ann.new_file(tmp_path, f"{n}.txt", b"small %d" % n) for n in range(300)]
    large = [ann.new_file(tmp_path, f"{n}.mov", NOISE, repeat=n) for n in (1, 5)]
    order = ann.order([*small[:150], *large, *small[150:]])
    path = f"/download/order/{order}/zip"
    streamed = ann.ask("GET", path)
    assert streamed.status_code == 200
    found = sizes_of(streamed.content)
    assert (len(found), found["5.mov"]) == (302, 5 * MIB)
    ann.result(ann.start(order))
    whole = ann.ask("GET", path)
    assert (whole.content == streamed.content, whole.headers["ETag"]) == (True, streamed.headers["ETag"])
    draw = random.Random(SEED)
    again = ann.order([*small[:150], *large, *small[150:]])
    parts = urlsplit(ann.carryon.service.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    headers = {"Authorization": f"Bearer {ann.token}"}
    for each in (path, f"/download/order/{again}/zip"):
        connection.request("HEAD", each, headers=headers)
        reply = connection.getresponse()
        assert (reply.status, reply.read(), reply.headers["Content-Length"]) == (200, b"", str(len(whole.content)))
        for _ in range(20):
            start = draw.randrange(len(whole.content))
            end = min(start + draw.choice([1, 100, 70_000, 3_000_000]), len(whole.content))
            asked = {**headers, "Range": f"bytes={start}-{end - 1}", "If-Range": whole.headers["ETag"]}
            connection.request("GET", each, headers=asked)
            reply = connection.getresponse()
            assert (reply.status, reply.read() == whole.content[start:end]) == (206, True)
        connection.request("GET", each, headers={**headers, "Range": "bytes=0-9,4000000-4000099,-50"})
        reply = connection.getresponse()
        body = reply.read()
        assert (reply.status, whole.content[4_000_000:4_000_100] in body) == (206, True)
        connection.request("GET", each, headers={**headers, "Range": f"bytes={len(whole.content)}-"})
        reply = connection.getresponse()
        reply.read()
        assert (reply.status, reply.headers["Content-Range"]) == (416, f"bytes */{len(whole.content)}")
    connection.close()


def test_a_client_that_leaves_a_streamed_zip(ann: Ordering, carryon: Carryon, tmp_path: Path) -> None:
    files = some_files(ann, tmp_path, 4)
    order = ann.order(list(files))
    web = carryon.pid("web")
    for _ in range(5):
        url = f"{carryon.service.url}/download/order/{order}/zip"
        with requests.get(url, headers=ann.session.headers, stream=True, timeout=30) as reply:
            reply.raw.read(3 * MIB)
    open_files = [path for path in tmp_path.rglob("content") if _opened_by(web, path)]
    wait_until(lambda: not any(_opened_by(web, path) for path in tmp_path.rglob("content")), 20)
    print(f"{len(open_files)} files were open just after")


def test_a_file_that_is_written_to_amid_a_streamed_zip(ann: Ordering, carryon: Carryon, tmp_path: Path) -> None:
    """Nobody has a whole answer with bytes of both in it."""
    order = ann.order([ann.new_file(tmp_path, "film.mov", NOISE, repeat=40)])
    [path] = tmp_path.rglob("content")
    url = f"{carryon.service.url}/download/order/{order}/zip"
    with requests.get(url, headers=ann.session.headers, stream=True, timeout=30) as reply:
        reply.raw.read(MIB)
        with path.open("r+b") as file:
            file.write(b"other")
        with pytest.raises(ProtocolError):
            b"".join(reply.raw.stream(MIB))
    assert ann.ask("GET", f"/download/order/{order}/zip").status_code == 404, "it is not the file that was ordered"


def _opened_by(pid: int, path: Path) -> bool:
    entries = Path(f"/proc/{pid}/fd").iterdir()
    return any(_target(entry) == str(path) for entry in entries)


def _target(entry: Path) -> str:
    with suppress(OSError):
        return str(entry.readlink())
    return ""


def test_progress_on_the_socket(ann: Ordering, carryon: Carryon, tmp_path: Path) -> None:
    files = some_files(ann, tmp_path, 40)
    order = ann.order(list(files))
    url = f"ws://{urlsplit(carryon.service.url).netloc}/ws/events/?token={ann.token}&orderId={order}"
    with connect(url, proxy=None, open_timeout=30) as socket:
        job = ann.start(order)
        told = []
        while not told or told[-1]["jobState"] == "PROCESSING":
            name, inner = json.loads(socket.recv(timeout=60))
            assert name == "list_job"
            told.append(json.loads(inner))
    assert {(each["jobId"], each["id"], each["orderId"]) for each in told} == {(job, job, order)}
    revisions = [each["revision"] for each in told]
    assert revisions == sorted(set(revisions))
    assert told[-1]["jobState"] == "COMPLETE"
    assert told[-1]["progressCurrent"] == told[-1]["progressTotal"] > 40 * 16 * MIB
    assert all(each["progressCurrent"] <= each["progressTotal"] for each in told)


def test_a_full_disk(tmp_path: Path) -> None:
    """Told as that, nothing left; and the order can be started again once there is room."""
    with small_disk(tmp_path / "files") as disk, running_carryon(tmp_path / "data", FILES_ROOT=str(disk)) as small:
        ann = Ordering(small, small.user("ann").token)
        file = ann.new_file(tmp_path / "elsewhere", "large.bin", NOISE, repeat=DISK_BYTES // MIB - 2)
        (disk / "filler").write_bytes(bytes(10 * MIB))
        order = ann.order([file])
        result = ann.result(ann.start(order), 120)
        assert (result["jobState"], result["errorDetails"]) == ("FAILED", "out_of_space")
        assert "no space is left" in result["errorMessage"]
        wait_until(lambda: not [path for path in (disk / ".made").rglob("*") if path.is_file()], 10)
        (disk / "filler").unlink()
        assert sizes_of(ann.zip_of(ann.result(ann.start(order)))) == {"large.bin": DISK_BYTES - 2 * MIB}
