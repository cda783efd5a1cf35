"""Which server to ship: the candidates side by side, on this machine, in one run; prints a Markdown table.

Servers that the project does not ship are installed into a temporary environment. Load comes from `wrk` when it is on
the PATH, else from a small client of our own, which is slower: compare numbers of one table only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

REPOSITORY = Path(__file__).resolve().parent.parent
CONNECTIONS = 16
START_SECONDS = 20
STOP_SECONDS = 5
MIB = 2**20


class MeasurementError(Exception):
    """The candidate cannot be measured; says why."""


def require(condition: object, why: str) -> None:
    """MeasurementError unless the condition holds."""
    if not condition:
        raise MeasurementError(why)


@dataclass(frozen=True)
class Candidate:
    """A server with one of the two ways to Django."""

    name: str
    module: str
    options: tuple[str, ...]
    """`{port}` stands for the port, `{app}` for the application."""
    way: str

    def command(self, python: str, port: int) -> list[str]:
        """The command line of a server in one process."""
        app = f"benchmarks.web_app.{self.way}:application"
        return [python, "-m", self.module, *(option.format(port=port, app=app) for option in self.options)]


UVICORN = (
    *("{app}", "--host", "127.0.0.1", "--port", "{port}", "--no-access-log", "--no-proxy-headers"),
    *("--timeout-graceful-shutdown", "2", "--log-level", "warning"),
)
GRANIAN = (
    *("{app}", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}", "--workers", "1"),
    *("--no-access-log", "--log-level", "warning"),
)
HYPERCORN = ("{app}", "--bind", "127.0.0.1:{port}", "--worker-class", "uvloop", "--graceful-timeout", "2")
DAPHNE = ("-b", "127.0.0.1", "-p", "{port}", "--verbosity", "0", "{app}")
CANDIDATES = (
    Candidate("uvicorn + a2wsgi", "uvicorn", UVICORN, "bridged"),
    Candidate("uvicorn + Django ASGI", "uvicorn", UVICORN, "native"),
    Candidate("granian + a2wsgi", "granian", GRANIAN, "bridged"),
    Candidate("granian + Django ASGI", "granian", GRANIAN, "native"),
    Candidate("hypercorn + a2wsgi", "hypercorn", HYPERCORN, "bridged"),
    Candidate("hypercorn + Django ASGI", "hypercorn", HYPERCORN, "native"),
    Candidate("daphne + Django ASGI", "daphne", DAPHNE, "native"),
)


@dataclass(frozen=True)
class Load:
    """What one view stood."""

    per_second: float
    p99_ms: float


@dataclass
class Result:
    """What was measured of a candidate; the best of the rounds."""

    candidate: Candidate
    bare: list[Load] = field(default_factory=list)
    api: list[Load] = field(default_factory=list)
    mib: float = 0
    checks: dict[str, bool] = field(default_factory=dict)
    failure: str = ""

    def row(self) -> list[str]:
        """Its line of the table."""
        if self.failure:
            return [self.candidate.name, self.failure]
        loads = [max(loads, key=lambda load: load.per_second) for loads in (self.api, self.bare)]
        numbers = [text for load in loads for text in (f"{load.per_second:,.0f}", f"{load.p99_ms:.0f}")]
        return [
            self.candidate.name,
            *numbers,
            f"{self.mib:.0f}",
            *("yes" if ok else "no" for ok in self.checks.values()),
        ]


@dataclass(frozen=True)
class Server:
    """A running candidate."""

    port: int
    token: str
    process: psutil.Popen

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def mib(self) -> float:
        """Resident memory of all its processes."""
        return float(sum(process.memory_info().rss for process in self.processes()) / MIB)

    def processes(self) -> list[psutil.Process]:
        """The one that was started and all that it started."""
        return [self.process, *self.process.children(recursive=True)]


def main() -> None:
    """Measure what was asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="of load, for each view and round (default: 5)")
    parser.add_argument("--rounds", type=int, default=2, help="the best of them counts (default: 2)")
    parser.add_argument("--only", metavar="TEXT", default="", help="candidates whose name contains this")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="carryon-bench-") as folder:
        python = environment_with_all(Path(folder) / "venv")
        token = prepare_database(Path(folder))
        results = [Result(candidate) for candidate in CANDIDATES if arguments.only in candidate.name]
        for number in range(arguments.rounds):
            for result in results:
                print(f"round {number + 1}: {result.candidate.name}", file=sys.stderr)
                measure(result, python, token, arguments.seconds)
    print_table(results, arguments.seconds)


def environment_with_all(folder: Path) -> str:
    """An environment with this one's packages and `requirements.txt`; its Python, or ours when that cannot be had."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    requirements = str(REPOSITORY / "benchmarks" / "requirements.txt")
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", requirements]
    if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode:
        print("the other servers cannot be installed here, and are left out", file=sys.stderr)
        return sys.executable
    ours, theirs = sysconfig.get_path("purelib"), next(folder.glob("lib/python*/site-packages"))
    (theirs / "ours.pth").write_text(f"{ours}\n")
    return python


def prepare_database(data_dir: Path) -> str:
    """Set the environment that servers inherit, make the database and a user; the user's token."""
    os.environ |= {
        "DATA_DIR": str(data_dir),
        "DJANGO_SETTINGS_MODULE": "benchmarks.web_app.settings",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "LOG_LEVEL": "ERROR",
        "PYTHONPATH": str(REPOSITORY),
    }
    made = "from knox.models import *; from django.contrib.auth.models import User"
    script = f"{made}; print(AuthToken.objects.create(User.objects.create_user('bench'))[1])"
    manage("migrate", "--verbosity", "0")
    return manage("shell", "--verbosity", "0", "--command", script).split()[-1]


def manage(*arguments: str) -> str:
    """Run a management command."""
    command = [sys.executable, "-m", "django", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(result: Result, python: str, token: str, seconds: int) -> None:
    """Put load on the candidate and check what it can, adding to the result."""
    if subprocess.run(
        [python, "-c", f"import {result.candidate.module}"], check=False, stderr=subprocess.DEVNULL
    ).returncode:
        result.failure = "not installed"
        return
    try:
        with running(result.candidate, python, token) as server:
            for path, loads in (("/users/1", result.api), ("/bare", result.bare)):
                put_load(server, path, 1)
                loads.append(put_load(server, path, seconds))
            result.mib = max(result.mib, server.mib())
            result.checks = {name: check(server) for name, check in CHECKS.items()}
    except (OSError, MeasurementError, WebSocketException) as failure:
        result.failure = f"failed: {failure}"


@contextmanager
def running(candidate: Candidate, python: str, token: str) -> Iterator[Server]:
    """Start the candidate on a free port and wait until it answers; kill what is left of it in the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = psutil.Popen(candidate.command(python, port), cwd=REPOSITORY, **quiet)
    server = Server(port, token, process)
    family: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(server):
            require(process.poll() is None, "it ended at once")
            require(time.monotonic() < deadline, "it does not answer")
            time.sleep(0.1)
        family = server.processes()
        yield server
    finally:
        for member in family or [process]:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()


def answers(server: Server) -> bool:
    """Whether it is up."""
    with suppress(requests.ConnectionError):
        return requests.get(f"{server.url}/bare", timeout=START_SECONDS).ok
    return False


def put_load(server: Server, path: str, seconds: int) -> Load:
    """Ask for the path from all connections at once for that long; MeasurementError when an answer is not 200."""
    if wrk := shutil.which("wrk"):
        return wrk_load(wrk, server, path, seconds)
    return asyncio.run(own_load(server, path, seconds))


def wrk_load(wrk: str, server: Server, path: str, seconds: int) -> Load:
    """Let `wrk` do it."""
    options = ["-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--latency", "-H", f"Token: {server.token}"]
    printed = subprocess.run([wrk, *options, server.url + path], check=True, stdout=subprocess.PIPE, text=True).stdout
    require("Non-2xx" not in printed, "it does not answer 200")
    [rate] = re.findall(r"Requests/sec:\s+([\d.]+)", printed)
    [(late, unit)] = re.findall(r"99%\s+([\d.]+)(us|ms|s)", printed)
    return Load(float(rate), float(late) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit])


async def own_load(server: Server, path: str, seconds: int) -> Load:
    """Do it ourselves, one request after the other on each connection."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nToken: {server.token}\r\n\r\n".encode()
    took: list[float] = []
    end = time.monotonic() + seconds

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while (begin := time.monotonic()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            require(head.startswith(b"HTTP/1.1 200"), "it does not answer 200")
            [length] = re.findall(rb"content-length: (\d+)", head.lower())
            await reader.readexactly(int(length))
            took.append(time.monotonic() - begin)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    return Load(len(took) / seconds, sorted(took)[int(len(took) * 0.99)] * 1000)


def echoes(server: Server) -> bool:
    """Whether a WebSocket works on the same port."""
    with connect(f"ws://127.0.0.1:{server.port}/") as echo:
        echo.send("hello")
        return echo.recv(STOP_SECONDS) == "hello"


def passes_the_header(server: Server) -> bool:
    """Whether the header with an underscore arrives."""
    return requests.get(f"{server.url}/bare", headers={"HTTP_TOKEN": "here"}, timeout=STOP_SECONDS).text == "here"


def refuses_early(server: Server) -> bool:
    """Whether nobody's upload is refused before its body is sent, and without being asked to go on."""
    head = f"POST /users/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {64 * MIB}\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 2) as client:
        client.sendall(head.encode())
        with suppress(TimeoutError):
            return client.recv(MIB).startswith(b"HTTP/1.1 401")
    return False


def stops(server: Server) -> bool:
    """Whether it is gone in time after SIGTERM, with a WebSocket and an idle connection open."""
    family = server.processes()
    with requests.Session() as idle, connect(f"ws://127.0.0.1:{server.port}/"):
        idle.get(f"{server.url}/bare", timeout=STOP_SECONDS)
        server.process.send_signal(signal.SIGTERM)
        return not psutil.wait_procs(family, STOP_SECONDS)[1]


CHECKS: dict[str, Callable[[Server], bool]] = {
    "WebSocket": echoes,
    "`HTTP_TOKEN`": passes_the_header,
    "401 before the body": refuses_early,
    f"stops in {STOP_SECONDS} s": stops,
}


def print_table(results: Sequence[Result], seconds: int) -> None:
    """The table, as ARCHITECTURE.md shows it."""
    load = "wrk" if shutil.which("wrk") else "own client"
    print(f"One process, {CONNECTIONS} connections for {seconds} s ({load}), {os.cpu_count()} cores, memory in MiB.\n")
    heads = ["server", "API view/s", "p99 ms", "bare view/s", "p99 ms", "memory", *CHECKS]
    print(f"| {' | '.join(heads)} |")
    print(f"|---|{'---:|' * 5}{'---|' * len(CHECKS)}")
    for result in results:
        print(f"| {' | '.join(result.row())} |")


if __name__ == "__main__":
    main()
