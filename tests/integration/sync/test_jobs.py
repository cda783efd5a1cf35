"""Whole jobs as a worker does them, on a folder that is the cloud: what is remembered of them afterwards."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.db.models.functions import Now
from pytest_django.fixtures import Settings
from structlog.testing import capture_logs

from sync import apply, places
from sync.apply import Sides
from sync.models import Batch, Case, Job
from sync.models.job import JobState, Phase
from sync.plan import Action, Stage, Verb, to_json
from sync.services import case as cases
from sync.tasks import batches, sync_case, trouble
from sync.tasks.job import _Holding, help_sync
from sync.tasks.legs import Leg
from tests.e2e import syncs
from tests.e2e.syncs import tree_of
from tests.integration.sync.rows import new_case, new_job
from tests.integration.transfers.rows import new_user, use
from transfers import leases
from transfers.engine.base import Reader, Source
from transfers.engine.tree import base
from transfers.engine.tree.base import SMALL_BYTES, Entry, Tree
from transfers.engine.tree.memory import MemoryTree
from transfers.engine.tree.names import is_conflict_path
from transfers.errors import Interrupted, SourceInterruptedError
from transfers.models import StoredFile

_times = itertools.count(1_600_000_001, 3)
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def case(ann: User, settings: Settings, tmp_path: Path) -> Case:
    """A case without files, whose cloud is a folder."""
    use(settings, sync_save_path=tmp_path / "cases", data_dir=tmp_path / "data")
    case = new_case(ann)
    local(case).mkdir(parents=True)
    cloud(case).mkdir(parents=True)
    return case


def local(case: Case) -> Path:
    return places.local_folder(case)


def cloud(case: Case) -> Path:
    return Path(cases.cloud(case=case))


def write(root: Path, path: str, content: str) -> None:
    """Write a file that is old enough for its version to be sure, with a time of its own."""
    syncs.write(root, path, content, next(_times))


def run(case: Case, *, up: bool, delete: bool = False, dry_run: bool = False) -> Job:
    """Do a job to its end."""
    job = new_job(case, up=up, delete_missing=delete, dry_run=dry_run)
    sync_case(str(job.pk))
    job.refresh_from_db()
    return job


def synced(case: Case, *, up: bool, delete: bool = False) -> Job:
    """Do a job, which completes and leaves nothing to do."""
    job = run(case, up=up, delete=delete)
    assert job.state == JobState.COMPLETED, (job.error, list(job.failures.values("path", "reason")))
    assert plan(case, up=up, delete=delete) == []
    return job


def plan(case: Case, *, up: bool, delete: bool = False) -> list[str]:
    """What a dry run tells."""
    job = run(case, up=up, delete=delete, dry_run=True)
    assert job.state == JobState.COMPLETED, job.error
    rows = job.batches.order_by("stage", "number").values_list("actions", flat=True)
    return [f"{action['action']} {action['path']}" for actions in rows for action in actions]


def known(case: Case) -> set[str]:
    """The paths in the manifest."""
    return {entry.name for entry in case.manifest.all()}


def stored(case: Case) -> set[str]:
    """The paths of the case's stored files."""
    return {str(Path(path).relative_to(local(case))) for path in cases.stored(case=case).values_list("path", flat=True)}


def failures(job: Job) -> dict[str, str]:
    return dict(job.failures.values_list("path", "reason"))


class TestForgetting:
    def test_a_folder_is_forgotten_without_what_is_below_it(self, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where a store has lost the folder's mark, a file in it is still known, and can be told to be gone."""
        write(local(case), "y", "y")
        (local(case) / "d").mkdir()
        synced(case, up=True)
        write(cloud(case), "d/x", "x")
        synced(case, up=False)
        assert known(case) == {"d/", "d/x", "y"}
        shutil.rmtree(local(case) / "d")
        real = places.cloud_tree
        monkeypatch.setattr(places, "cloud_tree", lambda case: Lagging(real(case), {"d/"}))
        synced(case, up=True)
        assert known(case) == {"d/x", "y"}
        synced(case, up=True, delete=True)
        assert (known(case), set(tree_of(cloud(case)))) == ({"y"}, {"y"})

    def test_a_file_that_is_gone_on_both_sides_is_stored_no_longer(self, case: Case) -> None:
        for name in ("x", "y"):
            write(local(case), name, name)
        synced(case, up=True)
        assert stored(case) == {"x", "y"}
        for root in (local(case), cloud(case)):
            (root / "x").unlink()
        synced(case, up=True)
        assert (known(case), stored(case)) == ({"y"}, {"y"})

    def test_a_folder_that_is_gone_takes_no_file_of_its_name_along(self, case: Case) -> None:
        (local(case) / "d").mkdir()
        write(local(case), "y", "y")
        synced(case, up=True)
        for root in (local(case), cloud(case)):
            (root / "d").rmdir()
        write(local(case), "d", "a file now")
        synced(case, up=True)
        assert (known(case), stored(case)) == ({"d", "y"}, {"d", "y"})


class TestSettingAside:
    @pytest.fixture
    def in_the_way(self, case: Case) -> Case:
        """The cloud has a file where the local folder has a folder, with files of which one is new."""
        for name in ("d/x", "d/e/x", "D/x", "d.x", "y"):
            write(local(case), name, name)
        synced(case, up=True)
        assert stored(case) == {"d/x", "d/e/x", "D/x", "d.x", "y"}
        write(local(case), "d/new", "new")
        for name in ("d/x", "d/e/x"):
            (cloud(case) / name).unlink()
        (cloud(case) / "d/e").rmdir()
        (cloud(case) / "d").rmdir()
        write(cloud(case), "d", "a file")
        return case

    def test_all_that_was_in_a_folder_is_stored_no_longer(self, in_the_way: Case) -> None:
        case = in_the_way
        synced(case, up=False)
        assert stored(case) == known(case) == {"d", "D/x", "d.x", "y"}
        kept = {path for path in tree_of(local(case)) if is_conflict_path(path.partition("/")[0], "d")}
        assert {path.partition("/")[2] for path in kept} == {"x", "e/x", "new"}

    def test_what_it_became_is_stored_with_the_next_sync_up(self, in_the_way: Case) -> None:
        case = in_the_way
        synced(case, up=False)
        synced(case, up=True)
        assert stored(case) == known(case) == set(tree_of(local(case))) == set(tree_of(cloud(case)))
        assert len(stored(case)) == 7

    def test_nothing_of_another_case_is_let_go(self, in_the_way: Case, ann: User) -> None:
        case = in_the_way
        other = new_case(ann, projectname=case.projectname.upper())
        write(local(other), "d/x", "x")
        cloud(other).mkdir(parents=True)
        synced(other, up=True)
        synced(case, up=False)
        assert stored(other) == {"d/x"}


class TestEmptyFolders:
    @pytest.mark.parametrize("up", [True, False])
    def test_one_that_both_have_is_known_from_then_on(self, case: Case, *, up: bool) -> None:
        for root in (local(case), cloud(case)):
            (root / "d/e").mkdir(parents=True)
            write(root, "y", "y")
        assert plan(case, up=up) == ["compare y"]
        job = synced(case, up=up)
        assert (job.files_total, job.files_done, known(case)) == (1, 1, {"d/e/", "y"})
        again = synced(case, up=up)
        assert (again.files_total, known(case)) == (0, {"d/e/", "y"})
        winner, loser = (local(case), cloud(case)) if up else (cloud(case), local(case))
        (winner / "d/e").rmdir()
        (winner / "d").rmdir()
        assert plan(case, up=up, delete=True) == ["delete d/e/"]
        synced(case, up=up, delete=True)
        assert set(tree_of(loser)) == known(case) == {"y"}

    def test_a_dry_run_remembers_nothing(self, case: Case) -> None:
        for root in (local(case), cloud(case)):
            (root / "e").mkdir()
        assert plan(case, up=True) == []
        assert known(case) == set()

    def test_the_first_copy_remembers_nothing(self, case: Case, settings: Settings, tmp_path: Path) -> None:
        """The manifest is that of the local folder and the cloud."""
        source = tmp_path / "source"
        use(settings, sync_source_roots=[tmp_path])
        for root in (source, local(case)):
            (root / "e").mkdir(parents=True)
        write(source, "y", "y")
        job = new_job(case, up=True, source=str(source))
        cloud(case).rmdir()
        cloud(case).write_text("no folder")
        sync_case(str(job.pk))
        job.refresh_from_db()
        assert job.state == JobState.FAILED
        assert set(tree_of(local(case))) == {"e/", "y"}
        assert known(case) == set()


class Lagging:
    """A tree whose listing does not have yet what was just put there."""

    def __init__(self, tree: Tree, unlisted: set[str]) -> None:
        self._tree, self._unlisted = tree, unlisted

    def __getattr__(self, name: str) -> object:
        return getattr(self._tree, name)

    def entries(self) -> list[Entry]:
        return [entry for entry in self._tree.entries() if entry.path not in self._unlisted]


class TestAbsence:
    @pytest.mark.parametrize("up", [True, False])
    def test_what_a_listing_does_not_have_yet_is_not_deleted(
        self, case: Case, monkeypatch: pytest.MonkeyPatch, *, up: bool
    ) -> None:
        for name in ("fresh", "gone", "y"):
            write(local(case), name, name)
        synced(case, up=True)
        winner, loser = (local(case), cloud(case)) if up else (cloud(case), local(case))
        (winner / "gone").unlink()
        where = "local_tree" if up else "cloud_tree"
        real = getattr(places, where)
        with monkeypatch.context() as patched:
            patched.setattr(places, where, lambda case: Lagging(real(case), {"fresh"}))
            job = run(case, up=up, delete=True)
        assert job.state == JobState.COMPLETED_WITH_FAILURES
        assert list(failures(job)) == ["fresh"]
        assert "its listing did not tell" in failures(job)["fresh"]
        assert set(tree_of(loser)) == known(case) == {"fresh", "y"}
        synced(case, up=up, delete=True)
        assert set(tree_of(loser)) == {"fresh", "y"}


class TestWhatIsNotThere:
    """A folder that is missing is not taken for an empty one: its disk may not be mounted."""

    @pytest.mark.parametrize("dry_run", [True, False])
    @pytest.mark.parametrize("up", [True, False])
    def test_a_winner_that_had_files(self, case: Case, *, up: bool, dry_run: bool) -> None:
        write(local(case), "x", "x")
        synced(case, up=True)
        winner, loser = (local(case), cloud(case)) if up else (cloud(case), local(case))
        shutil.rmtree(winner)
        job = run(case, up=up, dry_run=dry_run)
        assert (job.state, job.error_code) == (JobState.FAILED, "folder_unusable")
        assert "not be mounted" in job.error
        assert case.pid not in job.error
        assert set(tree_of(loser)) == known(case) == {"x"}
        synced(case, up=not up)
        assert set(tree_of(winner)) == {"x"}

    @pytest.mark.parametrize("up", [True, False])
    def test_one_that_never_had_any_is_empty(self, case: Case, *, up: bool) -> None:
        (local(case) if up else cloud(case)).rmdir()
        synced(case, up=up)

    @pytest.mark.parametrize("dry_run", [True, False])
    def test_a_source_is_copied_when_it_is_back(
        self, case: Case, settings: Settings, tmp_path: Path, *, dry_run: bool
    ) -> None:
        use(settings, sync_source_roots=[tmp_path])
        job = new_job(case, up=True, source=str(tmp_path / "source"), dry_run=dry_run)
        sync_case(str(job.pk))
        job.refresh_from_db()
        assert (job.state, job.error_code) == (JobState.FAILED, "folder_unusable")
        write(tmp_path / "source", "x", "x")
        job = new_job(case, up=True, source=str(tmp_path / "source"))
        sync_case(str(job.pk))
        assert set(tree_of(cloud(case))) == {"x"}


class TestDryRuns:
    def test_of_a_first_copy_tells_what_the_local_folder_has_already(
        self, case: Case, settings: Settings, tmp_path: Path
    ) -> None:
        use(settings, sync_source_roots=[tmp_path])
        source = tmp_path / "source"
        for root in (source, local(case)):
            syncs.write(root, "same", "same", 1_500_000_000)
        write(source, "d/new", "new")
        write(source, "other", "longer")
        write(local(case), "other", "other")
        write(local(case), "old", "old")
        write(local(case), "empty/not here", "x")
        (source / "empty").mkdir()
        told = {}
        for dry_run in (True, False):
            job = new_job(case, up=True, source=str(source), dry_run=dry_run)
            sync_case(str(job.pk))
            if dry_run:
                rows = job.batches.order_by("stage", "number").values_list("actions", flat=True)
                told = {(each["action"], each["path"]) for actions in rows for each in actions}
        here = {("copy", "d/new"), ("conflict", "other")}
        assert {path for path in tree_of(cloud(case)) if not is_conflict_path(path, "other")} == {
            path for action, path in told - here if action == "upload"
        }
        assert here < told


class TestFileAndFolder:
    """A store may have a file and a folder of one name; a disk has one of them."""

    @pytest.fixture
    def store(self, monkeypatch: pytest.MonkeyPatch) -> MemoryTree:
        store = MemoryTree()
        store.put("good", b"good")
        store.put("y", b"y")
        monkeypatch.setattr(places, "cloud_tree", lambda _: store)
        return store

    def _brought(self, case: Case, skipped: str) -> set[str]:
        """What comes down, twice alike; the other one is told."""
        for _ in range(2):
            job = run(case, up=False)
            assert job.state == JobState.COMPLETED_WITH_FAILURES
            assert set(failures(job)) == {skipped}
            assert "of that name" in failures(job)[skipped]
        return set(tree_of(local(case)))

    def test_where_both_are_new_the_folder_comes(self, case: Case, store: MemoryTree) -> None:
        store.put("good/below", b"below")
        assert self._brought(case, skipped="good") == {"good/below", "y"}
        synced(case, up=True)
        assert set(store.contents) == {"good", "good/below", "y"}

    def test_a_key_that_somebody_adds_takes_away_nothing(self, case: Case, store: MemoryTree) -> None:
        synced(case, up=False)
        store.put("good/below", b"below")
        assert self._brought(case, skipped="good/below") == {"good", "y"}
        shutil.rmtree(local(case))
        assert self._brought(case, skipped="good/below") == {"good", "y"}
        synced(case, up=True)
        assert set(store.contents) == {"good", "good/below", "y"}


class TestHolding:
    def test_who_lost_the_job_takes_nothing_from_who_has_it(self, case: Case) -> None:
        job = new_job(case)
        lost = Job.objects.claim(job.pk, leases.new_owner())
        assert lost is not None
        Job.objects.update(lease_expires_at=Now())
        held = Job.objects.claim(job.pk, leases.new_owner())
        assert held is not None
        Batch.objects.create(job=held, stage=1, number=1, actions=[])
        for held_no_more in (_Holding(lost)._work, lambda: _Holding(lost)._clear(Leg(lost, Phase.SYNCING))):
            with pytest.raises(Interrupted):
                held_no_more()
        assert held.batches.count() == 1

    def test_who_lost_the_job_does_not_say_that_the_copy_is_whole(self, case: Case) -> None:
        job = new_job(case)
        lost = Job.objects.claim(job.pk, leases.new_owner())
        assert lost is not None
        Job.objects.update(lease_expires_at=Now())
        assert Job.objects.claim(job.pk, leases.new_owner()) is not None
        with pytest.raises(Interrupted):
            _Holding(lost)._copied()
        case.refresh_from_db()
        assert case.copied_at is None


class TestHelp:
    def test_who_helped_with_a_phase_that_is_over_takes_nothing_of_the_next(self, case: Case) -> None:
        """It would do it on the trees of the one that is over."""
        job = new_job(case, state=JobState.RUNNING, phase=Phase.COPYING)
        late = Job.objects.get(pk=job.pk)
        job.mark_progress(phase=Phase.SYNCING)
        Batch.objects.create(job=job, stage=1, number=1, actions=[])
        assert Batch.objects.take(late, 1, leases.new_owner()) is None
        taken = Batch.objects.take(job, 1, leases.new_owner())
        assert taken is not None
        assert Batch.objects.take(job, 1, leases.new_owner()) is None


class Broken:
    """A tree with a fault that nobody has thought of, which tells where the case lies."""

    def __init__(self, tree: Tree, fault: Exception) -> None:
        self._tree, self._fault = tree, fault

    def __getattr__(self, name: str) -> object:
        return getattr(self._tree, name)

    def write(self, *_: object) -> Entry:
        raise self._fault


class Interrupting:
    """A tree whose large files cannot be read the first few times."""

    def __init__(self, tree: Tree, times: int) -> None:
        self._tree, self.times = tree, times

    def __getattr__(self, name: str) -> object:
        return getattr(self._tree, name)

    def source(self, entry: Entry) -> Source:
        source = self._tree.source(entry)
        return _Interrupted(self, source)


class _Interrupted:
    def __init__(self, tree: Interrupting, source: Source) -> None:
        self._tree, self._source = tree, source
        self.stat = source.stat

    @contextmanager
    def open(self, offset: int, end: int | None) -> Iterator[Reader]:
        if offset and self._tree.times:
            self._tree.times -= 1
            raise SourceInterruptedError("the line is cut")
        with self._source.open(offset, end) as reader:
            yield reader


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is a large one, moved in runs of two parts of a byte each."""
    for module in (apply, batches):
        monkeypatch.setattr(module, "SMALL_BYTES", 0)
    monkeypatch.setattr(base, "PART_BYTES", 1)
    monkeypatch.setattr(batches, "SPLIT_BYTES", 5)
    monkeypatch.setattr(batches, "PARTS_AT_ONCE", 2)
    monkeypatch.setattr(trouble, "FIRST_PAUSE_SECONDS", 0.01)


class TestNumbers:
    @pytest.mark.usefixtures("_small_parts")
    @pytest.mark.parametrize("times", [1, 3, 3 * trouble.ATTEMPTS + 2])
    def test_what_is_brought_more_than_once_counts_once(
        self, case: Case, monkeypatch: pytest.MonkeyPatch, times: int
    ) -> None:
        write(local(case), "film", "a film")
        tree = Interrupting(places.local_tree(case), times)
        monkeypatch.setattr(places, "local_tree", lambda _: tree)
        monkeypatch.setattr(apply, "PART_CONNECTIONS", 1)
        seen = []
        as_it_is = Job.mark_progress
        monkeypatch.setattr(Job, "mark_progress", lambda job, **facts: seen.append(facts) or as_it_is(job, **facts))
        job = run(case, up=True)
        assert (job.state, tree.times) == (JobState.COMPLETED, 0)
        assert (job.files_done, job.files_total, job.bytes_total) == (1, 1, 6)
        assert job.bytes_done == 6 or times > 3, "what a run of parts gave up, whoever finished the file has brought"
        assert max(facts.get("bytes_done", 0) for facts in seen) <= 6


class Editing:
    """A tree of which somebody writes to a large file while its later parts are read, so many times."""

    def __init__(self, tree: Tree, root: Path, times: int) -> None:
        self._tree, self._root, self.times = tree, root, times
        self.lock = threading.Lock()

    def __getattr__(self, name: str) -> object:
        return getattr(self._tree, name)

    def source(self, entry: Entry) -> Source:
        return _Edited(self, entry.path, self._tree.source(entry))

    def edit(self, path: str) -> None:
        with self.lock:
            if self.times:
                self.times -= 1
                write(self._root, path, f"{self.times % 100:06}")


class _Edited:
    def __init__(self, tree: Editing, path: str, source: Source) -> None:
        self._tree, self._path, self._source = tree, path, source
        self.stat = source.stat

    @contextmanager
    def open(self, offset: int, end: int | None) -> Iterator[Reader]:
        if offset >= 2:
            self._tree.edit(self._path)
        with self._source.open(offset, end) as reader:
            yield reader


class TestChanges:
    @pytest.mark.usefixtures("_small_parts")
    @pytest.mark.parametrize("times", [1, 1000])
    def test_a_file_that_changes_while_its_parts_are_brought_by_several(
        self, case: Case, monkeypatch: pytest.MonkeyPatch, times: int
    ) -> None:
        """What changes but once comes as it is then; what keeps changing is told, and never comes in halves."""
        write(local(case), "film", "a film")
        write(local(case), "other", "x")
        tree = Editing(places.local_tree(case), local(case), times)
        runs: list[int | None] = []
        as_it_is = Sides.bring_parts
        with monkeypatch.context() as patched:
            patched.setattr(places, "local_tree", lambda _: tree)
            patched.setattr(Sides, "bring_parts", lambda sides, *args: runs.append(args[1]) or as_it_is(sides, *args))
            job = run(case, up=True)
        assert sorted(runs) == [1, 3, 5], "it was split"
        if times == 1:
            assert (job.state, tree.times) == (JobState.COMPLETED, 0), failures(job)
        else:
            assert job.state == JobState.COMPLETED_WITH_FAILURES
            assert failures(job) == {"film": "it keeps changing while it is read"}
            assert set(tree_of(cloud(case))) == known(case) == {"other"}
            synced(case, up=True)
        assert tree_of(cloud(case)) == tree_of(local(case))


class TestFailures:
    def test_what_a_large_file_had_before_the_sync_stays_told(
        self, case: Case, settings: Settings, tmp_path: Path
    ) -> None:
        """The source has a link where the local folder has a large file: that it was skipped must not be forgotten."""
        use(settings, sync_save_path=tmp_path / "cases", data_dir=tmp_path / "data", sync_source_roots=[tmp_path])
        source = tmp_path / "source"
        source.mkdir()
        (source / "film").symlink_to("/nowhere")
        write(source, "other", "x")
        write(local(case), "film", "f" * (SMALL_BYTES + 1))
        job = new_job(case, up=True, source=str(source))
        sync_case(str(job.pk))
        job.refresh_from_db()
        assert job.state == JobState.COMPLETED_WITH_FAILURES
        assert failures(job) == {"film": "it is a link"}
        assert set(tree_of(cloud(case))) >= {"film", "other"}

    @pytest.mark.parametrize("helps", [False, True])
    @pytest.mark.parametrize("kind", [RuntimeError, DatabaseError])
    def test_a_fault_of_ours_is_logged_without_the_patient(
        self, case: Case, monkeypatch: pytest.MonkeyPatch, kind: type[Exception], *, helps: bool
    ) -> None:
        """Of the database's, too: PostgreSQL quotes rows."""
        write(local(case), "x", "x")
        real, words = places.cloud_tree, f"no room in {local(case)}"
        assert case.pid in words
        monkeypatch.setattr(places, "cloud_tree", lambda case: Broken(real(case), kind(words)))
        if helps:
            job = new_job(case, state=JobState.RUNNING, phase=Phase.SYNCING, is_planned=True)
            entry = places.local_tree(case).find("x")
            action = Action(Verb.COPY, "x", 1, "new", Stage.BRING, entry, None, None)
            Batch.objects.create(job=job, stage=1, number=1, actions=[to_json(action)])
        with capture_logs() as logs:
            if helps:
                help_sync(str(job.pk))
            else:
                job = run(case, up=True)
                ends = JobState.FAILED if kind is RuntimeError else JobState.RUNNING  # until its lease is over
                assert (job.state, words in job.error) == (ends, False)
        told = [entry for entry in logs if entry["log_level"] == "error"]
        assert [(entry["error"], "in write" in entry["trace"]) for entry in told] == [(kind.__name__, True)]
        assert case.pid not in str(logs)

    def test_the_longest_path_that_cannot_be_synced_is_told(self, case: Case) -> None:
        """PostgreSQL has no index of so long a text."""
        write(local(case), "y", "y")
        names = [secrets.token_hex(127) for _ in range(12)]
        here = os.open(local(case), os.O_RDONLY)
        try:
            for name in names:
                os.mkdir(name, dir_fd=here)
                here, above = os.open(name, os.O_RDONLY, dir_fd=here), here
                os.close(above)
            os.mkfifo("pipe", dir_fd=here)
            os.symlink("pipe", "link", dir_fd=here)
        finally:
            os.close(here)
        for _ in range(2):
            job = run(case, up=True)
            assert job.state == JobState.COMPLETED_WITH_FAILURES, job.error
            assert {"it is a link", "it is a pipe"} <= set(failures(job).values())
            assert all(names[0] in path for path in failures(job))
        assert known(case) == {"y"}


class TestLongNames:
    def test_two_cases_whose_names_differ_only_at_their_ends_have_two_lists(self, case: Case, ann: User) -> None:
        names = {"owner_group_id": case.owner_group_id, "pid": "P" * 128}
        twins = [new_case(ann, **names, projectname=f"{'n' * 200}-{number}") for number in (1, 2)]
        for twin in twins:
            write(local(twin), "x", "x")
            cloud(twin).mkdir(parents=True)
            synced(twin, up=True)
        rows = [StoredFile.objects.get(path=str(local(twin) / "x")) for twin in twins]
        assert rows[0].folder != rows[1].folder
        assert all(len(row.folder) == 255 for row in rows)
        assert [stored(twin) for twin in twins] == [{"x"}, {"x"}]


def test_a_name_that_differs_in_its_case_is_another_cases(case: Case) -> None:
    """SQLite's LIKE would take one for the other."""
    for name in ("d/x", "D/x"):
        write(local(case), name, name)
    synced(case, up=True)
    below = StoredFile.objects.below(str(local(case) / "d"))
    assert [row.path for row in below] == [str(local(case) / "d/x")]
