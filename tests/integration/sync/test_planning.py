"""Planning a case of many files: it takes a while, in which others write to the database, and want it to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.db.models import F
from pytest_django.fixtures import Settings

from sync import places
from sync.models import Case, Job, ManifestEntry
from sync.models.job import JobState
from sync.services import job as jobs
from sync.tasks import batches, sync_case
from tests.integration.sync.rows import new_case, new_job
from tests.integration.transfers.rows import new_user, use
from transfers.engine.tree.base import Entry, Kind
from transfers.engine.tree.memory import MemoryTree

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]
COUNT = 5_000
ENDLESS = 20_000
"""Milliseconds, too."""


@pytest.fixture
def case(settings: Settings, tmp_path: Path) -> Case:
    use(settings, sync_save_path=tmp_path / "cases", data_dir=tmp_path / "data", heartbeat_seconds=0.1)
    case = new_case(new_user("ann"))
    for folder in (places.local_folder(case), places.cloud_folder(case)):
        assert folder is not None
        folder.mkdir(parents=True)
    return case


def path(number: int) -> str:
    return f"scan-{number:07}.dcm"


def remember(case: Case, count: int) -> None:
    """Have the manifest know so many files, each in its first version on both sides."""
    facts = {"case": case, "size": 1, "local_version": "1", "remote_version": "1"}
    ManifestEntry.objects.note(ManifestEntry(path=path(number).encode(), **facts) for number in range(count))


class Listing(MemoryTree):
    """A place that lists so many files, of one version, and is told where it has come to."""

    def __init__(self, count: int, version: str = "1") -> None:
        super().__init__()
        self._count, self._version = count, version

    def entries(self) -> Iterator[Entry]:
        for number in range(self._count):
            self.at(number)
            yield Entry(path(number), size=1, version=self._version)

    def at(self, number: int) -> None:
        """Do what is to be done meanwhile."""


class Written(Listing):
    """While it lists, somebody else writes to the database now and then, as heartbeats do."""

    def at(self, number: int) -> None:
        if number % 100 == 0:
            writing = threading.Thread(target=self._write, args=[number])
            writing.start()
            writing.join()

    @staticmethod
    def _write(number: int) -> None:
        User.objects.update(last_name=str(number))
        connections.close_all()


def test_a_plan_is_written_while_others_write(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite lets nobody write who is in the midst of reading what was there before somebody else wrote."""
    monkeypatch.setattr(batches, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(places, "cloud_tree", lambda _: Written(COUNT, version="2"))
    remember(case, COUNT)
    job = new_job(case, up=False, dry_run=True)
    sync_case(str(job.pk))
    job.refresh_from_db()
    assert job.state == JobState.COMPLETED, job.error
    rows = job.batches.order_by("stage", "number").values_list("actions", flat=True)
    assert [each["path"] for actions in rows for each in actions] == [path(number) for number in range(COUNT)]


class Endless(Listing):
    """A slow place that has not come to its end for long, of folders that are on both sides: nothing is to be done."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__(count=ENDLESS)
        self.listed = 0
        self._happens = happens

    def entries(self) -> Iterator[Entry]:
        for entry in super().entries():
            yield replace(entry, path=f"{entry.path}/", kind=Kind.FOLDER, is_empty=False)

    def at(self, number: int) -> None:
        self.listed = number
        if number == 100:
            self._happens()
        time.sleep(0.001)


def stop(job: Job) -> None:
    jobs.stop_job(job=job)


def take_over(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(lease_epoch=F("lease_epoch") + 1)


@pytest.mark.parametrize(("happens", "state"), [(stop, JobState.STOPPED), (take_over, JobState.RUNNING)])
def test_whoever_only_lists_sees_that_it_is_to_end(
    case: Case, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Job], None], state: JobState
) -> None:
    job = new_job(case)
    tree = Endless(lambda: happens(job))
    monkeypatch.setattr(places, "local_tree", lambda _: tree)
    monkeypatch.setattr(places, "cloud_tree", lambda _: Endless(lambda: None))
    sync_case(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.batches.count()) == (state, 0)
    assert tree.listed < ENDLESS - 1
