"""Downloads beside curl and aria2c: one origin, one disk, one run; prints the table that the README shows.

Every tool's time ends when its files are synced. Ours begins with the POST and ends with STREAM_COMPLETED on the
socket; its CPU time includes MD5, SHA-256 and CRC-32 of every byte, which the others do not take.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests
from websockets.sync.client import connect

from tests.origin.process import OriginProcess
from tests.service import Service, running_service

MIB = 2**20
BIG_BYTES = 1024 * MIB
SMALL_BYTES = 64 * 1024
SMALL_COUNT = 1000


@dataclass(frozen=True)
class Run:
    """What one tool needed once."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.download", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the median is told (default 3)")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder here)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder or Path.cwd()) as folder:
        root = Path(folder)
        files = make_files(root / "origin")
        with OriginProcess(files) as origin:
            big = [origin.file_url("big.bin")]
            small = [origin.file_url(f"small-{number}.bin") for number in range(SMALL_COUNT)]
            table("1 GiB", "MiB/s", BIG_BYTES / MIB, measure(root, big, options.rounds))
            table("1,000 x 64 KiB", "files/s", SMALL_COUNT, measure(root, small, options.rounds))


def make_files(folder: Path) -> Path:
    """The origin's files, in the page cache."""
    folder.mkdir()
    with (folder / "big.bin").open("wb") as file:
        for _ in range(BIG_BYTES // (16 * MIB)):
            file.write(os.urandom(16 * MIB))
    for number in range(SMALL_COUNT):
        (folder / f"small-{number}.bin").write_bytes(os.urandom(SMALL_BYTES))
    return folder


def measure(root: Path, urls: list[str], rounds: int) -> dict[str, list[Run]]:
    """Each tool's runs; the tools take turns, so that what disturbs the machine disturbs all."""
    contenders: dict[str, Callable[[Path], Run]] = {}
    for tool in ("curl", "aria2c"):
        if not shutil.which(tool):
            print(f"{tool} is not on this machine, and is left out.")
    if shutil.which("curl"):
        contenders["curl"] = functools.partial(run_curl, urls)
    if shutil.which("aria2c"):
        contenders["aria2c, 1 connection"] = functools.partial(run_aria2c, urls, 1)
        contenders["aria2c, 4 connections"] = functools.partial(run_aria2c, urls, 4)
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    with services(root) as ours:
        contenders |= ours(urls)
        runs |= {name: [] for name in contenders if name not in runs}
        for number in range(rounds + 1):
            for name, run in contenders.items():
                folder = root / f"{name.replace(' ', '-')}-{number}"
                folder.mkdir()
                result = run(folder)
                if number:  # the first round warms everything up
                    runs[name].append(result)
                shutil.rmtree(folder)
    return runs


def run_curl(urls: list[str], folder: Path) -> Run:
    """One curl for all the files."""
    listing = folder / "urls"
    listing.write_text("".join(f'url = "{url}"\noutput = "{folder / url.rpartition("/")[2]}"\n' for url in urls))
    return run_tool(["curl", "--silent", "--fail", "--config", str(listing)], folder)


def run_aria2c(urls: list[str], connections: int, folder: Path) -> Run:
    """One aria2c for all the files, with so many connections to a file, or files at once."""
    listing = folder / "urls"
    listing.write_text("\n".join(urls))
    wanted = ["-x", str(connections), "-s", str(connections), "-j", str(connections), "--min-split-size=1M"]
    files = ["--file-allocation=falloc", "-d", str(folder), "-i", str(listing)]
    return run_tool(["aria2c", "--quiet", *wanted, *files], folder)


def run_tool(command: list[str], folder: Path) -> Run:
    """Run a tool until its files are on the disk."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["sync", "--file-system", str(folder)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    synced = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seconds = time.perf_counter() - began
    return Run(seconds, usage.ru_utime + usage.ru_stime + synced, usage.ru_maxrss / 1024)


@contextmanager
def services(root: Path) -> Iterator[Callable[[list[str]], dict[str, Callable[[Path], Run]]]]:
    """Our service twice: with one connection to a file, and with four."""
    variables = {"FETCH_ALLOW": "127.0.0.1", "DOWNLOAD_ROOT": str(root), "LOG_LEVEL": "WARNING"}
    with (
        tempfile.TemporaryDirectory(prefix="bench-data-") as one_data,
        tempfile.TemporaryDirectory(prefix="bench-data-") as four_data,
        running_service(Path(one_data), DOWNLOAD_CONNECTIONS_PER_FILE="1", **variables) as one,
        running_service(Path(four_data), DOWNLOAD_CONNECTIONS_PER_FILE="4", **variables) as four,
    ):
        for service in (one, four):
            service.wait_until_ready()

        def contenders(urls: list[str]) -> dict[str, Callable[[Path], Run]]:
            return {
                "carryon, 1 connection": lambda folder: run_ours(one, urls, folder),
                "carryon, 4 connections": lambda folder: run_ours(four, urls, folder),
            }

        yield contenders


def run_ours(service: Service, urls: list[str], folder: Path) -> Run:
    """Ask for all the files, and wait for the events that tell that they are there."""
    worker = psutil.Process(service.pids()["worker-1"])
    token = service.told("token")
    headers = {"Authorization": f"Token {token}", "Prefer": "respond-async"}
    local = threading.local()

    def post(url: str) -> None:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        payload = {"fileUrl": url, "cid": "bench", "fid": folder.name, "outputFolder": str(folder)}
        local.session.post(
            f"{service.url}/api/file/download", json=payload, headers=headers, timeout=60
        ).raise_for_status()

    socket_url = f"ws{service.url.removeprefix('http')}/ws/events/?fid={folder.name}&token={token}"
    with connect(socket_url) as events, ThreadPoolExecutor(4) as clients:
        before, began = worker.cpu_times(), time.perf_counter()
        posts = [clients.submit(post, url) for url in urls]
        completed: set[str] = set()
        while len(completed) < len(urls):
            body = json.loads(json.loads(events.recv(timeout=300))[1])
            status = body["message"].get("status")
            if status == "STREAM_FAIL":
                raise SystemExit(f"carryon failed: {body}")
            if status == "STREAM_COMPLETED":
                completed.add(body["id"])
        seconds = time.perf_counter() - began
        for posted in posts:
            posted.result()
    wait_for_checksums(service, headers, folder.name)
    after = worker.cpu_times()
    cpu_seconds = after.user + after.system - before.user - before.system
    return Run(seconds, cpu_seconds, peak_mib(worker.pid))


def wait_for_checksums(service: Service, headers: dict[str, str], fid: str) -> None:
    """Wait until the checksums that follow the fastest files are taken: their time counts as the worker's too."""
    query = {"fid": fid, "page_size": "1"}
    while True:
        listed = requests.get(f"{service.url}/api/file/download", params=query, headers=headers, timeout=60)
        newest = listed.json()["data"]["results"][0]["id"]
        told = requests.get(f"{service.url}/api/file/download/{newest}", headers=headers, timeout=60)
        if told.json()["data"]["storedFile"]["sha256"]:
            return
        time.sleep(0.02)


def peak_mib(pid: int) -> float:
    """The most memory the process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def table(title: str, unit: str, amount: float, runs: dict[str, list[Run]]) -> None:
    """Print the medians, each with its ratio to the first."""
    first_name = next(iter(runs))
    print(f"\n| {title} | {unit} | of {first_name} | CPU s{'/GiB' if unit == 'MiB/s' else ''} | peak MiB |")
    print("|---|---:|---:|---:|---:|")
    medians = {name: statistics.median(run.seconds for run in each) for name, each in runs.items()}
    first = next(iter(medians.values()))
    for name, each in runs.items():
        cpu_seconds = statistics.median(run.cpu_seconds for run in each)
        peak_mib = max(run.peak_mib for run in each)
        speed = amount / medians[name]
        print(f"| {name} | {speed:,.0f} | {first / medians[name]:.2f} | {cpu_seconds:.2f} | {peak_mib:,.0f} |")


if __name__ == "__main__":
    main()
