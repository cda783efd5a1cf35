"""The whole service as these tests use it: started with little patience, its users, its processes, its files."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import redis
from django.conf import settings

from config.redis import embedded_socket
from config.supervisor import programs
from config.supervisor.child import tethered
from config.supervisor.run_folder import RunFolder
from tests.e2e.client import Client
from tests.servers import environment_of, manage, migrated
from tests.service import REPOSITORY, Service, running_service, wait_until

BACK_SECONDS = 30
"""How long a killed process may take to work again on a busy machine."""
_LEFTOVERS = (".part", ".part.journal", ".part.journal.new")


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """The process stands still during the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class Carryon:
    """A running service and its first user, who is staff."""

    def __init__(self, service: Service, variables: dict[str, str], token: str | None = None) -> None:
        token = token or service.told("token")
        assert token is not None
        self.service = service
        self.variables = variables
        self.admin = Client(service.url, token)

    @property
    def data_dir(self) -> Path:
        """Where it keeps everything."""
        return self.service.data_dir

    @property
    def downloads(self) -> Path:
        """Where its downloads lie."""
        return Path(self.variables.get("DOWNLOAD_ROOT", self.data_dir / "downloads"))

    @property
    def broker_socket(self) -> Path:
        """Where its broker listens."""
        return embedded_socket(self.data_dir / "run")

    def user(self, name: str) -> Client:
        """Another user, who is not staff."""
        token = manage(self.data_dir, "create_token", "--user", name, **self.variables).splitlines()[-1]
        return Client(self.service.url, token)

    # Processes

    def pid(self, name: str) -> int:
        """The process that runs under the name, once there is one."""
        wait_until(lambda: name in self.service.pids(), BACK_SECONDS)
        return self.service.pids()[name]

    def workers(self) -> dict[int, str]:
        """The supervisor's worker processes that move bytes: names by number."""
        known = self.service.pids().items()
        return {pid: name for name, pid in known if name.startswith("worker") and name != programs.WORKER_CPU}

    def kill(self, *names: str) -> None:
        """`kill -9` these processes at once, those of them that run."""
        pids = self.service.pids()
        for pid in [pids[name] for name in names if name in pids]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_until_back(self) -> None:
        """Wait until every worker takes work and the broker and the web process are there."""
        movers = {f"worker-{n + 1}" for n in range(int(self.variables.get("WORKERS", "1")))}
        names = {"broker", "web", "beat", programs.WORKER_CPU, *movers}
        run = self.data_dir / "run"
        wait_until(
            lambda: (
                all(name in self.service.pids() for name in names)
                and all((run / f"{name}.ready").exists() for name in names if name.startswith("worker"))
            ),
            BACK_SECONDS,
        )

    def connected_to(self, port: int) -> set[int]:
        """The processes, started by this one, that have connections to that port of this machine."""
        return {process.pid for process in psutil.Process().children(recursive=True) if _is_connected(process, port)}

    @contextmanager
    def another_worker(self, number: int = 9, *, cpu: bool = False) -> Iterator[subprocess.Popen[bytes]]:
        """A worker more than the service was started with, which takes work when the block begins; `cpu` for zips."""
        folder = RunFolder(self.data_dir / "run")
        inherited = environment_of(self.data_dir, self.variables)
        if cpu:
            name = f"{programs.WORKER_CPU}-{number}"
            program = programs.worker_cpu(settings.ENVIRONMENT, folder, inherited, name=name)
        else:
            program = programs.worker(number, settings.ENVIRONMENT, folder, inherited)
        ready = folder.ready_file(program.name)
        ready.unlink(missing_ok=True)
        with (self.data_dir / f"{program.name}.log").open("ab") as log:
            process = subprocess.Popen(
                tethered(program.command), env=program.environment, cwd=REPOSITORY, stdout=log, stderr=log
            )
        try:
            wait_until(ready.exists, BACK_SECONDS)
            yield process
        finally:
            process.kill()
            process.wait()
            ready.unlink(missing_ok=True)

    @contextmanager
    def without_broker(self) -> Iterator[None]:
        """Nobody reaches the broker during the block; unlike a killed one it does not come back by itself."""
        away = self.broker_socket.with_suffix(".away")
        with redis.Redis(unix_socket_path=str(self.broker_socket)) as broker:
            broker.ping()
            self.broker_socket.rename(away)
            try:
                for kind in ("normal", "pubsub"):
                    broker.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
                yield
            finally:
                away.rename(self.broker_socket)

    # Files

    def leftovers(self) -> list[Path]:
        """Unfinished files and their journals."""
        return sorted(path for suffix in _LEFTOVERS for path in self.downloads.rglob(f"*{suffix}"))


@contextmanager
def running_carryon(data_dir: Path, *, token: str | None = None, **variables: str) -> Iterator[Carryon]:
    """Start the service, with `variables` in its environment, and wait until it is ready.

    `token` is the first user's, where it is not the first start. A service that ends by itself fails the test.
    """
    chosen = {"FETCH_ALLOW": "127.0.0.1,localhost", "DATABASE_URL": "", "REDIS_URL": "", **variables}
    if not chosen["DATABASE_URL"]:
        migrated(data_dir)
    with running_service(data_dir, **chosen) as service:
        service.wait_until_ready()
        yield Carryon(service, chosen, token)
        code = service.process.poll()
        assert code in (None, -signal.SIGKILL), f"it ended before its time with {code}:\n{service.output[-5000:]}"


def leftovers_of(path: Path) -> list[Path]:
    """What is there of the file besides itself."""
    return [left for suffix in _LEFTOVERS if (left := path.with_name(path.name + suffix)).exists()]


def sha256(path: Path | str) -> str:
    """The SHA-256 of a file on disk, as hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_connected(process: psutil.Process, port: int) -> bool:
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:
        return False
    return any(c.raddr and c.raddr.port == port and c.status == psutil.CONN_ESTABLISHED for c in connections)
