"""Fills a migrated database: `python -m benchmarks.tasks.rows COUNT` makes as many downloads, and tells whose in JSON.

A thousand of them belong to one user, spread over the table, and all others to another one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402 - what follows needs the settings
from django.db import connection, transaction  # noqa: E402
from knox.models import AuthToken  # noqa: E402

from tasks_api.models import DownloadTask, PrivateUpload, PublicUpload, Series, Source, Status  # noqa: E402

FEW = 1_000
BATCH = 2_000
CID = "QmTxvr8VXe37apeBjyPeAGZi5JiRSbwn8mr2DuuqR517Lo"


def main() -> None:
    """Fill it."""
    count = int(sys.argv[1])
    few, many = (User.objects.create_user(name) for name in ("few", "many"))
    series = [Series.objects.create(pk=number) for number in range(1, 11)]
    for first in range(1, count + 1, BATCH):
        with transaction.atomic():
            _fill(range(first, min(first + BATCH, count + 1)), few, many, series, count // FEW)
    if connection.vendor == "postgresql":
        connection.cursor().execute("VACUUM ANALYZE")  # as the server does by itself a minute later
    print(json.dumps([_told(few), _told(many)]))


def _fill(numbers: range, few: User, many: User, series: list[Series], every: int) -> None:
    block = {"status": Status.COMPLETED, "percent": 100, "name": "public.block", "hash": CID, "size": 102400, "ip": "p"}
    sources = [Source(pk=n, series=series[n % len(series)], owner=many, uuid=f"u{n}", name=f"{n}.mov") for n in numbers]
    Source.objects.bulk_create(sources)
    for kind in (PublicUpload, PrivateUpload):
        kind.objects.bulk_create(kind(**_task(source), user=many, **block) for source in sources)
    DownloadTask.objects.bulk_create(
        DownloadTask(**_task(source), user=many if source.pk % every else few, **_state(source.pk))
        for source in sources
    )


def _task(source: Source) -> dict[str, Any]:
    return {"pk": source.pk, "source": source, "series_id": source.series_id}


def _state(number: int) -> dict[str, int]:
    return {"status": DownloadTask.states[number % 5], "percent": number % 100}


def _told(user: User) -> dict[str, Any]:
    """What a client of the user needs: its last tasks among them."""
    _, token = AuthToken.objects.create(user)
    tasks: Iterator[tuple[int]] = DownloadTask.objects.of(user).values_list("pk")[:FEW]
    return {"id": user.pk, "token": token, "tasks": [pk for (pk,) in tasks]}


if __name__ == "__main__":
    main()
