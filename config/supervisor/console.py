"""What reaches the terminal: whole lines, each under the name of the process that wrote it."""

from __future__ import annotations

import json
import os
import queue
import threading
import time

MAX_LINE_BYTES = 64 * 1024
"""A line longer than this is cut in two, so that a process that never ends a line costs no memory."""
_MANY_WAITING = 500


class LinePrefixer:
    """Cuts one process's output into lines and puts its name before each."""

    def __init__(self, name: str, width: int = 0) -> None:
        self._prefix = f"{name.ljust(width)} | ".encode()
        self._rest = b""

    def feed(self, output: bytes) -> bytes:
        """The lines that are whole now."""
        *lines, self._rest = (self._rest + output).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        return b"".join(self._line(line.rstrip(b"\r")) for line in lines)

    def flush(self) -> bytes:
        """The last line, when it was left without an end."""
        rest, self._rest = self._rest, b""
        return self._line(rest) if rest else b""

    def _line(self, line: bytes) -> bytes:
        return self._prefix + line + b"\n"


class JsonLines(LinePrefixer):
    """Cuts one process's output into lines that are JSON each, and name the process."""

    def __init__(self, name: str, width: int = 0) -> None:
        super().__init__(name, width)
        self._name = name

    def _line(self, line: bytes) -> bytes:
        """Add the name to an object; make one of what is no JSON, such as what another program writes."""
        begin = json.dumps({"program": self._name})[:-1].encode()
        if line.startswith(b'{"') and line.endswith(b"}"):
            return begin + b", " + line[1:] + b"\n"
        return begin + b", " + json.dumps({"event": line.decode(errors="replace")})[1:].encode() + b"\n"


class Console:
    """Writes to a file descriptor from a thread of its own, so that a paused terminal pauses nothing else."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._waiting: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        self.broken = False
        """Whether the other side has gone, so that nothing written comes out any more."""
        threading.Thread(target=self._run, name="console", daemon=True).start()

    @property
    def behind(self) -> bool:
        """Whether so much waits to be written that no more should be read."""
        return self._waiting.qsize() > _MANY_WAITING

    def write(self, output: bytes) -> None:
        """Write when its turn comes; never blocks."""
        if output:
            self._waiting.put(output)

    def mark(self) -> threading.Event:
        """An event that is set when all that was written so far is out, or never will be."""
        written = threading.Event()
        self._waiting.put(written)
        return written

    def flush(self, timeout_seconds: float) -> None:
        """Wait for what was written so far, but no longer than that."""
        self.mark().wait(timeout_seconds)

    def _run(self) -> None:
        while True:
            item = self._waiting.get()
            if isinstance(item, threading.Event):
                item.set()
            elif not self.broken:
                self._write_out(item)

    def _write_out(self, output: bytes) -> None:
        while output:
            try:
                output = output[os.write(self._descriptor, output) :]
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                self.broken = True  # the terminal or the reader of the pipe has gone; the service goes on without
                return
