"""A job of many files: a worker holds none of their states but those of the batches that it is at."""

from __future__ import annotations

import threading
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
MANY = battery.rounds(5_000, 100_000)
LEAST_BYTES = 120
"""A file's `Entry` alone takes 170. Which batches are at work when it is looked at makes 0.3 MB of difference."""
LOOK_EVERY = 250
CONTENT = b"0123456789"
MD5 = md5_of([CONTENT])
OURS = [tracemalloc.Filter(inclusive=True, filename_pattern=f"*/{name}/*") for name in ("sync", "transfers")]


class Held:
    """The most that our own code has; the interpreter's tables, which grow in leaps of megabytes, are not ours."""

    def __init__(self) -> None:
        self.most = 0
        self._looks = 0
        self._lock = threading.Lock()

    def look(self) -> None:
        """Look now and then."""
        with self._lock:
            self._looks += 1
            if self._looks % LOOK_EVERY == 0:
                snapshot = tracemalloc.take_snapshot().filter_traces(OURS)
                self.most = max(self.most, sum(found.size for found in snapshot.statistics("filename")))


class Endless:
    """A store of so many files of ten bytes, which it has no list of."""

    checks_what_it_takes = True

    def __init__(self, count: int, held: Held) -> None:
        self.count = count
        self.held = held

    def entries(self) -> Iterator[Entry]:
        for number in range(self.count):
            self.held.look()
            yield Entry(f"scan-{number:07}.dcm", size=len(CONTENT), version="1")

    def read(self, _: Entry) -> Content:
        self.held.look()
        return Content(CONTENT, MD5, 1)

    def find(self, _: str) -> None:
        return None


class Sunk(LocalTree):
    """A local folder in which nothing stays."""

    def write(self, path: str, content: Content, replaced: Entry | None) -> Entry:  # noqa: ARG002
        return Entry(path, size=len(content.content), version="1", mtime_ns=1)


def most_held_bytes(case: Case, monkeypatch: pytest.MonkeyPatch, count: int) -> int:
    """The most that a worker holds for a job that brings so many files."""
    held = Held()
    monkeypatch.setattr(places, "cloud_tree", lambda _: Endless(count, held))
    case.manifest.all().delete()
    job = new_job(case, up=False)
    tracemalloc.start()
    try:
        sync_case(str(job.pk))
    finally:
        tracemalloc.stop()
    job.refresh_from_db()
    assert (job.state, job.files_done, case.manifest.count()) == (JobState.COMPLETED, count, count), job.error
    return held.most


def test_more_files_take_no_more_memory(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(settings, sync_save_path=tmp_path / "cases", data_dir=tmp_path / "data")
    case = new_case(new_user("ann"))
    monkeypatch.setattr(batches, "ROWS_AT_ONCE", 5)  # what is held is bounded by this, and so filled by few files
    monkeypatch.setattr(places, "local_tree", lambda _: Sunk(tmp_path / "here", tmp_path / "staging"))
    few = most_held_bytes(case, monkeypatch, FEW)
    many = most_held_bytes(case, monkeypatch, MANY)
    assert many - few < LEAST_BYTES * (MANY - FEW), (few, many)
