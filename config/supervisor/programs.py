"""The processes of the service: their command lines, what they inherit, and how to see that they work."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from config import broker
from config.supervisor import gate
from config.supervisor.child import Program
from config.supervisor.errors import StartError
from config.supervisor.livez import is_live
from config.supervisor.run_folder import KIND_VARIABLE, READY_FILE_VARIABLE, RunFolder

if TYPE_CHECKING:  # importing the settings reads the environment, which may be wrong
    from config.settings.environment import Environment

QUEUES = "transfers,every-worker"
CPU_QUEUES = "lists,checksums"
WORKER_CPU = "worker-cpu"
"""The name of the one that each host has."""


def variables(inherited: Mapping[str, str], environment: Environment, port: int, folder: RunFolder) -> dict[str, str]:
    """What every process inherits: all of the supervisor's own, with the port and the folder as they turned out.

    REMAP_SIGTERM is taken out: with it Celery 5.7 sleeps through its whole grace period inside the signal handler,
    tells the tasks nothing, and then fails on the threads pool, which cannot cancel. Plain SIGTERM announces the
    shutdown at once, and the worker leaves as soon as its tasks have. Celery's checks load all views and the admin,
    0.25 of the 1.3 CPU seconds that a worker's code takes to load, and nobody hears what they find; `make checks` does.
    """
    kept = {name: value for name, value in inherited.items() if name != "REMAP_SIGTERM"}
    return kept | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "HOST": environment.host,
        "PORT": str(port),
        "DATA_DIR": str(environment.data_dir),
        "PYTHONUNBUFFERED": "1",
        "CELERY_SKIP_CHECKS": "1",
        gate.VARIABLE: str(folder.gate),
    }


def embedded_broker(folder: Path, socket: Path, inherited: Mapping[str, str]) -> Program:
    """The Redis server of our own, with its journal in the folder; StartError when there is no such program."""
    server = broker.find_server()
    if server is None:
        raise StartError("No Redis server is known for this machine: install valkey or redis, or set REDIS_URL.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def is_ready() -> bool:
        return await broker.is_answering(socket)

    def repair() -> str:
        aside = broker.set_journal_aside(folder)
        return f"its unreadable journal now lies in {aside}" if aside else "it has no journal that could be at fault"

    return Program("broker", broker.command(server, folder, socket), inherited, is_ready, repair=repair)


def prepare(unshown_login: Path, login_descriptor: int, inherited: Mapping[str, str]) -> Program:
    """Brings the database up to date and makes the first user, whose login it writes to the descriptor."""
    options = ["--unshown-login", str(unshown_login), "--login-fd", str(login_descriptor)]
    command = [sys.executable, "-m", "django", "prepare", *options]
    return Program("prepare", command, inherited, descriptors=[login_descriptor])


def web(descriptor: int, address: tuple[str, int], inherited: Mapping[str, str]) -> Program:
    """Serves HTTP and WebSockets on the listening socket."""
    command = [sys.executable, "-m", "config.supervisor.web", "--fd", str(descriptor)]

    async def is_ready() -> bool:
        return await is_live(address)

    return Program("web", command, inherited, is_ready, descriptors=[descriptor])


def worker(number: int, environment: Environment, folder: RunFolder, inherited: Mapping[str, str]) -> Program:
    """Moves bytes, in as many threads as configured."""
    known = {**inherited, KIND_VARIABLE: "worker"}
    return _worker(f"worker-{number}", QUEUES, environment.worker_threads, folder, known)


def worker_cpu(
    environment: Environment, folder: RunFolder, inherited: Mapping[str, str], *, name: str = WORKER_CPU
) -> Program:
    """Makes zips, takes checksums, adds to lists: in a process of its own, where no download keeps these waiting."""
    known = {**inherited, KIND_VARIABLE: "worker-cpu"}
    return _worker(name, CPU_QUEUES, environment.worker_cpu_threads, folder, known)


def _worker(name: str, queues: str, threads: int, folder: RunFolder, inherited: Mapping[str, str]) -> Program:
    ready_file = folder.ready_file(name)
    command = [
        *_celery("worker"),
        *("--hostname", f"{name}@%h", "--queues", queues, "--pool", "threads"),
        *("--concurrency", str(threads), "--without-mingle", "--without-gossip"),
        *("--include", "config.supervisor.worker"),
    ]

    async def is_ready() -> bool:
        return ready_file.exists()

    return Program(name, command, {**inherited, READY_FILE_VARIABLE: str(ready_file)}, is_ready)


def beat(folder: RunFolder, inherited: Mapping[str, str]) -> Program:
    """Rings for periodic work and does it, apart from the workers, whose threads may all be busy for long."""
    command = [
        *_celery("worker"),
        *("--hostname", "beat@%h", "--queues", "housekeeping", "--pool", "threads", "--concurrency", "1"),
        *("--without-mingle", "--without-gossip", "--schedule", str(folder.schedule)),
        *("--include", "config.supervisor.beat"),
    ]
    return Program("beat", command, inherited)


def _celery(command: str) -> list[str]:
    return [sys.executable, "-m", "celery", "--quiet", "--app", "config.celery", command]
