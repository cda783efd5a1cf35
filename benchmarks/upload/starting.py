"""All servers at once, each on a port of its own, with its files in a folder of its own on the same disk."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.upload.contenders import Carryon, Contender, Copyparty, JoiningTus, Tus
from benchmarks.upload.servers import REPOSITORY, free_port, install_node_server, running
from benchmarks.upload.source import Source
from benchmarks.web_servers import environment_with_all
from tests.service import running_service


@contextmanager
def started(root: Path, peers: Path, source: Source) -> Iterator[list[Contender]]:
    """Start ours and every peer that can be had here; in the end nothing of them runs."""
    with ExitStack() as stack:
        contenders = _carryon(stack, root, source)
        contenders += _node_server(stack, root, peers / "node", source)
        python = _python(peers / "python")
        contenders += _tuspyserver(stack, root, python, source)
        contenders += _copyparty(stack, root, python, source)
        yield contenders


def _carryon(stack: ExitStack, root: Path, source: Source) -> list[Contender]:
    service = stack.enter_context(running_service(root / "carryon", LOG_LEVEL="WARNING", RATE_LIMIT_START="off"))
    service.wait_until_ready()
    port, token, pids = int(service.url.rpartition(":")[2]), service.told("token"), service.pids()
    told = {"token": token, "worker": pids["worker-cpu"]}
    return [Carryon(port, pids["web"], source, **told, raw=raw) for raw in (True, False)]


def _node_server(stack: ExitStack, root: Path, tools: Path, source: Source) -> list[Contender]:
    if not install_node_server(tools):
        print("@tus/server cannot be had here (it needs node and npm), and is left out.")
        return []
    store, port = _store(root, "tus"), free_port()
    command = ["node", str(tools / "tus_server.mjs"), str(port), str(store)]
    pid = stack.enter_context(running(command, port, store.parent, {}))
    return [Tus(port, pid, source, product="@tus/server", store=store)]


def _tuspyserver(stack: ExitStack, root: Path, python: str, source: Source) -> list[Contender]:
    if not _has(python, "tuspyserver"):
        return []
    store, port = _store(root, "tuspyserver"), free_port()
    app = ["-m", "uvicorn", "benchmarks.upload.tuspy_app:app", "--app-dir", str(REPOSITORY)]
    command = [python, *app, "--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    pid = stack.enter_context(running(command, port, store.parent, {"FILES_DIR": str(store)}))
    return [
        Tus(port, pid, source, product="tuspyserver", store=store),
        JoiningTus(port, pid, source, product="tuspyserver, joined", store=store),
    ]


def _copyparty(stack: ExitStack, root: Path, python: str, source: Source) -> list[Contender]:
    if not _has(python, "copyparty"):
        return []
    store, port = _store(root, "copyparty"), free_port()
    options = ["-q", "--no-crt", "-i", "127.0.0.1", "-p", str(port), "-v", f"{store}::rw"]
    pid = stack.enter_context(running([python, "-m", "copyparty", *options], port, store.parent, {}))
    return [Copyparty(port, pid, source, store=store)]


def _python(folder: Path) -> str:
    """A Python that has the peers."""
    python = folder / "bin" / "python"
    return str(python) if python.exists() else environment_with_all(folder)


def _has(python: str, module: str) -> bool:
    command = [python, "-c", f"import {module}"]
    found = subprocess.run(command, check=False, stderr=subprocess.DEVNULL, timeout=60).returncode == 0
    if not found:
        print(f"{module} cannot be had here, and is left out.")
    return found


def _store(root: Path, name: str) -> Path:
    store = root / name / "files"
    store.mkdir(parents=True)
    return store
