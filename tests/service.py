"""The whole service as an operator starts it, for tests: `python -m config.supervisor` on a DATA_DIR of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "config.supervisor")
START_SECONDS = 60
STOP_SECONDS = 25
"""What the service promises for a stop."""


class Service:
    """One run of the service; what it prints is collected in `output`."""

    def __init__(self, data_dir: Path, command: Sequence[str] = COMMAND, **variables: str) -> None:
        """Start it on a free port of this machine, unless `variables` say otherwise."""
        self.data_dir = data_dir
        self.began = time.monotonic()
        self._lines: list[str] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "PORT": "0", **variables, "DATA_DIR": str(data_dir)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def output(self) -> str:
        """Everything printed so far."""
        with self._news:
            return "".join(self._lines)

    def wait_for(self, pattern: str, seconds: float = START_SECONDS, start: int = 0) -> re.Match[str]:
        """Wait until the output from `start` on holds the pattern; AssertionError when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                text = "".join(self._lines)
                if match := re.compile(pattern, re.MULTILINE).search(text, start):
                    return match
                assert self._reader.is_alive(), f"it ended without {pattern!r}:\n{text}"
                assert self._news.wait(deadline - time.monotonic()), f"no {pattern!r} in {seconds} s:\n{text}"

    def wait_until_ready(self) -> float:
        """Wait for the ready message; seconds since the start."""
        self.wait_for(r"^  Ctrl-C stops everything\.$")
        return time.monotonic() - self.began

    @property
    def url(self) -> str:
        """The address that the ready message tells."""
        return self.wait_for(r"ready at (http://\S+)")[1]

    def told(self, row: str) -> str | None:
        """The value of a row of the ready message (`token`, `password`, …), or None when it has no such row."""
        match = re.search(rf"^  {row} +(\S+)$", self.output, re.MULTILINE)
        return match[1] if match else None

    def pids(self) -> dict[str, int]:
        """The processes that run now, by name."""
        pids = {}
        for note in (self.data_dir / "run").glob("*.pid"):
            with suppress(FileNotFoundError):  # it has ended just now
                if words := note.read_text().split():
                    pids[note.stem] = int(words[0])
        return pids

    def signal(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        self.process.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for the supervisor to end; its exit code."""
        code = self.process.wait(seconds)
        self._reader.join()
        return code

    def stop(self) -> int:
        """Stop the service as an operator does; its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        """Leave nothing behind, however the test has ended."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


@contextmanager
def running_service(data_dir: Path, command: Sequence[str] = COMMAND, **variables: str) -> Iterator[Service]:
    """Start the service, and stop it when the context ends; the caller waits until it is ready."""
    service = Service(data_dir, command, **variables)
    try:
        yield service
    finally:
        service.close()


def is_alive(pid: int) -> bool:
    """Whether a process of that number still runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_until(condition: object, seconds: float) -> None:
    """Wait until the callable is true; AssertionError after the time."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
