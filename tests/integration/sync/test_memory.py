"""A job of many files: a worker holds none of their states but those of the batches that it is at."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from sync import places
from sync.models import Case
from sync.models.job import JobState
from sync.tasks import batches, sync_case
from tests import battery
from tests.integration.sync.rows import new_case, new_job
from tests.integration.transfers.rows import new_user, use
from transfers.engine.tree.base import Content, Entry, md5_of
from transfers.engine.tree.local import LocalTree

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]
FEW = 1_000
MANY = battery.rounds(16_000, 100_000)
CONTENT = b"0123456789"
MD5 = md5_of([CONTENT])


class Endless:
    """A store of so many files of ten bytes, which it has no list of; what is written to it is gone."""

    checks_what_it_takes = True

    def __init__(self, count: int) -> None:
        self.count = count

    def entries(self) -> Iterator[Entry]:
        return (Entry(f"scan-{number:07}.dcm", size=len(CONTENT), version="1") for number in range(self.count))

    def read(self, _: Entry) -> Content:
        return Content(CONTENT, MD5, 1)

    def find(self, _: str) -> None:
        return None


class Sunk(LocalTree):
    """A local folder in which nothing stays."""

    def write(self, path: str, content: Content, replaced: Entry | None) -> Entry:  # noqa: ARG002
        return Entry(path, size=len(content.content), version="1", mtime_ns=1)


def peak_bytes(case: Case, monkeypatch: pytest.MonkeyPatch, count: int) -> int:
    """The most that a worker allocates for a job that brings so many files."""
    monkeypatch.setattr(places, "cloud_tree", lambda _: Endless(count))
    case.manifest.all().delete()
    job = new_job(case, up=False)
    tracemalloc.start()
    try:
        sync_case(str(job.pk))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    job.refresh_from_db()
    assert (job.state, job.files_done, case.manifest.count()) == (JobState.COMPLETED, count, count), job.error
    return peak


def test_more_files_take_no_more_memory(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(settings, sync_save_path=tmp_path / "cases", data_dir=tmp_path / "data")
    case = new_case(new_user("ann"))
    monkeypatch.setattr(batches, "ROWS_AT_ONCE", 5)  # what is held is bounded by this, and so filled by few files
    monkeypatch.setattr(places, "local_tree", lambda _: Sunk(tmp_path / "here", tmp_path / "staging"))
    peak_bytes(case, monkeypatch, 200)  # what is loaded and compiled once
    # The interpreter's own tables grow in leaps of megabytes now and then, so the least of several is what a job takes.
    few = min(peak_bytes(case, monkeypatch, FEW) for _ in range(2))
    assert any(peak_bytes(case, monkeypatch, MANY) < 1.6 * few for _ in range(5)), few
