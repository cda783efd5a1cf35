"""Whole jobs on a real store that refuses: expired keys, SlowDown, a policy, another clock, a bucket that is gone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from config.settings.values import Cloud
from sync import places
from sync.models import Case, Job
from sync.models.job import JobState
from sync.tasks import sync_case, trouble
from tests.e2e import syncs
from tests.e2e.syncs import tree_of
from tests.integration.sync.rows import REGION, new_case, new_job
from tests.integration.transfers.rows import new_user, use
from tests.s3 import BUCKET, Answer, S3Server
from tests.s3.fixtures import s3_credentials, swift
from tests.s3.refusing import Refuses, RefusingStore
from tests.s3.scripted import Asked, refusal
from transfers.engine.s3 import exchange

__all__ = ["s3_credentials", "swift"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]
FILES = 24
_numbers = itertools.count(1)


@pytest.fixture
def store(swift: S3Server) -> Iterator[RefusingStore]:
    with RefusingStore(swift).serving() as store:
        yield store


@pytest.fixture
def case(store: RefusingStore, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """A case with files here, in a region of that store."""
    clouds = {REGION: Cloud(bucket=BUCKET, endpoint_url=store.url)}
    use(settings, sync_save_path=tmp_path / "cases", sync_regions=clouds, sync_connections=2)
    monkeypatch.setattr(trouble, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(exchange, "FIRST_PAUSE_SECONDS", 0.001)
    case = new_case(new_user("ann"), s3keypath=f"refusing/{next(_numbers)}")
    for number in range(FILES):
        syncs.write(places.local_folder(case), f"{number:02}", f"file {number}", 1_500_000_000)
    return case


def go(case: Case, *, up: bool) -> Job:
    """A job of the case as a worker leaves it."""
    return go_on(new_job(case, up=up))


def go_on(job: Job) -> Job:
    Job.objects.filter(pk=job.pk).update(next_attempt_at=Now())
    sync_case(str(job.pk))
    job.refresh_from_db()
    return job


def after(count: int, answer: Answer, *methods: str) -> Refuses:
    """Refuse all requests of these methods but the first so many."""
    left = itertools.count(count, -1)
    return lambda asked: answer if asked.method in methods and next(left) <= 0 else None


def every(nth: int, answer: Answer) -> Refuses:
    """Refuse every so manyeth request."""
    numbers = itertools.count(1)
    return lambda _: None if next(numbers) % nth else answer


def of(path: str, answer: Answer) -> Refuses:
    """Refuse to read one object."""

    def refuses(asked: Asked) -> Answer | None:
        return answer if asked.method == "GET" and asked.path.endswith(f"/{path}") else None

    return refuses


def wait_out(case: Case, store: RefusingStore, *, up: bool) -> None:
    """Once the store lets everything through, one more job is all that it takes."""
    store.refuses = lambda _: None
    wanted = tree_of(places.local_folder(case)) if up else None
    job = go(case, up=up)
    assert (job.state, job.failures_count) == (JobState.COMPLETED, 0), job.error
    assert case.manifest.count() == FILES
    if wanted is not None:
        assert tree_of(places.local_folder(case)) == wanted


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("ExpiredToken", 400, "the credentials have expired"),
        ("NoSuchBucket", 404, "there is no such bucket"),
        ("RequestTimeTooSkewed", 403, "clock"),
    ],
)
@pytest.mark.parametrize("up", [True, False])
def test_what_is_refused_to_all_ends_the_job_with_words(
    case: Case, store: RefusingStore, code: str, status: int, words: str, *, up: bool
) -> None:
    if not up:
        assert go(case, up=True).state == JobState.COMPLETED
        for path in places.local_folder(case).iterdir():
            path.unlink()
    before = store.asked
    store.refuses = after(8, refusal(status, code), "PUT" if up else "GET")
    job = go(case, up=up)
    assert (job.state, words in job.error) == (JobState.FAILED, True), job.error
    assert store.asked - before < FILES, "nobody goes on asking"
    assert 0 < job.files_done < FILES
    wait_out(case, store, up=up)
    assert len(tree_of(places.local_folder(case))) == FILES


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId"])
@pytest.mark.parametrize("up", [True, False])
def test_a_listing_that_is_refused(case: Case, store: RefusingStore, code: str, *, up: bool) -> None:
    store.refuses = after(0, refusal(403, code), "GET")
    job = go(case, up=up)
    assert (job.state, job.error_code) == (JobState.FAILED, "source_refused")
    assert code in job.error
    assert BUCKET in job.error
    wait_out(case, store, up=True)


def test_slow_down_now_and_then_costs_no_file(case: Case, store: RefusingStore) -> None:
    store.refuses = every(3, refusal(503, "SlowDown"))
    job = go(case, up=True)
    assert (job.state, job.files_done) == (JobState.COMPLETED, FILES), job.error


@pytest.mark.parametrize("answer", [refusal(503, "SlowDown"), refusal(500, "InternalError")], ids=["slow", "broken"])
def test_slow_down_for_long_is_waited_for(case: Case, store: RefusingStore, answer: Answer) -> None:
    store.refuses = after(8, answer, "PUT")
    job = go(case, up=True)
    assert (job.state, job.fruitless_attempts) == (JobState.QUEUED, 1)
    assert f"HTTP {answer.status}" in job.error
    store.refuses = lambda _: None
    job = go_on(job)
    assert (job.state, job.files_done, job.files_total) == (JobState.COMPLETED, FILES, FILES)


@pytest.mark.parametrize("answer", [refusal(403, "AccessDenied"), refusal(403, "InvalidObjectState")])
def test_one_object_that_may_not_be_read_is_one_failure(case: Case, store: RefusingStore, answer: Answer) -> None:
    assert go(case, up=True).state == JobState.COMPLETED
    for path in places.local_folder(case).iterdir():
        path.unlink()
    store.refuses = of("07", answer)
    job = go(case, up=False)
    assert job.state == JobState.COMPLETED_WITH_FAILURES
    assert list(job.failures.values_list("path", flat=True)) == ["07"]
    assert len(tree_of(places.local_folder(case))) == FILES - 1
    wait_out(case, store, up=False)
