"""Jobs whose places go away, refuse, or come back: what waits, what ends, and what is told."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from django.db import DatabaseError
from django.db.models.functions import Now
from pytest_django.fixtures import Settings

from sync import places
from sync.models import Batch, Case, Failure, Job
from sync.models.job import JobState, Phase
from sync.tasks import batches, events, noting, sync_case, trouble
from sync.tasks.applying import Applying, Shared
from sync.tasks.job import _Holding
from sync.tasks.legs import Leg
from tests.e2e import syncs
from tests.integration.sync.rows import new_case, new_job
from tests.integration.transfers.rows import new_user, use
from transfers import leases
from transfers.engine.base import StoredPart
from transfers.engine.copying import Watch
from transfers.engine.plan import Plan
from transfers.engine.tree.base import SMALL_BYTES, Content, Entry
from transfers.engine.tree.memory import MemoryTree
from transfers.errors import (
    Interruption,
    SinkError,
    SourceBusyError,
    SourceRefusedError,
    SourceUnreachableError,
    TransferError,
)
from transfers.progress import ProgressEvent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]
FILES = 30


class Store(MemoryTree):
    """A store that fails whatever is asked of it, but for what it is still to let pass."""

    failure: TransferError | None = None
    passing = 0
    asked = 0

    def _let_pass(self) -> None:
        with self.lock:
            self.asked += 1
            self.passing -= 1
        if self.failure is not None and self.passing < 0:
            raise self.failure

    def read(self, entry: Entry) -> Content:
        self._let_pass()
        return super().read(entry)

    def write(self, path: str, content: Content, replaced: Entry | None) -> Entry:
        self._let_pass()
        return super().write(path, content, replaced)


@pytest.fixture
def case(settings: Settings, tmp_path: Path) -> Case:
    """A case with files here."""
    use(settings, sync_save_path=tmp_path / "cases", data_dir=tmp_path / "data", sync_connections=2)
    case = new_case(new_user("ann"))
    for number in range(FILES):
        syncs.write(places.local_folder(case), f"{number:02}", f"file {number}", 1_500_000_000)
    return case


@pytest.fixture
def store(case: Case, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Its cloud."""
    store = Store()
    monkeypatch.setattr(places, "cloud_tree", lambda _: store)
    monkeypatch.setattr(trouble, "FIRST_PAUSE_SECONDS", 0.01)
    return store


def go_on(job: Job) -> Job:
    """Have a worker at the job now."""
    Job.objects.filter(pk=job.pk).update(next_attempt_at=Now())
    sync_case(str(job.pk))
    job.refresh_from_db()
    return job


@pytest.mark.parametrize("failure", [SinkError("HTTP 503"), SourceBusyError("503"), SourceUnreachableError("refused")])
def test_a_job_waits_for_a_store_that_is_away(case: Case, store: Store, failure: TransferError) -> None:
    store.failure, store.passing = failure, 12
    job = go_on(new_job(case))
    assert (job.state, job.error_code, job.fruitless_attempts) == (JobState.QUEUED, failure.code, 1)
    assert store.asked < 12 + 6 * trouble.ATTEMPTS, "and not every file is tried"
    assert 12 <= len(store.contents) < FILES
    store.failure = None
    job = go_on(job)
    assert (job.state, job.error_code, job.failures_count) == (JobState.COMPLETED, "", 0)
    assert (job.files_done, job.files_total, len(store.contents)) == (FILES, FILES, FILES)


def test_it_waits_longer_each_time_and_not_for_ever(case: Case, store: Store) -> None:
    store.failure = SourceUnreachableError("refused")
    job = new_job(case)
    for attempt in range(1, trouble.MAX_FRUITLESS + 1):
        job = go_on(job)
        assert (job.state, job.fruitless_attempts) == (JobState.QUEUED, attempt)
    job = go_on(job)
    assert (job.state, job.error) == (JobState.FAILED, "refused")


def test_what_was_brought_in_between_begins_the_count_anew(case: Case, store: Store) -> None:
    store.failure = SourceUnreachableError("refused")
    job = new_job(case)
    for passing in (0, 0, 3, 0):
        store.passing = passing
        job = go_on(job)
    assert (job.state, job.fruitless_attempts) == (JobState.QUEUED, 2)


def test_a_file_that_fails_always_is_a_failed_file_in_the_end(
    case: Case, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_is = Store.write

    def write(self: Store, path: str, content: Content, replaced: Entry | None) -> Entry:
        if path == "07":
            raise SinkError("HTTP 500")
        return as_it_is(self, path, content, replaced)

    monkeypatch.setattr(Store, "write", write)
    job = new_job(case)
    for _ in range(trouble.MAX_FRUITLESS + 2):
        job = go_on(job)
    assert job.state == JobState.COMPLETED_WITH_FAILURES
    assert dict(job.failures.values_list("path", "reason")) == {"07": "HTTP 500"}
    assert len(store.contents) == FILES - 1


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[ProgressEvent]:
    """What listeners are told."""
    told: list[ProgressEvent] = []
    monkeypatch.setattr(events, "publish", told.append)
    return told


def test_who_listens_hears_at_once_that_a_job_waits(case: Case, store: Store, told: list[ProgressEvent]) -> None:
    store.failure = SourceUnreachableError("refused")
    job = go_on(new_job(case))
    assert job.state == JobState.QUEUED
    bodies = [event.body for event in told]
    assert (bodies[-1]["state"], bodies[-1]["error"]["detail"]) == ("queued", "refused")
    assert bodies[-1]["revision"] > max(body["revision"] for body in bodies[:-1])


def test_and_that_its_worker_leaves(case: Case, store: Store, told: list[ProgressEvent]) -> None:
    held = Job.objects.claim(new_job(case).pk, leases.new_owner())
    assert held is not None
    holding = _Holding(held)
    holding.interrupt(Interruption.DRAINING)
    holding.run()
    assert [event.body["state"] for event in told] == ["running", "queued"]
    assert told[0].body["revision"] < told[1].body["revision"]
    assert go_on(held).state == JobState.COMPLETED
    assert len(store.contents) == FILES


@pytest.mark.parametrize("up", [True, False])
def test_keys_that_expire_end_the_job_with_words(case: Case, store: Store, *, up: bool) -> None:
    if not up:
        for number in range(FILES):
            store.put(f"new {number:02}", b"file")
    store.failure, store.passing = SourceRefusedError("the credentials have expired"), 5
    store.failure.is_for_all = True
    job = go_on(new_job(case, up=up))
    assert (job.state, job.error) == (JobState.FAILED, "the credentials have expired")
    assert store.asked < FILES, "nobody goes on asking"
    assert job.files_done == 5


def test_a_store_that_cannot_be_listed_is_waited_for(case: Case, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def entries() -> list[Entry]:
        raise SourceUnreachableError("refused")

    with monkeypatch.context() as patched:
        patched.setattr(store, "entries", entries)
        job = go_on(new_job(case))
        assert (job.state, job.error_code) == (JobState.QUEUED, "source_unreachable")
    assert go_on(job).state == JobState.COMPLETED


def test_a_large_file_on_its_way_shows_that_the_store_is_there(case: Case, store: Store) -> None:
    held = Job.objects.claim(new_job(case, phase=Phase.SYNCING).pk, leases.new_owner())
    assert held is not None
    Batch.objects.create(job=held, stage=1, number=1, actions=[])
    batch = Batch.objects.take(held, 1, leases.new_owner())
    assert batch is not None
    leg = Leg(held, Phase.SYNCING)
    shared = Shared(threading.Semaphore(), trouble.Trouble(leg.sides, is_patient=True))
    applying = Applying(leg, batch, shared)
    worked = []
    for moved in (0, 1, 1, 2):
        applying._work.began(Watch(Plan(10, 10), {1: StoredPart(1, moved)}))
        assert applying._beat()
        worked.append(shared.trouble.worked)
    assert worked == [0, 1, 1, 2]


class TestAnotherHolder:
    @pytest.mark.parametrize("is_large", [True, False])
    def test_what_was_brought_but_not_written_down_is_found_to_be_there(
        self, case: Case, store: Store, monkeypatch: pytest.MonkeyPatch, *, is_large: bool
    ) -> None:
        """As after a kill between the two."""
        if is_large:
            syncs.write(places.local_folder(case), "film", bytes(SMALL_BYTES + 1), 1_500_000_000)

        def killed(*_: object) -> None:
            raise DatabaseError

        with monkeypatch.context() as patched:
            patched.setattr(noting, "note", killed)
            job = go_on(new_job(case))
        assert job.state == JobState.RUNNING
        brought = store.contents
        assert brought
        assert not case.manifest.exists()
        store.failure = SinkError("nothing is to be written over")
        store.passing = FILES - len([path for path in brought if path != "film"])
        Job.objects.update(lease_expires_at=Now())
        job = go_on(job)
        assert (job.state, case.manifest.count()) == (JobState.COMPLETED, FILES + is_large), job.error
        assert list(store.contents) == sorted(path.name for path in places.local_folder(case).iterdir())

    def test_what_failed_of_a_way_is_told_anew_with_it(self, case: Case, tmp_path: Path) -> None:
        """The one before died in the second way, and this one goes both again."""
        job = new_job(case, state=JobState.RUNNING, phase=Phase.SYNCING, source=str(tmp_path))
        Failure.objects.create(job=job, phase=Phase.COPYING, path="copied by now", code="source_refused", reason="")
        Failure.objects.create(job=job, phase=Phase.SYNCING, path="synced by now", code="source_refused", reason="")
        _Holding(job)._clear(Leg(job, Phase.COPYING))
        assert [failure.path for failure in job.failures.all()] == ["synced by now"]
        _Holding(job)._clear(Leg(job, Phase.SYNCING))
        assert not job.failures.exists()

    def test_what_was_skipped_in_the_copy_stays_told(self, case: Case) -> None:
        """The copy is whole but for that, so nobody does it again."""
        job = new_job(case, state=JobState.RUNNING, phase=Phase.SYNCING)
        Failure.objects.create(job=job, phase=Phase.COPYING, path="link", code=batches.SKIPPED, reason="it is a link")
        _Holding(job)._clear(Leg(job, Phase.SYNCING))
        assert job.failures.get().path == "link"

    def test_who_helped_the_one_before_takes_nothing(self, case: Case) -> None:
        """Its heartbeats would find the job to be somebody else's."""
        job = new_job(case)
        helped = Job.objects.claim(job.pk, leases.new_owner())
        assert helped is not None
        Job.objects.update(lease_expires_at=Now())
        held = Job.objects.claim(job.pk, leases.new_owner())
        assert held is not None
        Batch.objects.create(job=job, stage=1, number=1, actions=[])
        assert Batch.objects.take(helped, 1, leases.new_owner()) is None
        assert Batch.objects.take(held, 1, leases.new_owner()) is not None
