"""Rows for tests, in any state that the database allows."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connections
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from transfers import leases
from transfers.models import Download
from transfers.models.download import LIVE, DownloadState

_numbers = itertools.count(1)
ResultT = TypeVar("ResultT")


def new_user(name: str = "ann", **facts: Any) -> User:
    """A user."""
    return User.objects.create_user(name, **facts)


def new_download(user: User | None = None, **facts: Any) -> Download:
    """A download that is queued, unless the facts say otherwise; each has a path of its own."""
    number = next(_numbers)
    state = facts.get("state", DownloadState.QUEUED)
    if state == DownloadState.RUNNING:
        facts = {"lease_epoch": 1, "lease_owner": leases.new_owner(), "lease_expires_at": in_seconds(60), **facts}
    if state not in LIVE:
        facts = {"ended_at": Now(), **facts}
    values = {
        "cid": "studio",
        "fid": f"film-{number}",
        "url": f"https://media.example/{number}.mov",
        "url_shown": f"https://media.example/{number}.mov",
        "url_key": f"url-{number}",
        "request_key": f"request-{number}",
        "save_path": str(settings.ENVIRONMENT.download_root / f"{number}.mov"),
        **facts,
    }
    download = Download.objects.create(user=user or User.objects.get_or_create(username="ann")[0], **values)
    download.refresh_from_db()
    return download


def in_seconds(seconds: float) -> Any:
    """This time from now, by the database's clock."""
    return Now() + timedelta(seconds=seconds)


def use(settings: Settings, **values: object) -> None:
    """Run with these values of the environment."""
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(update=values)


def at_once(calls: Sequence[Callable[[], ResultT]]) -> list[ResultT]:
    """Make all these calls at the same moment, each in a thread with a database connection of its own."""
    gate = threading.Barrier(len(calls))

    def wait_and_call(call: Callable[[], ResultT]) -> ResultT:
        try:
            gate.wait(10)
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(wait_and_call, calls))
