"""Cases and jobs for tests, in any state that the database allows."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from knox.models import AuthToken

from sync.models import Batch, Case, Failure, Job
from sync.models.job import LIVE, JobState
from tests.integration.transfers.rows import in_seconds
from transfers import leases

REGION = "ap-northeast-2"

_numbers = itertools.count(1)


def client_of(user: User) -> Client:
    """A client with a token of the user's."""
    _, token = AuthToken.objects.create(user)  # type: ignore[no-untyped-call]
    return Client(headers={"Authorization": f"Token {token}"})


def new_case(user: User, **facts: Any) -> Case:
    """A case with a name and a prefix of its own."""
    number = next(_numbers)
    values = {
        "uuid": uuid.uuid4(),
        "owner_group_id": "group",
        "lab_id": "lab",
        "pid": "P-0001",
        "projectname": f"case-{number}",
        "projecttype": "TEST-PROJECT",
        "s3keypath": f"userdata/group/lab/P-0001/case-{number}",
        "region": REGION,
        **facts,
    }
    return Case.objects.create(user=user, **values)


def new_job(case: Case, **facts: Any) -> Job:
    """A job that is queued, unless the facts say otherwise."""
    state = facts.get("state", JobState.QUEUED)
    if state == JobState.RUNNING:
        facts = {"lease_epoch": 1, "lease_owner": leases.new_owner(), "lease_expires_at": in_seconds(60), **facts}
    if state not in LIVE:
        facts = {"started_at": in_seconds(-60), "ended_at": Now(), **facts}
    job = Job.objects.create(case=case, **{"user": case.user, "up": True, **facts})
    job.refresh_from_db()
    return job


def new_failures(job: Job, count: int) -> None:
    """So many files that could not be brought."""
    rows = [Failure(job=job, path=f"scan/{n}", code="skipped", reason=f"reason {n}") for n in range(count)]
    Failure.objects.bulk_create(rows)


def new_plan(job: Job, count: int, *, at_once: int = 200) -> list[dict[str, Any]]:
    """So many actions of a dry run, in the batches that a plan comes in; returned in the order of work."""
    actions = [{"action": "upload", "path": f"übung/{n}.stl", "size": n, "reason": "new"} for n in range(count)]
    runs = [actions[start : start + at_once] for start in range(0, count, at_once)]
    rows = [Batch(job=job, stage=1, number=number, actions=run) for number, run in enumerate(runs, 1)]
    Batch.objects.bulk_create(rows, batch_size=50)
    return actions
