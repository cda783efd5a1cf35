"""How every client of ours talks to Redis: one place for addresses, time-outs and limits."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

MAX_SOCKET_PATH_BYTES = 100
"""A unix socket's path has room for 104 bytes on macOS and 108 on Linux (`sun_path`)."""


def embedded_socket(run_dir: Path) -> Path:
    """The embedded server's socket: in the run folder, or in the temporary one when that path is too long."""
    path = run_dir / "broker.sock"
    if len(bytes(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    name = hashlib.sha256(bytes(run_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"carryon-{name}.sock"


def broker_url(redis_url: str) -> str:
    """The same server in the form that Celery's transport reads."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    database = parse_qs(parts.query).get("db", ["0"])[-1]
    return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database}"


def client_options() -> dict[str, Any]:
    """Keyword arguments of every redis-py client.

    redis-py 8 by itself allows 100 connections, of which many sockets at once need more, and gives up one that is
    silent for 5 s even where silence is awaited (channels_redis#422). So its channel layer must be the one that polls
    with a time-out of its own (pub/sub); then a server that hangs fails a command instead of holding it for ever.
    """
    return {
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "health_check_interval": 10,
        "max_connections": 10_000,
    }
