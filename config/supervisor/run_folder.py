"""DATA_DIR/run: the lock of the one running service, and the notes about its processes."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass, field
from pathlib import Path

from config.supervisor import identity
from config.supervisor.errors import StartError

READY_FILE_VARIABLE = "CARRYON_READY_FILE"
"""Tells a worker which file to touch once it takes work."""
KIND_VARIABLE = "CARRYON_WORKER_KIND"
"""Tells a worker what to be known as by those who look who is there."""
_LEFTOVER_SECONDS = 10


@dataclass
class RunFolder:
    """The folder of what exists only while the service runs; `lock` comes first, `clear` and `release` last."""

    path: Path
    _lock: int | None = field(default=None, init=False)

    @property
    def schedule(self) -> Path:
        """Where beat notes when it last sent what."""
        return self.path / "beat-schedule"

    @property
    def gate(self) -> Path:
        """What is there once the database is prepared."""
        return self.path / "prepared"

    def ready_file(self, name: str) -> Path:
        """What the process of that name touches once it takes work."""
        return self.path / f"{name}.ready"

    def lock(self) -> None:
        """Own the folder until `release` or death; StartError when another supervisor does."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # the data are nobody else's to read
        self.path.mkdir(mode=0o700, exist_ok=True)
        path = self.path / "lock"
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.read(descriptor, 20).decode().strip()
                os.close(descriptor)
                raise StartError(
                    f"Carryon already runs on {self.path.parent}{f' as process {owner}' if owner else ''}. "
                    "Stop it first, or set DATA_DIR to another folder."
                ) from None
            if _is_same_file(descriptor, path):
                break
            os.close(descriptor)  # its owner was just leaving and removed the file that we had opened
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._lock = descriptor

    def note(self, name: str, pid: int) -> None:
        """Write down which process runs under the name."""
        self._pid_file(name).write_text(f"{pid} {identity.identity(pid) or ''}\n")

    def forget(self, name: str) -> None:
        """Remove the notes about the name."""
        self._pid_file(name).unlink(missing_ok=True)
        self.ready_file(name).unlink(missing_ok=True)

    def end_leftovers(self) -> list[str]:
        """Kill what an earlier supervisor started and did not live to stop; return the names."""
        ended = []
        for note in sorted(self.path.glob("*.pid")):
            pid, _, known_as = note.read_text().strip().partition(" ")
            if pid.isdecimal() and known_as and identity.identity(int(pid)) == known_as:
                identity.kill(int(pid))
                if not identity.wait_until_gone(int(pid), known_as, _LEFTOVER_SECONDS):
                    raise StartError(f"Process {pid} ({note.stem}) of an earlier run will not end; end it first.")
                ended.append(note.stem)
            note.unlink()
        return ended

    def clear(self) -> None:
        """Remove every note; the lock stays."""
        for pattern in ("*.pid", "*.ready", self.gate.name, f"{self.schedule.name}*"):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)

    def release(self) -> None:
        """Let the next supervisor in."""
        if self._lock is not None:
            (self.path / "lock").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def _pid_file(self, name: str) -> Path:
        return self.path / f"{name}.pid"


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
