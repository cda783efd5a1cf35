"""Orders beside `zip -0`, stream-zip and cp: the same files, one disk, one run; prints Markdown tables.

A tool's time begins with its start and ends with its end; ours begins with the POST that starts the order and ends
when a poll (one every 20 ms) says that the zip is there: its files were looked at, and it is synced. "On disk" ends
when the file system is synced too. "streamed" is `GET …/zip`, of which nobody makes a file, read by curl and thrown
away. Our CPU time and memory are those of all processes of the service. The best of the rounds counts; contenders take
turns. Every zip is tested with Info-ZIP's `unzip -t`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

from benchmarks.upload.servers import REPOSITORY, Meter, sync, wait_until_idle
from benchmarks.upload.source import MIB
from benchmarks.web_servers import environment_with_all
from tests.service import Service, running_service

POLL_SECONDS = 0.02
USER = "admin"
STREAM_ZIP = Path(__file__).with_name("streaming.py")
PEERS = REPOSITORY / "build" / "bench-orders"
LISTED = 100_000


@dataclass(frozen=True)
class Spent:
    """What one run needed."""

    seconds: float
    synced_seconds: float
    cpu_seconds: float
    peak_mib: float


@dataclass
class Row:
    """A contender and its runs, of which the best counts."""

    name: str
    run: Callable[[], Spent]
    runs: list[Spent] = field(default_factory=list)

    def best(self, what: str) -> float:
        """The least of what the runs needed."""
        return min(getattr(run, what) for run in self.runs)


@dataclass(frozen=True)
class Load:
    """The files of one table."""

    name: str
    count: int
    size: int

    @property
    def total_mib(self) -> float:
        """MiB of all of them."""
        return self.count * self.size / MIB


def main() -> None:
    """Measure, and print the tables."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    options = arguments()
    total = options.size_mib * MIB
    loads = [Load("many", max(total // MIB, 1), MIB), Load("two", 2, total // 2)]
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder or Path.cwd()) as folder:
        root = Path(folder)
        python = peers(options.peers)
        with running_service(root / "data", ORDER_MAX_BYTES=str(2 * total + MIB), WORKER_THREADS="4") as service:
            service.wait_until_ready()
            carryon = Carryon(service, root)
            print(f"{os.cpu_count()} cores; load before: {os.getloadavg()[0]:.1f}")
            for load in loads:
                carryon.store(root / load.name, load)
                rows = contenders(carryon, python, root, load)
                measure(rows, root, options.rounds)
                print_table(load, rows)
            print_listed(carryon, root, options.listed)
            print(f"\nload after: {os.getloadavg()[0]:.1f}")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orders", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the best is told (default 3)")
    parser.add_argument("--size-mib", type=int, default=2048, help="of all files of an order (default 2048)")
    parser.add_argument("--listed", type=int, default=LISTED, help=f"files to add to a list (default {LISTED})")
    parser.add_argument("--peers", type=Path, default=PEERS, help="where stream-zip is installed, and kept")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder here)")
    return parser.parse_args()


def peers(folder: Path) -> str:
    """A Python that has stream-zip."""
    python = folder / "bin" / "python"
    return str(python) if python.exists() else environment_with_all(folder)


class Carryon:
    """The service, as its users order of it."""

    def __init__(self, service: Service, root: Path) -> None:
        self._service = service
        self._root = root
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Token {service.told('token')}"

    def store(self, folder: Path, load: Load, *options: str) -> None:
        """Have the files among the stored ones."""
        command = [sys.executable, "-m", "benchmarks.orders.rows", USER, str(folder), load.name]
        environment = {**os.environ, "DATA_DIR": str(self._root / "data"), "DJANGO_SETTINGS_MODULE": "config.settings"}
        subprocess.run(
            [*command, str(load.count), str(load.size), *options], cwd=REPOSITORY, env=environment, check=True
        )

    def add(self, query: Mapping[str, Any]) -> float:
        """Put what the query finds on the list; the seconds from the request until it is there."""
        self.call("DELETE", "/download/list/me")
        began = time.perf_counter()
        job = self.call("POST", "/download/list/me/add/async/start", {"query": query})["jobId"]
        self._until_done(f"/download/list/me/add?jobId={job}", whole=False)
        return time.perf_counter() - began

    def order(self, name: str) -> str:
        """Order everything on the list."""
        return str(self.call("PUT", "/download/list/me/order", {"zipFileName": name})["orderId"])

    def made(self, load: Load) -> Callable[[], Spent]:
        """Having a zip of the files made."""

        def run() -> Spent:
            self.add({"folder": load.name})
            order = self.order("bench.zip")
            self._settle()
            meter = Meter(self._service.process.pid)
            began = time.perf_counter()
            job = self.call("POST", f"/download/order/{order}/async/start")["jobId"]
            result = self._until_done(f"/download/order/{order}/async/get/{job}")
            seconds = time.perf_counter() - began
            spent = _spent(meter, seconds, sync(self._root))
            self._check(order)
            self.call("DELETE", f"/files/{result['resultZipFileHandleId']}")
            return spent

        return run

    def streamed(self, load: Load) -> Callable[[], Spent]:
        """Sending a zip of the files without making it."""

        def run() -> Spent:
            self.add({"folder": load.name})
            order = self.order("bench.zip")
            self._settle()
            meter = Meter(self._service.process.pid)
            began = time.perf_counter()
            self._fetch(order, Path(os.devnull))
            return _spent(meter, time.perf_counter() - began, 0.0)

        return run

    def call(self, method: str, path: str, body: object = None) -> Any:
        """One request; its answer."""
        answer = self._session.request(method, self._service.url + path, json=body, timeout=600)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def _fetch(self, order: str, path: Path) -> None:
        header = f"Authorization: {self._session.headers['Authorization']}"
        url = f"{self._service.url}/download/order/{order}/zip"
        subprocess.run(["curl", "-sSf", "-H", header, "-o", str(path), url], check=True)

    def _check(self, order: str) -> None:
        path = self._root / "fetched.zip"
        self._fetch(order, path)
        check(path)

    def _settle(self) -> None:
        sync(self._root)
        wait_until_idle(self._service.process.pid)

    def _until_done(self, path: str, *, whole: bool = True) -> Any:
        while True:
            answer = self._session.get(self._service.url + path, timeout=600, stream=not whole)
            answer.raise_for_status()
            if answer.status_code == requests.codes.ok:
                told = answer.json() if whole else {}
                if told.get("jobState") == "FAILED":
                    raise SystemExit(f"our job failed: {told}")
                answer.close()
                return told
            answer.close()
            time.sleep(POLL_SECONDS)


def contenders(carryon: Carryon, python: str, root: Path, load: Load) -> list[Row]:
    """Everybody, ours first."""
    files, target = root / load.name, root / "made"
    return [
        Row("carryon, made", carryon.made(load)),
        Row("carryon, streamed", carryon.streamed(load)),
        Row("zip -0", lambda: tool(["zip", "-q", "-0", "-r", str(target), str(files)], root, target)),
        Row("stream-zip", lambda: tool([python, str(STREAM_ZIP), str(files), str(target)], root, target)),
        Row("cp", lambda: tool(["cp", "-r", str(files), str(target)], root, target)),
    ]


def tool(command: Sequence[str], root: Path, target: Path) -> Spent:
    """Run a tool, test what it made, and remove that."""
    sync(root)
    process = psutil.Popen(command, cwd=REPOSITORY)
    began = time.perf_counter()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"{command[0]} failed")
    spent = Spent(seconds, seconds + sync(root), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
    made = target if target.exists() else target.with_name(target.name + ".zip")
    if made.is_file():
        check(made)
        made.unlink()
    else:
        subprocess.run(["rm", "-r", str(made)], check=True)
    return spent


def check(path: Path) -> None:
    """Test the zip, and remove it."""
    subprocess.run(["unzip", "-tqq", str(path)], check=True, stdout=subprocess.DEVNULL)


def measure(rows: Sequence[Row], root: Path, rounds: int) -> None:
    """Run everybody, in turns."""
    for number in range(rounds):
        for row in rows:
            print(f"round {number + 1}: {row.name}", file=sys.stderr)
            row.runs.append(row.run())
    sync(root)


def print_table(load: Load, rows: Sequence[Row]) -> None:
    """Each contender beside `zip -0` and cp."""
    by_name = {row.name: row for row in rows}
    print(
        f"\n| {load.count:,} x {load.size // MIB:,} MiB | s | MiB/s | of zip -0 | of cp "
        "| on disk, s | of zip -0 | CPU s | peak MiB |"
    )
    print(f"|---|{'---:|' * 8}")
    for row in rows:
        seconds, synced = row.best("seconds"), row.best("synced_seconds")
        cells = [
            row.name,
            f"{seconds:.2f}",
            f"{load.total_mib / seconds:,.0f}",
            f"{by_name['zip -0'].best('seconds') / seconds:.2f}",
            f"{by_name['cp'].best('seconds') / seconds:.2f}",
            f"{synced:.2f}",
            f"{by_name['zip -0'].best('synced_seconds') / synced:.2f}",
            f"{row.best('cpu_seconds'):.2f}",
            f"{row.best('peak_mib'):,.0f}",
        ]
        print(f"| {' | '.join(cells)} |")


def print_listed(carryon: Carryon, root: Path, count: int) -> None:
    """How long a list of many files takes."""
    carryon.store(root / "listed", Load("listed", count, 1), "--no-bytes")
    steps: dict[str, Callable[[], object]] = {
        f"add {count:,} files by a query": lambda: carryon.add({"folder": "listed"}),
        "the whole list": lambda: carryon.call("GET", "/download/list/me"),
        "a page of 1,000": lambda: carryon.call("GET", "/download/list/me?pageSize=1000"),
        "order them": lambda: carryon.order("listed.zip"),
    }
    print("\n| a list of many files | s |\n|---|---:|")
    for name, step in steps.items():
        began = time.perf_counter()
        step()
        print(f"| {name} | {time.perf_counter() - began:.2f} |")


def _spent(meter: Meter, seconds: float, sync_seconds: float) -> Spent:
    cost = meter.read()
    return Spent(seconds, seconds + sync_seconds, cost.cpu_seconds, cost.peak_mib)


if __name__ == "__main__":
    main()
