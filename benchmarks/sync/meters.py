"""What a run costs: the time, the CPU time and the memory of whoever syncs, and the CPU time of the store."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil

LOOK_SECONDS = 0.02
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


class FailedError(Exception):
    """A run that did not do what it was to do; says why."""


@dataclass(frozen=True)
class Spent:
    """What a run needed."""

    seconds: float
    synced_seconds: float
    """Until what it has written is on the disk, too."""
    cpu_seconds: float
    peak_mib: float
    growth_mib: float
    """How far the peak lies above what there was before the run."""
    by_process: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """CPU seconds and peak MiB of a service's processes."""
    store_cpu_seconds: float = 0


class PeakMemory:
    """The most memory that a process had, looked at until it has ended; a context manager.

    What wait4 tells of it would include the memory of the process that has started it.
    """

    def __init__(self, pid: int) -> None:
        self.mib = 0.0
        self._status = Path(f"/proc/{pid}/status")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            with suppress(OSError):
                self.mib = max(self.mib, _peak_mib(self._status))


def run_tool(command: Sequence[str], environment: Mapping[str, str], log: Path) -> tuple[float, float]:
    """Run a program that is one process; its CPU seconds and the most MiB it had. FailedError when it fails."""
    with started(command, environment, log) as process, PeakMemory(process.pid) as memory:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    check(process, log)
    return usage.ru_utime + usage.ru_stime, memory.mib


def started(command: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program that writes what it has to say to the log."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def check(process: subprocess.Popen[bytes], log: Path) -> None:
    """FailedError when the program has ended with anything but 0."""
    if process.returncode:
        raise FailedError(f"ended with {process.returncode}: {log.read_text(errors='replace')[-500:]}")


def cpu_seconds(process: psutil.Process) -> float:
    """What the process has used since it was made."""
    times = process.cpu_times()
    return float(times.user + times.system)


def peak_mib(process: psutil.Process) -> float:
    """The most memory it had since it was made, or since that was last forgotten."""
    return _peak_mib(Path(f"/proc/{process.pid}/status"))


def _peak_mib(status: Path) -> float:
    told = _PEAK.search(status.read_text())
    return int(told[1]) / 1024 if told else 0.0
