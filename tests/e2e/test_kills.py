"""Processes killed, drained and added in the middle of files: the right bytes come, soon, and few of them twice."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from tests import battery
from tests.e2e.carryon import Carryon, frozen, leftovers_of, running_carryon, sha256
from tests.e2e.client import Frame, Listener
from tests.origin import Behaviour, GeneratedFile, Origin
from tests.service import is_alive, wait_until

MIB = 2**20
SEED = int(os.environ.get("CARRYON_SEED", "1"))
RESUME_SECONDS = 35
DRAIN_SECONDS = 20
STOP_SECONDS = 1
AT_ONCE_SECONDS = 2
"""What "at once" may take: a message through the broker, a request to the origin."""
REFETCHED_BYTES = 64 * MIB
REFETCHED_SECONDS = 5
WASTE_BYTES = 4 * MIB
"""What an origin sends, until its connection is closed, of a whole file that is only asked about."""
SOCKET_BYTES = 8 * MIB
"""What the kernel holds of a fast connection: sent, and never received by the process that was killed."""
BUSY_SECONDS = 1.0
"""What a busy machine may add to a time that the contract promises."""


@dataclass
class Work:
    """A download under way, and what its origin can be asked of it."""

    carryon: Carryon
    origin: Origin
    path: str
    file: GeneratedFile
    id: str

    @property
    def url(self) -> str:
        return self.origin.url(self.path)

    @property
    def fid(self) -> str:
        return self.path

    @property
    def fetched(self) -> int:
        return self.origin.fetched(self.path)

    def wait_until_resumed_after(self, moment: float) -> float:
        """Wait for the first request after that moment; after how many seconds it came."""
        wait_until(lambda: self.origin.requests_for(self.path)[-1].at > moment, RESUME_SECONDS)
        return next(each.at for each in self.origin.requests_for(self.path) if each.at > moment) - moment

    def wait_for_bytes(self, count: int) -> None:
        """Wait until the origin has sent so many."""
        wait_until(lambda: self.fetched >= count, 60)

    def wait_for_more_bytes(self) -> None:
        """Wait until the origin sends something now."""
        before = self.fetched
        wait_until(lambda: self.fetched > before, RESUME_SECONDS)

    def hurry(self) -> None:
        """Have the rest asked for anew, and answered fast.

        Not as fast as can be: what then lies in the sockets of a request that is given up would count as fetched.
        """
        self.origin.behave(self.path, Behaviour(rate=50_000_000))
        self.origin.cut()

    def check(self, seconds: float = 120) -> dict[str, Any]:
        """Wait for the end: the right bytes, with nothing left beside them; everything about it."""
        detail = self.carryon.admin.wait_for_end(self.id, seconds)
        assert (detail["state"], detail["error"]) == ("completed", ""), detail
        path = Path(detail["savePath"])
        assert path.stat().st_size == self.file.size
        assert sha256(path) == self.file.sha256()
        hashed = self.carryon.admin.wait_for(self.id, lambda d: d["storedFile"]["sha256"])
        assert hashed["storedFile"]["sha256"] == self.file.sha256()
        wait_until(lambda: not leftovers_of(path), 5)
        path.unlink()
        return detail


def begin(carryon: Carryon, origin: Origin, name: str, size: int, rate: float | None = None, *, seed: int = 1) -> Work:
    """Start a download whose origin sends so many bytes a second on each connection."""
    file = GeneratedFile(size, seed=seed)
    url = origin.add(f"/{name}", file, Behaviour(rate=rate))
    return Work(carryon, origin, f"/{name}", file, carryon.admin.begin(url, f"/{name}"))


def allowed_twice(rate: float) -> int:
    """How many bytes a kill may cost where so many come in a second, with what was under way."""
    return int(min(REFETCHED_BYTES, REFETCHED_SECONDS * rate)) + WASTE_BYTES


# kill -9

SINGLE_RATE, SHARED_RATE = 1_000_000, 2_500_000
VICTIMS = {
    "worker": ["worker-1"],
    "broker": ["broker"],
    "web and beat": ["web", "beat"],
    "all": ["worker-1", "worker-cpu", "broker", "web", "beat"],
}


@pytest.mark.parametrize("round_", range(battery.rounds(1, 20)))
def test_kills_at_random_moments_again_and_again(carryon: Carryon, origin: Origin, round_: int) -> None:
    draw = random.Random(f"{SEED} {round_}")
    carryon.wait_until_back()
    single = begin(carryon, origin, f"single-{round_}", 30_000_000, SINGLE_RATE)
    shared = begin(carryon, origin, f"shared-{round_}", 400_000_000, SHARED_RATE)
    small: list[Work] = []
    killed_workers = 0
    for victims in draw.sample(list(VICTIMS), k=len(VICTIMS)):
        small += [begin(carryon, origin, f"small-{round_}-{victims[:3]}-{n}", 50_000, seed=n) for n in range(3)]
        single.wait_for_more_bytes()
        shared.wait_for_more_bytes()
        time.sleep(draw.uniform(0, 3))
        killed = time.monotonic()
        carryon.kill(*VICTIMS[victims])
        if "worker-1" in VICTIMS[victims]:
            killed_workers += 1
            seconds = [work.wait_until_resumed_after(killed) for work in (single, shared)]
            print(f"{victims} killed, work resumed after {seconds[0]:.1f} s and {seconds[1]:.1f} s")
        wait_until(lambda: answers(carryon), RESUME_SECONDS)
    for work, rate in ((single, SINGLE_RATE), (shared, 4 * SHARED_RATE)):
        work.hurry()
        detail = work.check()
        twice = work.fetched - work.file.size
        print(f"{work.path}: {twice / MIB:.1f} MiB fetched twice by {killed_workers} kills")
        assert twice <= killed_workers * allowed_twice(rate) + WASTE_BYTES
        lost = [attempt for attempt in detail["attempts"] if attempt["outcome"] == "lost"]
        assert len(lost) == killed_workers, "only the worker has to do with the bytes"
    for work in small:
        work.check()


def answers(carryon: Carryon) -> bool:
    """Whether the web process is there."""
    with suppress(requests.ConnectionError):
        return requests.get(f"{carryon.service.url}/livez", timeout=10).status_code == HTTPStatus.OK
    return False


@pytest.mark.parametrize("victims", ["broker", "web and beat"])
def test_what_the_bytes_do_not_need(carryon: Carryon, origin: Origin, victims: str) -> None:
    """A transfer does not even notice the end of a process that only asks and tells."""
    carryon.wait_until_back()
    work = begin(carryon, origin, f"indifferent-{victims[:3]}", 12_000_000, 3_000_000)
    work.wait_for_bytes(1_000_000)
    carryon.kill(*VICTIMS[victims])
    wait_until(lambda: answers(carryon), RESUME_SECONDS)
    detail = work.check()
    assert [attempt["outcome"] for attempt in detail["attempts"]] == ["completed"]
    assert work.fetched == work.file.size


@pytest.mark.parametrize("round_", range(battery.rounds(1, 10)))
def test_a_kill_at_full_speed(carryon: Carryon, origin: Origin, round_: int) -> None:
    """Where 5 s are more than 64 MiB, those are the limit."""
    draw = random.Random(f"{SEED} full speed {round_}")
    carryon.wait_until_back()
    work = begin(carryon, origin, f"fast-{round_}", 400 * MIB)
    work.wait_for_bytes(draw.randrange(MIB, 300 * MIB))
    carryon.kill("worker-1")
    assert carryon.admin.detail(work.id)["state"] != "completed"
    work.check()
    twice = work.fetched - work.file.size
    print(f"{twice / MIB:.1f} MiB fetched twice")
    assert twice <= REFETCHED_BYTES + 4 * SOCKET_BYTES + WASTE_BYTES


def test_a_crowd_of_small_files_and_a_kill(carryon: Carryon, origin: Origin) -> None:
    """More than there are threads, connections and doorbells for: each file comes, whoever's doorbell was lost."""
    carryon.wait_until_back()
    crowd = [begin(carryon, origin, f"crowd-{n}", 100_000, 400_000, seed=n) for n in range(80)]
    wait_until(lambda: len([each for each in origin.requests if each.finished]) > 10, 30)
    killed = time.monotonic()
    carryon.kill("worker-1")
    for work in crowd:
        work.check(killed + RESUME_SECONDS - time.monotonic())
    print(f"{len(crowd)} files came, the last one {time.monotonic() - killed:.1f} s after the kill")
    assert sum(work.fetched - work.file.size for work in crowd) <= 16 * 100_000, "each thread's file twice at most"


def test_kill_of_the_supervisor_and_a_new_start(tmp_path: Path, origin: Origin) -> None:
    file = GeneratedFile(30_000_000, seed=3)
    url = origin.add("/power.bin", file, Behaviour(rate=5_000_000))
    with running_carryon(tmp_path) as before:
        token = before.admin.token
        download = before.admin.begin(url, "power")
        wait_until(lambda: origin.fetched("/power.bin") > 3_000_000, 30)
        before.service.signal(signal.SIGKILL)
        before.service.wait()
        origin.behave("/power.bin")
        started = time.monotonic()
        with running_carryon(tmp_path, token=token) as after:
            work = Work(after, origin, "/power.bin", file, download)
            work.check()
            work.wait_until_resumed_after(started)
            assert work.fetched - file.size <= allowed_twice(5_000_000)


# Leaving in order, and forgetting everything


def test_a_worker_that_is_told_to_leave(carryon: Carryon, origin: Origin, everything: Listener) -> None:
    """Its file goes on elsewhere at once, and it is gone within 20 s."""
    carryon.wait_until_back()
    with carryon.another_worker() as other:
        work = begin(carryon, origin, "leave", 30_000_000, 3_000_000)
        detail = carryon.admin.wait_for(work.id, lambda d: d["attempts"] and d["downloaded"] > 3_000_000)
        leaving = pid_of(detail["attempts"][-1]["worker"])
        assert leaving in {carryon.pid("worker-1"), other.pid}
        told = time.monotonic()
        os.kill(leaving, signal.SIGTERM)
        detail = carryon.admin.wait_for(work.id, lambda d: len(d["attempts"]) > 1, AT_ONCE_SECONDS + BUSY_SECONDS)
        assert pid_of(detail["attempts"][-1]["worker"]) not in (leaving, None)
        if leaving == other.pid:
            other.wait(DRAIN_SECONDS)
        wait_until(lambda: not is_alive(leaving), DRAIN_SECONDS - (time.monotonic() - told))
        print(f"gone after {time.monotonic() - told:.1f} s")
        work.hurry()
        last = work.check()
        assert work.fetched - work.file.size <= 2 * WASTE_BYTES
        assert last["attempts"][0]["outcome"] == "handed back"
        assert {frame.status for frame in everything.frames(work.fid)} == {"", "STREAM_RUNNING", "STREAM_COMPLETED"}


def pid_of(owner: str) -> int:
    return int(owner.split(":")[1])


def test_a_broker_that_forgets_everything(carryon: Carryon, origin: Origin, everything: Listener) -> None:
    carryon.wait_until_back()
    running = begin(carryon, origin, "forgotten", 12_000_000, 2_000_000)
    running.wait_for_bytes(2_000_000)
    with frozen(carryon.pid("worker-1")):  # so that nobody picks up what is asked for now
        queued = [begin(carryon, origin, f"unheard-{n}", 100_000, seed=n) for n in range(4)]
        forget_everything(carryon)
    forgotten = time.monotonic()
    with carryon.admin.listening(fid=running.fid) as listener:
        listener.wait_for(lambda frame: frame.status == "STREAM_RUNNING" and frame.at > forgotten + 1)
    for work in queued:
        work.check(RESUME_SECONDS)
    detail = running.check()
    assert [(attempt["outcome"], attempt["error"]) for attempt in detail["attempts"]] == [("completed", "")]
    assert running.fetched == running.file.size
    for work in (running, *queued):
        assert all(frame.status != "STREAM_FAIL" for frame in everything.frames(work.fid))


def forget_everything(carryon: Carryon) -> None:
    with redis.Redis(unix_socket_path=str(carryon.broker_socket)) as broker:
        broker.flushall()


# Stop and start


def test_stop_within_a_second_and_resume_from_what_is_kept(
    carryon: Carryon, origin: Origin, everything: Listener
) -> None:
    carryon.wait_until_back()
    for size, rate in ((20_000_000, 2_000_000), (80_000_000, 2_000_000)):
        work = begin(carryon, origin, f"stop-{size}", size, rate)
        work.wait_for_bytes(4_000_000)
        asked = time.monotonic()
        answer = carryon.admin.stop(work.url, work.fid)
        assert answer.data["origin"]["fileUrl"] == work.url
        frame = everything.wait_for_end(work.fid)
        assert frame.data == {"error": "Error: aborted", "reason": "stopped"}
        assert frame.at - asked < STOP_SECONDS + BUSY_SECONDS
        wait_until(lambda: origin.connections == 0, 5)
        fetched = work.fetched
        kept = carryon.admin.detail(work.id)["downloaded"]
        assert kept > 3_000_000
        for call in (carryon.admin.check, carryon.admin.stop):
            refused = call(work.url, work.fid)
            assert (refused.status, refused.body["errmsg"]) == (404, "NOT FIND DOWNLOADING")
        work.hurry()
        carryon.admin.start(work.url, work.fid)
        begun = everything.wait_for(lambda f: "Range" in f.message, work.fid, since=frame.at)
        assert int(begun.message["Range"].removeprefix("bytes=").rstrip("-")) >= kept - MIB
        work.check()
        assert work.fetched <= size + (fetched - kept) + WASTE_BYTES


def test_stop_right_after_start_and_start_right_after_stop(
    carryon: Carryon, origin: Origin, everything: Listener
) -> None:
    carryon.wait_until_back()
    work = begin(carryon, origin, "nervous", 6_000_000, 3_000_000)
    for _ in range(battery.rounds(4, 40)):
        assert carryon.admin.stop(work.url, work.fid).status == 200
        assert carryon.admin.start(work.url, work.fid, prefer="respond-async").status == 202
        assert carryon.admin.start(work.url, work.fid, prefer="respond-async").status == 409
    assert carryon.admin.stop(work.url, work.fid).status == 200
    asked = time.monotonic()
    carryon.admin.wait_for(work.id, lambda d: d["state"] == "stopped", STOP_SECONDS + BUSY_SECONDS)
    assert everything.wait_for_end(work.fid, since=asked - 1).data["reason"] == "stopped"
    assert carryon.admin.start(work.url, work.fid).status == 200
    work.check()


def test_stop_of_what_waits_for_its_next_attempt(carryon: Carryon, origin: Origin, everything: Listener) -> None:
    for seconds in ("2", "600"):  # one is waited for in place, the other in the queue
        url = origin.add(f"/later-{seconds}", b"", Behaviour(status=503, retry_after=seconds))
        download = carryon.admin.begin(url, f"later-{seconds}")
        carryon.admin.wait_for(download, lambda d: d["attempts"] and d["attempts"][0]["outcome"] == "failed")
        asked = time.monotonic()
        assert carryon.admin.stop(url, f"later-{seconds}").status == 200
        frame = everything.wait_for_end(f"later-{seconds}")
        assert frame.data["reason"] == "stopped"
        assert frame.at - asked < STOP_SECONDS + BUSY_SECONDS


@pytest.mark.parametrize("how", [pytest.param("gone", marks=pytest.mark.long), "hangs"])
def test_life_without_a_broker(carryon: Carryon, origin: Origin, how: str) -> None:
    """What runs goes on and can be stopped, what is asked for is answered soon, and done when the broker is back."""
    carryon.wait_until_back()
    running = begin(carryon, origin, f"running-{how}", 120_000_000, 3_000_000)
    stopped = begin(carryon, origin, f"stopped-{how}", 20_000_000, 2_000_000)
    stopped.wait_for_bytes(1_000_000)
    running.wait_for_bytes(1_000_000)
    with carryon.without_broker() if how == "gone" else frozen(carryon.pid("broker")):
        asked = time.monotonic()
        started = [begin(carryon, origin, f"started-{how}-{number}", 1000, seed=number) for number in range(3)]
        assert (time.monotonic() - asked) / len(started) < 1 + BUSY_SECONDS
        time.sleep(3)  # past everything the worker asks the broker for now and then
        assert carryon.admin.stop(stopped.url, stopped.fid).status == 200
        carryon.admin.wait_for(stopped.id, lambda d: d["state"] == "stopped", STOP_SECONDS + BUSY_SECONDS)
        before = carryon.admin.detail(running.id)["downloaded"]
        carryon.admin.wait_for(running.id, lambda d: d["downloaded"] > before + 6_000_000, 5)
    for work in started:
        work.check(RESUME_SECONDS)
    assert [attempt["outcome"] for attempt in carryon.admin.detail(running.id)["attempts"]] == ["running"]
    running.hurry()
    running.check()
    stopped.hurry()
    carryon.admin.start(stopped.url, stopped.fid)
    stopped.check()


# Several workers on one file


def test_a_worker_that_is_added_speeds_up_what_runs(carryon: Carryon, origin: Origin, everything: Listener) -> None:
    carryon.wait_until_back()
    rate = 2_000_000  # a connection's; one worker has four
    work = begin(carryon, origin, "added", 280_000_000, rate)
    work.wait_for_bytes(MIB)
    alone, began = speed(work, 2), time.monotonic()
    assert alone < 4.5 * rate
    with carryon.another_worker() as helper:
        both = {carryon.pid("worker-1"), helper.pid}
        wait_until(lambda: carryon.connected_to(origin.port) == both, 15)
        since = time.monotonic()
        together = speed(work, 4)
        print(f"joined after {since - began:.1f} s: {alone / MIB:.1f} MiB/s became {together / MIB:.1f} MiB/s")
        assert together > 1.6 * alone
        running = [f for f in everything.frames(work.fid, since=since) if f.status == "STREAM_RUNNING"]
        check_pace(running, together)
        helper.kill()
        helper.wait()  # else it would be a zombie, and not gone
        killed = time.monotonic()
        work.hurry()
        detail = work.check()
    print(f"whole {time.monotonic() - killed:.1f} s after the kill of the helper")
    assert work.fetched - work.file.size <= 2 * allowed_twice(4 * rate)
    assert time.monotonic() - killed < RESUME_SECONDS
    assert len({attempt["worker"] for attempt in detail["attempts"]}) == 1, "its holder has not changed"


def speed(work: Work, seconds: float) -> float:
    """Bytes a second, over the next seconds, from the origin."""
    began, before = time.monotonic(), work.fetched
    time.sleep(seconds)
    return (work.fetched - before) / (time.monotonic() - began)


def check_pace(running: list[Frame], bytes_per_second: float) -> None:
    """Frames come once a second, and tell what all workers together fetched."""
    gaps = [after.at - before.at for before, after in itertools.pairwise(running)]
    assert len(gaps) >= 2
    assert max(gaps) < 1 + BUSY_SECONDS, gaps
    first, last = running[0], running[-1]
    told = (last.data["downloaded"] - first.data["downloaded"]) / (last.at - first.at)
    assert told == pytest.approx(bytes_per_second, rel=0.4)


def test_kill_of_the_holder_of_a_shared_file(carryon: Carryon, origin: Origin) -> None:
    carryon.wait_until_back()
    rate = 2_000_000
    with carryon.another_worker() as other:
        work = begin(carryon, origin, "orphan", 200_000_000, rate)
        both = {carryon.pid("worker-1"), other.pid}
        wait_until(lambda: carryon.connected_to(origin.port) == both, 15)
        holder = pid_of(carryon.admin.detail(work.id)["attempts"][-1]["worker"])
        killed = time.monotonic()
        os.kill(holder, signal.SIGKILL)
        wait_until(lambda: other.poll() is not None or carryon.pid("worker-1") != holder, 5)
        carryon.admin.wait_for(work.id, lambda d: len(d["attempts"]) > 1, RESUME_SECONDS)
        print(f"held again after {time.monotonic() - killed:.1f} s")
        work.hurry()
        detail = work.check()
        assert work.fetched - work.file.size <= 2 * allowed_twice(8 * rate)
        assert detail["attempts"][0]["outcome"] == "lost"


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGSTOP], ids=["drained", "frozen"])
def test_a_helper_that_goes(carryon: Carryon, origin: Origin, number: signal.Signals) -> None:
    carryon.wait_until_back()
    with carryon.another_worker() as other:
        work = begin(carryon, origin, f"helped-{number}", 120_000_000, 2_000_000)
        both = {carryon.pid("worker-1"), other.pid}
        wait_until(lambda: carryon.connected_to(origin.port) == both, 15)
        holder = pid_of(carryon.admin.detail(work.id)["attempts"][-1]["worker"])
        (helper,) = both - {holder}
        os.kill(helper, number)
        work.hurry()
        try:
            work.check()
        finally:
            with suppress(ProcessLookupError):
                os.kill(helper, signal.SIGCONT)
    carryon.wait_until_back()
