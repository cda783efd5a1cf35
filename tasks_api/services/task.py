"""Reports on tasks, and what staff may do to them; each is told on the socket once it is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar, cast

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction

from tasks_api import polls, progress
from tasks_api.models import DownloadTask, PrivateUpload, PublicUpload, Report, Status, Task
from tasks_api.models.task import TaskQuerySet
from transfers import audit
from transfers.errors import NoSuchTaskError, TaskSupersededError
from transfers.progress import ProgressEvent, publish

TaskT = TypeVar("TaskT", bound=Task)
_SHOWN_TO_DOWNLOADERS = frozenset(("status", "name", "size", "hash"))
"""What downloads show of a private upload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What narrows a list."""

    statuses: tuple[int, ...] = ()
    series_id: int | None = None
    updated_since: datetime | None = None


def find(kind: type[TaskT], *, user: User, task_id: int) -> TaskT:
    """The task, to be shown; NoSuchTaskError when the user may not look at one of this kind and id."""
    try:
        # By its id alone, unsorted: most of a poll is Django writing SQL, and it took 560 us with more, and not 420.
        task: TaskT = _rows(kind).with_source().get(pk=task_id)
    except kind.DoesNotExist:
        raise _no_such_task() from None
    if not task.is_visible_to(user):
        raise _no_such_task()
    return task


def listed(kind: type[Task], *, user: User, filters: Filters) -> TaskQuerySet:
    """What this user's list has of the kind, and the filters let through: newest first, or what changed last."""
    rows = _rows(kind).listed_to(user).in_full()
    if filters.statuses:
        rows = rows.filter(status__in=filters.statuses)
    if filters.series_id is not None:
        rows = rows.filter(series=filters.series_id)
    if filters.updated_since is not None:
        since = kind.shown_since
        rows = rows.filter(**{f"{since}__gte": filters.updated_since}).order_by(f"-{since}", "-id")
    return rows


@transaction.atomic
def report(kind: type[TaskT], *, user: User, task_id: int, told: Report) -> TaskT:
    """Take a client's report on the user's task (staff: anybody's), and give the task as it is then.

    What says nothing new changes nothing. Refusals are those of `Task.changes`, and NoSuchTaskError,
    PermissionDenied and TaskSupersededError.
    """
    task = _held(kind, user, task_id)
    if changed := task.changes(told):
        _move(task, changed)
        _follow(task, changed)
        _write_down(task, user, changed)
    return task


@transaction.atomic
def mark_failed(*, task: Task) -> bool:
    """Let a task fail that nobody reports on any more; False when it has ended by itself."""
    held = _locked(type(task), task.pk)
    changed = {"status": Status.FAILED}
    if held.status in (Status.COMPLETED, Status.FAILED) or not held.move(changed):
        return False
    _follow(held, changed)
    return True


@transaction.atomic
def reopen(*, upload: PrivateUpload) -> bool:
    """Have a private block that has ended uploaded again; False when its upload has not ended."""
    held = _locked(PrivateUpload, upload.pk)
    was_there = held.status == Status.COMPLETED
    if not held.mark_reopened():
        return False
    _follow(held, {"status": held.status})
    if was_there:  # only now does anybody wait for it
        DownloadTask.objects.filter(source=held.source_id, waiting_since__isnull=False).touch("waiting_since")
    return True


def _rows(kind: type[Task]) -> TaskQuerySet:
    return cast("TaskQuerySet", kind._default_manager.all())


def _locked(kind: type[TaskT], task_id: int) -> TaskT:
    """The task with its source, and nobody else's to change until the transaction ends."""
    # Not in full: a statement that waits for the row has seen the grants as they were before it waited.
    rows = _rows(kind).with_source().select_for_update(of=("self",))
    task: TaskT | None = rows.filter(pk=task_id).first()
    if task is None:
        raise _no_such_task()
    return task


def _held(kind: type[TaskT], user: User, task_id: int) -> TaskT:
    task = _locked(kind, task_id)
    if user.is_staff or task.user_id == user.pk:
        task.require_granted()
        return task
    if task.source.owner_id == user.pk:
        raise PermissionDenied
    raise _no_such_task()


def _move(task: Task, changed: Mapping[str, Any]) -> None:
    retried = task.status == Status.FAILED
    try:
        moved = task.move(changed)
    except IntegrityError as error:
        if not retried:
            raise
        # All that a task can break by going back to work is that its user has only one for the source at a time.
        raise TaskSupersededError("Another download of this source is live already.") from error
    if not moved:
        raise AssertionError(f"{task!r}, which is locked, was moved by somebody else")


def _follow(task: Task, changed: Mapping[str, Any]) -> None:
    """Do what a change brings with it, and tell of it."""
    also = _AFTER.get(type(task), _nothing)
    tell([progress.task_update(task), *also(task, changed)], seen_by=task.source.viewer_ids())


def _write_down(task: Task, user: User, changed: Mapping[str, Any]) -> None:
    """Have in the audit what staff reports on another's task; how far it has come is no deed, and comes too often."""
    facts = sorted(name for name in changed if name not in {"status", "percent"})
    if "status" in changed or facts:
        what = f"Reported {Status(task.status).label.lower()}" + (f", with {', '.join(facts)}" if facts else "")
        audit.by_api(by=user, owner_id=task.user_id, row=task, what=what)


def _nothing(task: Any, changed: Mapping[str, Any]) -> Iterable[ProgressEvent]:  # noqa: ARG001
    return ()


def _after_public(upload: PublicUpload, changed: Mapping[str, Any]) -> Iterable[ProgressEvent]:
    """The private block is to be uploaded once the public one is there, from the same folder until told otherwise."""
    if changed.get("status") == Status.COMPLETED:
        owned = {"user_id": upload.user_id, "series_id": upload.series_id}
        private = PrivateUpload(source=upload.source, **owned, file=upload.file)
        PrivateUpload.objects.bulk_create([private], ignore_conflicts=True)
    return ()


def _after_private(upload: PrivateUpload, changed: Mapping[str, Any]) -> Iterable[ProgressEvent]:
    """Whoever downloads the source is told what has become of its private block."""
    if not _SHOWN_TO_DOWNLOADERS.intersection(changed):
        return []
    downloads = DownloadTask.objects.filter(source=upload.source_id)
    downloads.touch("shown_at")
    return [progress.task_update(download) for download in downloads.live().in_full()]


_AFTER: Mapping[type[Task], Callable[[Any, Mapping[str, Any]], Iterable[ProgressEvent]]] = {
    PublicUpload: _after_public,
    PrivateUpload: _after_private,
}


def tell(events: Iterable[ProgressEvent], *, seen_by: Iterable[int]) -> None:
    """Once what these users may see has changed and is committed, let no answer stand for them, and publish."""
    transaction.on_commit(partial(_announce, tuple(events), polls.topics_of(seen_by)))


def _announce(events: Iterable[ProgressEvent], topics: Iterable[str]) -> None:
    polls.changed(topics)  # first, for who is told may poll at once
    for event in events:
        publish(event)


def _no_such_task() -> NoSuchTaskError:
    return NoSuchTaskError("There is no such task.")
