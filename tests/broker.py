"""A real broker for one test run, started with the very arguments that the service starts it with."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config import broker
from config.supervisor.child import tethered

_START_SECONDS = 10
_STOP_SECONDS = 5


@contextmanager
def running_broker(folder: Path, socket: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the embedded broker with its journal in the folder; its process, which answers on the socket."""
    server = broker.find_server()
    assert server is not None, "this machine has no Redis server"
    folder.mkdir(parents=True, exist_ok=True)
    socket.parent.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        tethered(broker.command(server, folder, socket)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until_answering(process, socket)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        socket.unlink(missing_ok=True)


def wait_until_answering(process: subprocess.Popen[bytes], socket: Path) -> None:
    """Wait for the process to take commands; AssertionError when it ends instead."""
    deadline = time.monotonic() + _START_SECONDS
    while not asyncio.run(broker.is_answering(socket)):
        assert process.poll() is None, f"the broker ended with code {process.returncode}"
        assert time.monotonic() < deadline, f"the broker does not answer after {_START_SECONDS} s"
        time.sleep(0.02)
