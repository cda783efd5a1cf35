"""Which process a number means: pids are used again, so a pid file alone proves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_STATE, _START_TIME = 0, 19  # proc_pid_stat(5), counted from the field after the command's closing bracket


def identity(pid: int) -> str | None:
    """What tells this live process from every other that had or will have its number; None when it has ended."""
    return _linux_identity(pid) if sys.platform == "linux" else _ps_identity(pid)


def kill(pid: int) -> None:
    """Kill the process and, when it leads a group, all of the group; already gone is fine."""
    with suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)


def wait_until_gone(pid: int, known_as: str, timeout_seconds: float) -> bool:
    """Wait for the process to end; False when it is still there after the time."""
    deadline = time.monotonic() + timeout_seconds
    while identity(pid) == known_as:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _linux_identity(pid: int) -> str | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[_STATE] in "ZX" else f"{boot} {fields[_START_TIME]}"


def _ps_identity(pid: int) -> str | None:
    answer = subprocess.run(  # noqa: S603 - our own arguments
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],  # noqa: S607 - where ps lies differs
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None
