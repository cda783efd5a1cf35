"""Jobs over what is hard on a disk: files that cannot be read, that grow, names that are none, a disk that is full."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.fixtures import Settings

from sync import places
from sync.models import Case, Job
from sync.models.job import JobState
from sync.services import case as cases
from sync.tasks import sync_case
from tests.e2e import syncs
from tests.e2e.syncs import tree_of
from tests.e2e.test_full_disk import small_disk
from tests.integration.sync.rows import new_case, new_job
from tests.integration.transfers.rows import new_user, use
from transfers.engine.base import Reader, Source
from transfers.engine.tree.base import SMALL_BYTES, Content, Entry, Tree
from transfers.engine.tree.memory import MemoryTree
from transfers.errors import SourceRefusedError

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]
MIB = 2**20
OLD = 1_500_000_000


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def case(ann: User, settings: Settings, tmp_path: Path) -> Case:
    use(settings, sync_save_path=tmp_path / "cases", data_dir=tmp_path / "data")
    return new_case(ann)


def local(case: Case) -> Path:
    return places.local_folder(case)


def cloud(case: Case) -> Path:
    return Path(cases.cloud(case=case))


def go(case: Case, *, up: bool = True) -> Job:
    job = new_job(case, up=up)
    sync_case(str(job.pk))
    job.refresh_from_db()
    return job


class Around:
    """A tree to which something is done, or of which something is refused, whenever a file of it is read."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def __getattr__(self, name: str) -> object:
        return getattr(self._tree, name)

    def before(self, path: str) -> None:
        """Do it."""

    def read(self, entry: Entry) -> Content:
        self.before(entry.path)
        return self._tree.read(entry)

    def source(self, entry: Entry) -> Source:
        return _Before(self, entry.path, self._tree.source(entry))


class _Before:
    def __init__(self, tree: Around, path: str, source: Source) -> None:
        self._tree, self._path, self._source = tree, path, source
        self.stat = source.stat

    @contextmanager
    def open(self, offset: int, end: int | None) -> Iterator[Reader]:
        self._tree.before(self._path)
        with self._source.open(offset, end) as reader:
            yield reader


class Unreadable(Around):
    """Root may read anything: no test run by it has a file that it may not."""

    def before(self, path: str) -> None:
        if "secret" in path:
            raise SourceRefusedError(f"{path}: Permission denied")


class Growing(Around):
    """Somebody writes to files as they are read, so many times."""

    def __init__(self, tree: Tree, root: Path, times: int) -> None:
        super().__init__(tree)
        self._root, self.times, self._lock = root, times, threading.Lock()

    def before(self, path: str) -> None:
        with self._lock:
            if self.times and "growing" in path:
                self.times -= 1
                with (self._root / path).open("ab") as file:
                    file.write(b"and more")


@pytest.fixture
def unreadable(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Unreadable(places.local_tree(case))
    monkeypatch.setattr(places, "local_tree", lambda _: tree)


@pytest.mark.usefixtures("unreadable")
def test_files_that_cannot_be_read_are_named_and_all_others_come(case: Case) -> None:
    for number in range(15):  # more than would make the place suspicious
        syncs.write(local(case), f"secret/{number}", "x", OLD)
    syncs.write(local(case), "large secret", bytes(SMALL_BYTES + 1), OLD)
    for number in range(15):
        syncs.write(local(case), f"z/{number}", "x", OLD)
    job = go(case)
    assert job.state == JobState.COMPLETED_WITH_FAILURES
    told = dict(job.failures.values_list("path", "reason"))
    assert set(told) == {"large secret", *(f"secret/{number}" for number in range(15))}
    assert all("Permission denied" in reason for reason in told.values())
    assert set(tree_of(cloud(case))) == {f"z/{number}" for number in range(15)}
    assert (job.files_done, job.files_total, job.failures_count) == (15, 31, 16)


@pytest.mark.usefixtures("unreadable")
def test_large_files_that_cannot_be_read_take_no_turns_from_those_that_can(case: Case) -> None:
    """Each has several parts, and threads that fail at once: others are in the midst of theirs."""
    for number in range(12):
        syncs.write(local(case), f"{number:02} {'secret' if number % 3 else 'film'}", bytes(3 * SMALL_BYTES), OLD)
    job = go(case)
    assert (job.state, job.failures_count) == (JobState.COMPLETED_WITH_FAILURES, 8), job.error
    assert set(tree_of(cloud(case))) == {f"{number:02} film" for number in range(0, 12, 3)}


@pytest.mark.parametrize("size", [10, SMALL_BYTES + 10])
@pytest.mark.parametrize("times", [1, 100])
def test_a_file_that_grows_while_it_is_read(case: Case, monkeypatch: pytest.MonkeyPatch, size: int, times: int) -> None:
    """What grows but once comes as it is then; what keeps growing is told, and never comes in halves."""
    syncs.write(local(case), "growing", os.urandom(size), OLD)
    syncs.write(local(case), "other", "other", OLD)
    tree = Growing(places.local_tree(case), local(case), times)
    monkeypatch.setattr(places, "local_tree", lambda _: tree)
    job = go(case)
    if times == 1:
        assert (job.state, tree.times) == (JobState.COMPLETED, 0)
        assert tree_of(cloud(case)) == tree_of(local(case))
        return
    assert job.state == JobState.COMPLETED_WITH_FAILURES
    assert dict(job.failures.values_list("path", "reason")) == {"growing": "it keeps changing while it is read"}
    assert set(tree_of(cloud(case))) == {"other"}


def test_a_key_with_a_null_character_is_told_so_that_every_database_can_keep_it(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud(case).mkdir(parents=True)
    store = MemoryTree()
    store.put("good", b"good")
    store.put_problem("nul\0 in it", "its name has a NUL character in it")
    monkeypatch.setattr(places, "cloud_tree", lambda _: store)
    job = go(case, up=False)
    assert job.state == JobState.COMPLETED_WITH_FAILURES
    assert dict(job.failures.values_list("path", "reason")) == {"nul\\0 in it": "its name has a NUL character in it"}
    assert set(tree_of(local(case))) == {"good"}
    dry = new_job(case, up=False, dry_run=True)
    sync_case(str(dry.pk))
    dry.refresh_from_db()
    assert dry.state == JobState.COMPLETED, dry.error
    assert [each["path"] for batch in dry.batches.all() for each in batch.actions] == ["nul\\0 in it"]


@pytest.mark.parametrize("sizes", [[MIB] * 40, [16 * MIB, 40 * MIB]], ids=["many", "large"])
def test_a_full_disk_ends_the_job_and_nothing_is_there_in_halves(
    case: Case, settings: Settings, tmp_path: Path, sizes: list[int]
) -> None:
    use(settings, sync_save_path=tmp_path / "small/cases", data_dir=tmp_path / "data")
    for number, size in enumerate(sizes):
        syncs.write(cloud(case), f"{number:02}", os.urandom(size), OLD)
    wanted = tree_of(cloud(case))
    with small_disk(tmp_path / "small"):
        job = go(case, up=False)
        assert (job.state, job.error_code) == (JobState.FAILED, "out_of_space"), job.error
        assert "no space is left" in job.error
        there = tree_of(local(case))
        assert len(there) < len(wanted)
        assert there.items() <= wanted.items()
    use(settings, sync_save_path=tmp_path / "large/cases", data_dir=tmp_path / "data")
    assert go(case, up=False).state == JobState.COMPLETED
    assert tree_of(local(case)) == wanted
