"""Rows of tasks for tests, in any state that the database allows."""

from __future__ import annotations

import itertools
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from knox.models import AuthToken

from tasks_api.models import DownloadTask, Grant, PrivateUpload, PublicUpload, Series, Source, Status, Task
from tasks_api.models.download import needs_private

CID = "QmTxvr8VXe37apeBjyPeAGZi5JiRSbwn8mr2DuuqR517Lo"
CID_V1 = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
OTHER_CID = "QmdUVasivefLGRkT4R9mzcp82Qoc47UBb5G9bHXdZkW3RP"
PATHS: dict[type[Task], str] = {
    PublicUpload: "/api/v1/tasks/upload/pbulic/",
    PrivateUpload: "/api/v1/tasks/upload/private/",
    DownloadTask: "/api/v1/tasks/download/",
}
LISTS = {**PATHS, DownloadTask: "/api/v1/tasks/downloads/"}
KINDS = list(PATHS)

_numbers = itertools.count(1)
TaskT = TypeVar("TaskT", bound=Task)


def new_source(owner: User, *, public: int = Status.COMPLETED, **facts: Any) -> Source:
    """A source, with its public upload, and its private one when that is completed."""
    number = next(_numbers)
    series, _ = Series.objects.get_or_create(pk=facts.pop("series_id", 7))
    source = Source.objects.create(
        **{"owner": owner, "series": series, "uuid": f"u{number}", "name": f"{number}.mov", **facts}
    )
    _task(PublicUpload, source, owner, status=public, name="public.block", ip="peer")
    if public == Status.COMPLETED:
        _task(PrivateUpload, source, owner, status=Status.NOT_STARTED)
    return Source.objects.get(pk=source.pk)


def new_task(kind: type[TaskT], user: User, **facts: Any) -> TaskT:
    """A task of this kind of the user's own, on a source of its own."""
    if issubclass(kind, DownloadTask):
        return new_download(new_source(user), user, **facts)  # type: ignore[return-value]
    source = new_source(user)
    rows = kind._default_manager.filter(source=source)
    rows.update(**_facts(kind, facts))
    return rows.get()


def new_download(source: Source, user: User, *, granted: bool = True, **facts: Any) -> DownloadTask:
    """A download of the source by the user; one that needs the private block has just begun to."""
    if granted and user.pk != source.owner_id:
        grant(source, user)
    if needs_private(facts.get("status", 0), facts.get("percent", 0)):
        facts = {"waiting_since": Now(), **facts}
    return _task(DownloadTask, source, user, **facts)


def grant(source: Source, user: User) -> None:
    """Let the user download the source."""
    Grant.objects.get_or_create(source=source, user=user)


def client_of(user: User, **headers: str) -> Client:
    """A client with a token of the user's."""
    _, token = AuthToken.objects.create(user)  # type: ignore[no-untyped-call]
    return Client(headers={"HTTP_TOKEN": token, **headers})


def _task(kind: type[TaskT], source: Source, user: User, **facts: Any) -> TaskT:
    task = kind._default_manager.create(source=source, user=user, series=source.series, **_facts(kind, facts))
    task.refresh_from_db()
    return task


def _facts(kind: type[Task], facts: dict[str, Any]) -> dict[str, Any]:
    """The facts, with what they need to be true: a known block where it is completed, else an unknown one."""
    completed = facts.get("status", Status.NOT_STARTED) == Status.COMPLETED
    block = {"hash": CID, "size": 102400} if completed else {"hash": "", "size": 0}
    return {
        "status": Status.NOT_STARTED,
        "percent": 100 if completed else 0,
        **({} if issubclass(kind, DownloadTask) else block),
        **facts,
    }
