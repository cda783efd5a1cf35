"""What the batches of a large file's parts leave for whoever finishes it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from sync.models import Batch, Job
from sync.models.job import JobState
from sync.tasks.batches import BRING, FINISH
from tests.integration.sync.rows import new_case, new_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def job() -> Job:
    return new_job(new_case(User.objects.create_user("bob")), state=JobState.RUNNING)


def batch(job: Job, number: int, stage: int = BRING, parts: tuple[int, int] | None = None, md5s: str = "") -> Batch:
    """A batch that is done."""
    first, last = parts or (None, None)
    facts = {"first_part": first, "last_part": last, "part_md5s": list(md5s), "is_done": True}
    return Batch.objects.create(job=job, number=number, stage=stage, actions=[], **facts)


def test_the_md5s_of_all_parts_in_order(job: Job) -> None:
    batch(job, 1, parts=(1, 2), md5s="xy")  # of another file
    batch(job, 2, FINISH)
    batch(job, 3)
    batch(job, 4, parts=(1, 2), md5s="ab")
    batch(job, 5, parts=(3, 4), md5s="cd")
    batch(job, 6, parts=(5, 5), md5s="e")
    finishing = batch(job, 7, FINISH)
    batch(job, 8, parts=(1, 1), md5s="z")
    assert Batch.objects.parts_before(finishing) == [*"abcde"]


def test_none_where_a_run_has_not_all_of_its_own(job: Job) -> None:
    batch(job, 1, parts=(1, 2), md5s="ab")
    batch(job, 2, parts=(3, 4), md5s="c")
    assert Batch.objects.parts_before(batch(job, 3, FINISH)) == []


def test_none_where_a_run_is_missing(job: Job) -> None:
    batch(job, 2, parts=(3, 4), md5s="cd")
    assert Batch.objects.parts_before(batch(job, 3, FINISH)) == []
    batch(job, 1, FINISH)
    assert Batch.objects.parts_before(batch(job, 4, FINISH)) == []


def test_not_those_of_another_job(job: Job) -> None:
    batch(new_job(new_case(job.user), state=JobState.RUNNING), 1, parts=(1, 2), md5s="ab")
    assert Batch.objects.parts_before(batch(job, 2, FINISH)) == []
