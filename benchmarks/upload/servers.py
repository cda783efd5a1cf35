"""Starting the servers, and what they cost while they work."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.upload.source import MIB

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
START_SECONDS = 30
STOP_SECONDS = 5
INSTALL_SECONDS = 300
IDLE_SECONDS = 0.5
IDLE_DEADLINE_SECONDS = 120


@dataclass(frozen=True)
class Cost:
    """What a server needed between two moments."""

    cpu_seconds: float
    peak_mib: float
    growth_mib: float
    """How far the peak lies above what it had at the start."""


class Meter:
    """Measures a process and all that it has started, from its making on."""

    def __init__(self, pid: int) -> None:
        first = psutil.Process(pid)
        self._processes = [first, *first.children(recursive=True)]
        for process in self._processes:
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # from now on a new peak
        self._resident = self._sum_mib("VmRSS")
        self._began = self._cpu_seconds()

    def read(self) -> Cost:
        """What they needed since."""
        peak = self._sum_mib("VmHWM")
        return Cost(self._cpu_seconds() - self._began, peak, peak - self._resident)

    def _cpu_seconds(self) -> float:
        return sum(sum(process.cpu_times()[:4]) for process in self._processes)

    def _sum_mib(self, row: str) -> float:
        statuses = [Path(f"/proc/{process.pid}/status").read_text() for process in self._processes]
        return sum(int(re.search(rf"{row}:\s+(\d+) kB", status)[1]) for status in statuses) * 1024 / MIB  # type: ignore[index]


def free_port() -> int:
    """A port that nobody has right now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def running(command: Sequence[str], port: int, folder: Path, variables: Mapping[str, str]) -> Iterator[int]:
    """Start a server in the folder and wait until it listens; its pid. In the end nothing of it is left."""
    log_path = folder / "server.log"
    # What is to be kept in a home shall be kept here too.
    environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), **variables}
    with log_path.open("wb") as log:
        process = psutil.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait_until_listening(process, port, log_path)
            yield process.pid
        finally:
            _stop(process)


def _wait_until_listening(process: psutil.Popen, port: int, log_path: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"{process.args[0]} does not listen:\n{log_path.read_text(errors='replace')[-2000:]}")


def _stop(process: psutil.Popen) -> None:
    members = [process]
    with suppress(psutil.NoSuchProcess):
        members += process.children(recursive=True)
        process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(members, STOP_SECONDS)
    for member in alive:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(alive, STOP_SECONDS)


def install_node_server(folder: Path) -> bool:
    """Install @tus/server from its lock beside a copy of its script; False when that cannot be had here."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (shutil.which("node") and shutil.which("npm")):
        return False
    for name in ("package.json", "package-lock.json", "tus_server.mjs"):
        shutil.copy(HERE / name, folder)
    if (folder / "node_modules").exists():
        return True
    command = ["npm", "ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        result = subprocess.run(command, cwd=folder, check=False, capture_output=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0


def wait_until_idle(pid: int) -> None:
    """Wait until the process has done next to nothing for a moment."""
    process = psutil.Process(pid)
    deadline = time.monotonic() + IDLE_DEADLINE_SECONDS
    while time.monotonic() < deadline and process.cpu_percent(IDLE_SECONDS) > 5:
        pass


def sync(folder: Path) -> float:
    """Have the folder's file system on the disk; the seconds it took."""
    began = time.perf_counter()
    subprocess.run(["sync", "--file-system", str(folder)], check=True, timeout=600)
    return time.perf_counter() - began
