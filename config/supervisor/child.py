"""One process of the service: started, listened to, told to end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from config.supervisor import identity, tether
from config.supervisor.console import Console, LinePrefixer
from config.supervisor.run_folder import RunFolder

_READ_BYTES = 64 * 1024
_READY_POLL_SECONDS = 0.05
_CONSOLE_BEHIND_SECONDS = 0.1


async def _at_once() -> bool:
    return True


@dataclass(frozen=True)
class Program:
    """What runs under a name, and how to see that it works."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], Awaitable[bool]] = _at_once
    descriptors: Sequence[int] = ()
    """File descriptors that the process inherits."""
    repair: Callable[[], str] | None = None
    """Called when it keeps failing to start; does what may help and says what it did."""


class Child:
    """The process of a program, one after the other; `ready` is set while the present one works."""

    def __init__(
        self,
        program: Program,
        run_folder: RunFolder,
        console: Console,
        prefix_width: int,
        lines: type[LinePrefixer] = LinePrefixer,
    ) -> None:
        self.program = program
        self._lines = lines
        self.ready = asyncio.Event()
        self._run_folder = run_folder
        self._console = console
        self._prefix_width = prefix_width
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = asyncio.Event()
        self._output: Output | None = None

    @property
    def name(self) -> str:
        """The name under which people know the process."""
        return self.program.name

    @property
    def running(self) -> bool:
        """Whether a process is there that has not been seen to end."""
        return self._process is not None and self._process.returncode is None

    def start(self) -> None:
        """Start the process in a session of its own, so that no terminal's signal reaches it."""
        self._run_folder.forget(self.name)
        self._ended.clear()
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own command lines
                tethered(self.program.command),
                env=self.program.environment,
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.STDOUT,
                pass_fds=self.program.descriptors,
                start_new_session=True,
            )
        finally:
            os.close(writing)
        self._output = Output(reading, self._lines(self.name, self._prefix_width), self._console)
        with suppress(OSError):  # on a full disk the service goes on without the note
            self._run_folder.note(self.name, self._process.pid)

    async def wait_until_ready(self) -> None:
        """Set `ready` once the process works."""
        while not await self.program.is_ready():  # noqa: ASYNC110 - another process sets no event of ours
            await asyncio.sleep(_READY_POLL_SECONDS)
        self.ready.set()

    async def ended(self) -> int:
        """Wait for the process to end: its exit code, negative for a signal as `subprocess` has it."""
        await self._ended.wait()
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process.returncode

    def reap(self) -> None:
        """Take note of the process's end, if it has ended; to be called whenever some child has."""
        if self.running and self._process is not None and self._process.poll() is not None:
            self.ready.clear()
            self._run_folder.forget(self.name)
            if self._output is not None:
                self._output.close()
            self._ended.set()

    def terminate(self) -> None:
        """Ask the process to end."""
        if self.running and self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process, and whatever it started, now."""
        if self.running and self._process is not None:
            identity.kill(self._process.pid)


class Output:
    """Passes what a process writes on to the console, no faster than the console takes it."""

    def __init__(self, descriptor: int, prefixer: LinePrefixer, console: Console) -> None:
        self._descriptor = descriptor
        self._prefixer = prefixer
        self._console = console
        self._loop = asyncio.get_running_loop()
        self._resumption: asyncio.TimerHandle | None = None
        os.set_blocking(descriptor, False)
        self._resume()

    def close(self) -> None:
        """Pass on what is left and close; the process has ended."""
        while self._descriptor >= 0 and self._read():
            pass
        self._close()

    def _resume(self) -> None:
        self._resumption = None
        self._loop.add_reader(self._descriptor, self._on_readable)

    def _on_readable(self) -> None:
        if self._console.behind:
            self._loop.remove_reader(self._descriptor)
            self._resumption = self._loop.call_later(_CONSOLE_BEHIND_SECONDS, self._resume)
        elif not self._read():
            self._close()

    def _read(self) -> bool:
        """Pass on one piece; False at the end, and when there is nothing now."""
        try:
            output = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        self._console.write(self._prefixer.feed(output))
        return bool(output)

    def _close(self) -> None:
        if self._descriptor < 0:
            return
        if self._resumption is not None:
            self._resumption.cancel()
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        self._console.write(self._prefixer.flush())


def tethered(command: Sequence[str]) -> list[str]:
    """The command in a form that dies with this process, where the kernel can do that."""
    if sys.platform != "linux":
        return list(command)
    program = Path(tether.__file__)
    return [sys.executable, "-I", "-S", str(program), str(os.getpid()), *command]


def describe_exit(code: int) -> str:
    """The end of a process in words."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
