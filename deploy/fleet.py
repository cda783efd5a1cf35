"""A service whose workers come and go: processes of this machine, or containers of docker-compose.yml."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from tests.e2e.carryon import Carryon, running_carryon
from tests.e2e.client import Client
from tests.origin import Behaviour, GeneratedFile
from tests.origin.process import OriginProcess

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 120
DRAIN_SECONDS = 25
"""What a worker may take to leave: 20 s, and what a busy machine adds."""
ORIGIN = "carryon-scale-origin"
ORIGIN_PORT = 8009
_DOCKER = ("docker",)


class Fleet(Protocol):
    """A running service with an origin that it can reach."""

    @property
    def client(self) -> Client:
        """Its first user, who is staff."""

    def url(self, file: GeneratedFile, name: str, rate: int) -> str:
        """Where the origin has the file, at so many bytes a second for each connection."""

    def workers(self) -> list[str]:
        """The workers that take work now, the oldest first."""

    def add(self) -> None:
        """Start one worker more; it takes work when this returns."""

    def end(self, worker: str, number: signal.Signals) -> None:
        """End the worker by the signal, and wait until it is gone; TimeoutError when that takes too long."""


class Processes:
    """Workers as processes, the first of them under the supervisor, which starts it again when it dies."""

    def __init__(self, carryon: Carryon, origin: OriginProcess, opened: ExitStack) -> None:
        self.client = carryon.admin
        self._carryon, self._origin, self._opened = carryon, origin, opened
        self._added: dict[str, subprocess.Popen[bytes]] = {}
        self._number = 1

    def url(self, file: GeneratedFile, name: str, rate: int) -> str:
        """Where the origin has the file."""
        return self._origin.url(file, Behaviour(rate=rate), name=name)

    def workers(self) -> list[str]:
        """The first one and those that were added and live."""
        return ["worker-1", *(name for name, process in self._added.items() if process.poll() is None)]

    def add(self) -> None:
        """Start one more, from the very program that the supervisor starts."""
        self._number += 1
        self._added[f"worker-{self._number}"] = self._opened.enter_context(self._carryon.another_worker(self._number))

    def end(self, worker: str, number: signal.Signals) -> None:
        """End one, and wait: for its end, or, of the first one, for its successor."""
        if worker in self._added:
            self._added[worker].send_signal(number)
            self._added[worker].wait(DRAIN_SECONDS)
            return
        before = self._carryon.pid(worker)
        os.kill(before, number)
        _wait(lambda: self._carryon.service.pids().get(worker, before) != before, DRAIN_SECONDS)
        self._carryon.wait_until_back()


@contextmanager
def processes(variables: Mapping[str, str]) -> Iterator[Processes]:
    """A service of its own on a temporary folder, with one worker."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="carryon-scale-")))
        origin = opened.enter_context(OriginProcess())
        carryon = opened.enter_context(running_carryon(folder, **variables))
        yield Processes(carryon, origin, opened)


class Containers:
    """Workers as containers of the compose project of this folder, which runs already."""

    def __init__(self, client: Client, compose: str) -> None:
        """`compose` is the command: `docker compose` or `docker-compose`."""
        self.client = client
        self._compose = shlex.split(compose)

    def url(self, file: GeneratedFile, name: str, rate: int) -> str:
        """Where the origin has the file, on the network of the workers."""
        template = OriginProcess()
        template.base = f"http://{ORIGIN}:{ORIGIN_PORT}"
        return template.url(file, Behaviour(rate=rate), name=name)

    def workers(self) -> list[str]:
        """The ids of those that run."""
        ids = self._ask("ps", "-q", "worker").split()
        return [each for each in ids if _inspected(each)["State"]["Running"]]

    def add(self) -> None:
        """One more by `--scale`, from when its health check is content."""
        count = len(self.workers()) + 1
        self._ask("up", "-d", "--no-deps", "--no-recreate", "--scale", f"worker={count}", "worker")
        _wait(lambda: self._healthy() >= count, READY_SECONDS)

    def end(self, worker: str, number: signal.Signals) -> None:
        """Signal the container's process, and wait until it is gone; the policy does not start it again."""
        _run([*_DOCKER, "kill", "--signal", number.name, worker])
        _wait(lambda: not _inspected(worker)["State"]["Running"], DRAIN_SECONDS)
        _run([*_DOCKER, "rm", worker])

    def scale_to(self, count: int) -> None:
        """Have so many, whatever there was."""
        self._ask("up", "-d", "--no-deps", "--no-recreate", "--scale", f"worker={count}", "worker")
        _wait(lambda: len(self.workers()) == count and self._healthy() == count, READY_SECONDS)

    def _healthy(self) -> int:
        return sum(_inspected(each)["State"]["Health"]["Status"] == "healthy" for each in self.workers())

    def _ask(self, *arguments: str) -> str:
        return _run([*self._compose, *arguments])


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What a script is asked for, with the options that choose its fleet; exits with 2 where that cannot be."""
    parser.add_argument(
        "--compose", nargs="?", const="docker compose", help="command of Compose, for the project that runs here"
    )
    parser.add_argument("--url", default="http://127.0.0.1:8008", help="with --compose: where it is reached")
    options = parser.parse_args()
    if options.compose and "CARRYON_TOKEN" not in os.environ:
        parser.error("with --compose, CARRYON_TOKEN must hold the token of a user who is staff")
    return options


@contextmanager
def containers(url: str, token: str, compose: str) -> Iterator[Containers]:
    """The compose project of this folder, scaled to one worker while it lasts, with an origin beside it.

    LookupError when none of its workers runs.
    """
    fleet = Containers(Client(url.rstrip("/"), token), compose)
    found = fleet.workers()
    if not found:
        raise LookupError(f"no container of the service `worker` runs here: {compose} up")
    worker = found[0]
    network = next(name for name in _inspected(worker)["NetworkSettings"]["Networks"] if name.endswith("_front"))
    mount = f"{ROOT / 'tests'}:/app/tests:ro"
    options = ["--rm", "--detach", "--name", ORIGIN, "--network", network, "--volume", mount, "--entrypoint", "python"]
    program = ["-m", "tests.origin", "--host", "0.0.0.0", "--port", str(ORIGIN_PORT)]  # noqa: S104 - in a container
    _run([*_DOCKER, "run", *options, _inspected(worker)["Config"]["Image"], *program])
    try:
        fleet.scale_to(1)
        yield fleet
    finally:
        _run([*_DOCKER, "rm", "--force", ORIGIN])
        fleet.scale_to(len(found))


def _inspected(container: str) -> dict[str, Any]:
    inspected: list[dict[str, Any]] = json.loads(_run([*_DOCKER, "inspect", container]))
    return inspected[0]


def _run(command: list[str]) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.2)
