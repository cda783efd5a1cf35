"""`kill -9` of the web process amid uploads: what was acknowledged is there, and what was accepted comes to its end."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
import requests

from tests import battery
from tests.e2e.carryon import Carryon, running_carryon
from tests.e2e.uploads import Answer, Form, Uploads, md5, md5s, part_form, told_of
from tests.service import wait_until

MIB = 2**20
SEED = int(os.environ.get("CARRYON_SEED", "1"))
BACK_SECONDS = 40
ROLLED_FORWARD_SECONDS = 35
"""10 s until somebody who completes is taken for dead, 3 s until the reaper looks, and a busy machine."""


@pytest.fixture(scope="module")
def ann(carryon: Carryon) -> Uploads:
    return Uploads(carryon.service.url, carryon.user("ann-of-the-kills").token)


@pytest.fixture
def files(carryon: Carryon) -> Path:
    """Where the service keeps files."""
    return carryon.data_dir / "files"


def folder_of(files: Path, upload: int) -> Path:
    """Where the parts of the upload lie."""
    return files / ".uploads" / str(upload)


def kill_web(carryon: Carryon) -> None:
    """End it, and wait until there is another one."""
    before = carryon.pid("web")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: carryon.service.pids().get("web") not in (before, None), BACK_SECONDS)
    wait_until_back(carryon)


def wait_until_back(carryon: Carryon) -> None:
    def answers() -> bool:
        with suppress(requests.ConnectionError):
            return requests.get(f"{carryon.service.url}/livez", timeout=BACK_SECONDS).ok
        return False

    wait_until(answers, BACK_SECONDS)


def state_of(carryon: Carryon, upload: int) -> str:
    """Where the upload stands, as the database has it."""
    with closing(sqlite3.connect(carryon.data_dir / "carryon.sqlite3", timeout=20)) as database:
        row = database.execute("SELECT state FROM transfers_upload WHERE id = ?", (upload,)).fetchone()
    return str(row[0]) if row else "none"


def test_the_contracts_own_example(carryon: Carryon, ann: Uploads) -> None:
    """215 MB in parts of 20 MB, killed after the fifth, goes on with six."""
    size = 215 * MIB
    pattern = random.Random(215).randbytes(MIB)
    begun = ann.initiate("case.zip", "other-doc", mode=31, fileSize=size).data
    upload, part_size = begun["fileId"], begun["suggestedChunkSize"]
    assert part_size == 20 * MIB
    parts = {n + 1: bytes([n]) + (pattern * 20)[1 : min(part_size, size - n * part_size)] for n in range(11)}
    assert [len(each) for each in parts.values()] == [20 * MIB] * 10 + [15 * MIB]
    remembered = {}  # as localStorage has it
    for number in range(1, 6):
        remembered[number] = ann.part(upload, number, parts[number]).data["md5string"]
    kill_web(carryon)
    resumed = ann.resume(upload).data
    assert (resumed["fileId"], resumed["suggestedChunkSize"]) == (upload, part_size)
    assert {int(number): each for number, each in resumed["parts"].items()} == remembered
    missing = [number for number in parts if number not in remembered]
    assert len(missing) == 6
    for number in missing:
        remembered[number] = ann.put(upload, number, parts[number]).data["md5string"]
    answer = ann.complete(upload, remembered)
    print(f"completed in {answer.seconds:.2f} s")
    assert answer.seconds < 5
    assert answer.data["size"] == size
    assert md5(ann.content(answer.data)) == md5(b"".join(parts.values()))
    requests.delete(answer.data["url"].removesuffix("/content"), headers=ann.headers, timeout=20)


@pytest.mark.parametrize("round_", range(battery.rounds(2, 25)))
def test_what_was_acknowledged_is_there_after_a_kill(carryon: Carryon, ann: Uploads, files: Path, round_: int) -> None:
    draw = random.Random(f"{SEED} {round_}")
    upload = ann.begin()
    acknowledged: dict[int, str] = {}
    offered: dict[int, set[str]] = {number: set() for number in range(1, 41)}
    over = threading.Event()

    def send(sender: int) -> None:
        """Send parts, some of them again and otherwise, as long as there is somebody to send them to."""
        chance = random.Random(f"{SEED} {round_} {sender}")
        while not over.is_set():
            number = chance.randrange(10) * 4 + sender + 1  # nobody else sends it
            content = chance.randbytes(chance.choice([10, 70_000, 1_500_000]))
            offered[number].add(md5(content))
            try:
                acknowledged[number] = ann.part(upload, number, content).data["md5string"]
            except requests.RequestException:
                return

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
    for sender in senders:
        sender.start()
    wait_until(lambda: len(acknowledged) > 6, 60)
    time.sleep(draw.uniform(0, 0.5))
    last = dict(acknowledged)
    kill_web(carryon)
    over.set()
    for each in senders:
        each.join()
    stored = ann.stored(upload)
    assert stored.keys() >= last.keys() | acknowledged.keys()
    lost = {number for number, told in acknowledged.items() if stored[number] not in {told} | offered[number]}
    assert not lost
    older = [number for number, told in acknowledged.items() if stored[number] != told]
    assert len(older) <= 4, "at most the one that each sender had under way"
    parts = {number: b"%d" % number for number in range(1, 41)}
    ann.send(upload, parts, connections=4)
    assert ann.content(ann.finished(upload, md5s(parts))) == b"".join(parts.values())
    wait_until(lambda: not folder_of(files, upload).exists(), 5)


@contextmanager
def held_up(folder: Path) -> Iterator[None]:
    """Whoever completes this upload has to wait during the block."""
    with (folder / "journal").open("rb+") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        yield


def test_what_was_accepted_is_completed_without_the_client(carryon: Carryon, ann: Uploads, files: Path) -> None:
    """Killed in the middle of it: the reaper rolls it forward."""
    parts = {1: b"a" * 1000, 2: b"b" * 1000, 3: b"c"}
    uploads = [ann.begin(f"rolled-{number}.mov") for number in range(3)]
    for upload in uploads:
        ann.send(upload, parts)
    with ExitStack() as stack:
        for upload in uploads:
            stack.enter_context(held_up(folder_of(files, upload)))
            wire = stack.enter_context(ann.wire())
            form = Form([("option", "complete"), ("fileId", upload), ("parts", str(md5s(parts)))])
            wire.send(*ann.request(form))
        wait_until(lambda: all(state_of(carryon, upload) == "completing" for upload in uploads), 20)
        os.kill(carryon.pid("web"), signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: all(state_of(carryon, each) == "completed" for each in uploads), ROLLED_FORWARD_SECONDS)
    print(f"rolled forward {time.monotonic() - killed:.1f} s after the kill")
    wait_until_back(carryon)
    for upload in uploads:
        told = ann.complete(upload, md5s(parts)).data
        assert ann.content(told) == b"".join(parts.values())
        assert not folder_of(files, upload).exists()


def test_the_client_that_asks_again_does_not_wait_for_the_reaper(carryon: Carryon, ann: Uploads, files: Path) -> None:
    parts = {1: b"a" * 1000, 2: b"b"}
    upload = ann.begin()
    ann.send(upload, parts)
    with held_up(folder_of(files, upload)), ann.wire() as wire:
        form = Form([("option", "complete"), ("fileId", upload), ("parts", str(md5s(parts)))])
        wire.send(*ann.request(form))
        wait_until(lambda: state_of(carryon, upload) == "completing", 20)
        ann.part(upload, 1, b"late").problem(409, "upload_ended")
        ann.abort(upload).problem(409, "upload_ended")
        assert ann.stored(upload) == md5s(parts)
        assert ann.state(upload).data["completed"] is False
        kill_web(carryon)
    answer = ann.complete(upload, md5s(parts))
    assert ann.content(answer.data) == b"".join(parts.values())
    ann.complete(upload, md5s({1: b"x"})).problem(409, "parts_differ")


@pytest.mark.parametrize("round_", range(battery.rounds(1, 20)))
def test_kills_at_random_moments_of_completing(carryon: Carryon, ann: Uploads, files: Path, round_: int) -> None:
    draw = random.Random(f"{SEED} completing {round_}")
    parts = {number: draw.randbytes(draw.choice([1000, 1000, 5])) for number in range(1, 30)}
    uploads = [ann.begin(f"random-{round_}-{number}.mov") for number in range(6)]
    for upload in uploads:
        ann.send(upload, parts, connections=4)
    answers: dict[int, Answer] = {}

    def complete(upload: int) -> None:
        with suppress(requests.RequestException):
            answers[upload] = ann.complete(upload, md5s(parts))

    threads = [threading.Thread(target=complete, args=(upload,)) for upload in uploads]
    for thread in threads:
        thread.start()
        time.sleep(draw.uniform(0, 0.02))
    kill_web(carryon)
    for thread in threads:
        thread.join()
    states = {upload: state_of(carryon, upload) for upload in uploads}
    print(f"{len(answers)} of {len(uploads)} answered, then killed: {sorted(states.values())}")
    for upload, answer in answers.items():
        assert states[upload] == "completed"
        assert told_of(ann.complete(upload, md5s(parts))) == told_of(answer)
    for upload in uploads:
        told = ann.complete(upload, md5s(parts)).data
        assert ann.content(told) == b"".join(parts.values())
    names = [path.name for path in files.rglob(f"random-{round_}-*")]
    assert len(names) == len(uploads), names


def test_a_kill_of_everything_and_a_new_start(tmp_path: Path) -> None:
    parts = {number: bytes([number]) * 1_500_000 for number in range(1, 5)}
    with running_carryon(tmp_path) as before:
        hal = Uploads(before.service.url, before.user("hal").token)
        upload = hal.begin()
        hal.send(upload, {number: parts[number] for number in (1, 3)})
        with hal.wire() as wire:
            wire.send(b"".join(hal.request(part_form(upload, 2, parts[2])))[:MIB])
            before.service.signal(signal.SIGKILL)
            before.service.wait()
        with running_carryon(tmp_path, token=hal.token) as after:
            again = Uploads(after.service.url, hal.token)
            assert again.stored(upload) == md5s({number: parts[number] for number in (1, 3)})
            again.send(upload, {number: parts[number] for number in (2, 4)})
            assert again.content(again.finished(upload, md5s(parts))) == b"".join(parts.values())
