"""What the service needs, and how to see that it is there."""

from __future__ import annotations

import asyncio
import functools
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from channels import DEFAULT_CHANNEL_LAYER
from channels.layers import channel_layers
from django.conf import settings
from django.db import connection
from redis.backoff import NoBackoff
from redis.retry import Retry

from config import presence
from config.health.probe import DownError, Probe, UnknownError
from transfers import storage
from transfers.errors import CarryonError
from transfers.redis import options

LIMIT_SECONDS = 3.0
"""How long all checks together may take; they are asked side by side."""
KEEP_SECONDS = 0.5
"""How long their answers are good for, here and once more where they are told: a second in all. Asking is free."""
REDIS_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Room:
    """What a folder's disk has, in bytes."""

    free: int
    total: int


def roots() -> dict[str, Path]:
    """Every folder that the service writes to, by a name that tells nothing of where it lies."""
    environment = settings.ENVIRONMENT
    found = {"data": environment.data_dir, "downloads": environment.download_root, "cases": environment.sync_save_path}
    clouds = {f"region-{name}": cloud.folder for name, cloud in environment.sync_regions.items() if cloud.folder}
    return found | clouds | ({"files": environment.files_root} if environment.storage == "local" else {})


def probes() -> list[Probe[Any]]:
    """All that must be there for the service to be ready."""
    asked: dict[str, Callable[[], Any]] = {
        "database": database,
        "broker": broker,
        "channel_layer": lambda: asyncio.run(channel_layer()),
        **{f"storage:{name}": functools.partial(folder, path) for name, path in roots().items()},
        "workers": lambda: at_least_one("worker"),
        "workers_cpu": lambda: at_least_one("worker-cpu"),
        "beat": lambda: at_least_one("beat"),
    }
    if settings.ENVIRONMENT.storage == "s3":
        asked["storage:s3"] = store
    return [Probe(name, ask) for name, ask in asked.items()]


def database() -> None:
    """The database answers, and has our tables; over a connection that is made for this."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")
        if cursor.fetchone() is None:
            raise DownError("it has not been prepared")


def broker() -> None:
    """Redis answers, and takes what is written: one that is full, or a replica, does only the first."""
    with _redis() as client:
        client.set("carryon:ready", 1, ex=60)


async def channel_layer() -> None:
    """What is sent to a group comes out at its other end, as sockets need it."""
    layer: Any = channel_layers.make_backend(DEFAULT_CHANNEL_LAYER)  # type: ignore[no-untyped-call]
    try:
        channel = await layer.new_channel("ready")
        await layer.group_add(channel, channel)
        await layer.group_send(channel, {"type": "ready"})
        async with asyncio.timeout(REDIS_SECONDS):
            await layer.receive(channel)
    except TimeoutError:
        raise DownError("what was sent did not arrive") from None
    finally:
        await layer.flush()


def folder(path: Path) -> Room:
    """The folder, or the nearest above it while it is still to be made, takes a file, of which nothing is left.

    Nothing is synced: a disk that is slow because it is busy is no reason to call the service down.
    """
    place = next(place for place in (path, *path.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(4096))
    except OSError as error:
        raise DownError(error.strerror or type(error).__name__) from None
    usage = shutil.disk_usage(place)
    return Room(free=usage.free, total=usage.total)


def store() -> None:
    """The bucket of new files answers who we are."""
    try:
        storage.for_new().check()
    except CarryonError as error:
        raise DownError(error.code) from None


def at_least_one(kind: str) -> int:
    """How many processes of the kind there are; DownError when there is none."""
    present = presence.processes()
    if present is None:
        raise UnknownError("the broker does not answer")
    if not (number := presence.counted(present)[kind]):
        raise DownError("there is none")
    return number


def _redis() -> redis.Redis:
    """A client that asks once, so that the check ends before its limit."""
    patience = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
    return redis.Redis.from_url(settings.REDIS_URL, **{**options(), **patience}, retry=Retry(NoBackoff(), retries=0))
