"""Asking for a sync, stopping it, and looking at it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from sync import case_api, places, progress
from sync.models import Case, Job
from sync.models.job import LIVE, Desired
from sync.services import case as cases
from sync.services.case import CaseRequest
from sync.tasks import sync_case
from sync.tasks.events import tell_state
from transfers.doorbell import ring
from transfers.errors import (
    AlreadySyncingError,
    InvalidInputError,
    NoSuchCaseError,
    NoSuchJobError,
    NotSyncingError,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from sync.models.job import JobQuerySet
    from transfers.progress import ProgressEvent

RECENT = timedelta(minutes=1)
"""How long an ended job is still part of the present state that a new listener gets."""
SNAPSHOT_LIMIT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """What a caller asks of a case."""

    up: bool
    api_url: str
    """Empty: this service's own."""
    source: str
    case: CaseRequest
    delete: bool = False
    dry_run: bool = False


def ask(*, user: User, request: SyncRequest) -> Job:
    """Have a case synced; what was done of it before stays done.

    AlreadySyncingError when it is being synced, UnknownRegionError, NoSuchCaseError, CaseDiffersError, and
    InvalidInputError for fields that are not acceptable.
    """
    cases.check(request.case)
    api_url = case_api.checked_url(request.api_url) if request.api_url else ""

    def made() -> Job:
        case = _case(user, request, api_url)
        return Job.objects.create(
            case=case,
            user=user,
            up=request.up,
            delete_missing=request.delete,
            dry_run=request.dry_run,
            source=_source(case, request),
        )

    return _begun(made, live=lambda: _live(user, request.case))


def again(*, user: User, case: Case, up: bool, dry_run: bool = False, delete: bool = False) -> Job:
    """Have a case synced that is known; AlreadySyncingError when it is being synced."""
    source = _source_of_copy(case) if up else ""
    return _begun(
        lambda: Job.objects.create(case=case, user=user, up=up, delete_missing=delete, dry_run=dry_run, source=source),
        live=lambda: Job.objects.live().filter(case=case).first(),
    )


def _begun(made: Callable[[], Job], *, live: Callable[[], Job | None], tries: int = 2) -> Job:
    """The job that `made` makes, once workers may hear of it; AlreadySyncingError when the case has a `live` one."""
    try:
        with transaction.atomic():
            job = made()
            transaction.on_commit(lambda: ring(sync_case, job.pk))
    except IntegrityError:
        found = live()
        if found is not None:
            raise AlreadySyncingError(str(found.pk)) from None
        if tries == 1:
            raise
        return _begun(made, live=live, tries=tries - 1)  # what was in its way has ended meanwhile
    return job


def stop_case(*, case: Case) -> Job:
    """End the case's live job; NotSyncingError when it has none."""
    live = Job.objects.live().filter(case=case).first()
    if live is None:
        raise NotSyncingError("The case is not being synced.")
    return stop_job(job=live)


def stop(*, user: User, job_id: uuid.UUID) -> Job:
    """End a live job within a second or two; NoSuchJobError, and NotSyncingError when it is not live."""
    return stop_job(job=look(user=user, job_id=job_id))


def stop_job(*, job: Job) -> Job:
    """End this job; the workers that are at it see the wish with their next heartbeats."""
    if not Job.objects.live().filter(pk=job.pk, desired=Desired.RUN).update(desired=Desired.STOP):
        raise NotSyncingError("The job is not running.")
    if Job.objects.filter(pk=job.pk).stop_unclaimed():
        transaction.on_commit(lambda: tell_state(job))
    job.refresh_from_db()
    return job


def look(*, user: User, job_id: uuid.UUID) -> Job:
    """A job as it stands now; NoSuchJobError when the user has none of this id."""
    job = Job.objects.visible_to(user).select_related("case").filter(pk=job_id).first()
    if job is None:
        raise NoSuchJobError("There is no such job.")
    return job


def visible(*, user: User) -> JobQuerySet:
    """The jobs that this user may see, newest first."""
    return Job.objects.visible_to(user).select_related("case")


def shown(*, job: Job) -> dict[str, Any]:
    """A job as the wire has it, with its failures; the plan of a dry run that has ended belongs to it: `planned`."""
    return {**progress.shown(job), "failures": progress.shown_failures(job)}


def planned(*, job: Job) -> Iterator[dict[str, Any]]:
    """What a dry run found to be done, in the order of work; never more than a batch of it is in memory.

    One query a batch: who reads slowly must not keep a database from tidying up behind a cursor.
    """
    rows = job.batches.order_by("stage", "number")
    for pk in list(rows.values_list("pk", flat=True)):
        yield from rows.values_list("actions", flat=True).get(pk=pk)


def snapshot(*, user: User) -> list[ProgressEvent]:
    """Where the jobs stand that run, or have ended lately, oldest first."""
    recent = Q(state__in=LIVE) | Q(ended_at__gte=Now() - RECENT)
    rows = Job.objects.visible_to(user).filter(recent).select_related("case").order_by("-requested_at")[:SNAPSHOT_LIMIT]
    return [progress.job_state(job) for job in reversed(rows)]


def _case(user: User, request: SyncRequest, api_url: str) -> Case:
    """The case that is asked for; one that nobody knows is made, unless it is to be fetched."""
    if not request.up and not _is_known(user, request, api_url):
        raise NoSuchCaseError("There is no such case.")
    # A dry run changes nothing: the case goes by no name at its API yet.
    wanted = replace(request.case, uuid=None) if request.dry_run else request.case
    return cases.create(user=user, request=wanted, api_url=api_url, named=not request.dry_run)[0]


def _is_known(user: User, request: SyncRequest, api_url: str) -> bool:
    """Whether there is anything to fetch; another service's case API is asked by the worker."""
    wanted = request.case
    if api_url:
        return True
    rows = cases.visible(user=user).named(
        owner_group_id=wanted.owner_group_id, pid=wanted.pid, projectname=wanted.projectname
    )
    return rows.exists()


def _source(case: Case, request: SyncRequest) -> str:
    """The folder to copy first, as a path on this server; "" when the work goes on in the case's own folder."""
    if not request.up:
        return ""
    folder = places.source_folder(request.source)
    if case.copied_at is not None:
        return ""
    if folder is not None:
        if not os.path.isdir(folder):  # noqa: PTH112 - which says no of what cannot be looked at
            raise InvalidInputError({"source": ["is no folder on this server"]})
        return str(folder)
    if not os.path.isdir(places.local_folder(case)):  # noqa: PTH112
        raise InvalidInputError(
            {"source": ["lies below no source root (SYNC_SOURCE_ROOTS), and the case has no folder here"]}
        )
    return ""


def _source_of_copy(case: Case) -> str:
    """The folder that the case's first copy is made from, until that is whole; "" when it is gone."""
    if case.copied_at is not None:
        return ""
    newest = case.jobs.filter(up=True).exclude(source="").first()
    folder = places.source_folder(newest.source) if newest else None
    return str(folder) if folder is not None and os.path.isdir(folder) else ""  # noqa: PTH112


def _live(user: User, wanted: CaseRequest) -> Job | None:
    rows = Job.objects.live().filter(
        case__owner_group_id=wanted.owner_group_id, case__pid=wanted.pid, case__projectname=wanted.projectname
    )
    return rows.filter(case__in=cases.visible(user=user)).first()
