"""First copies that leave something out: until all of the source is copied, it is asked of each upload."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from sync import places
from sync.models import Case, Job
from sync.models.job import JobState
from sync.services import case as cases
from sync.services import job as jobs
from sync.services.case import CaseRequest
from sync.tasks import sync_case
from tests.e2e import syncs
from tests.e2e.syncs import tree_of
from tests.integration.sync.rows import new_case
from tests.integration.transfers.rows import new_user, use
from transfers.engine.tree.base import Content, Entry
from transfers.engine.tree.local import LocalTree, walk
from transfers.errors import SourceRefusedError

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]
OLD = 1_500_000_000

Asks = Callable[[Case, Path], Job]


@pytest.fixture
def case(settings: Settings, tmp_path: Path) -> Case:
    use(settings, sync_save_path=tmp_path / "cases", data_dir=tmp_path / "data", sync_source_roots=[tmp_path])
    return new_case(new_user("ann"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source folder with a file in it that nothing is wrong with."""
    syncs.write(tmp_path / "source", "good", "good", OLD)
    return tmp_path / "source"


def by_the_api(case: Case, source: Path) -> Job:
    names = ("owner_group_id", "lab_id", "pid", "projectname", "projecttype", "s3keypath", "region", "uuid")
    request = CaseRequest(**{name: getattr(case, name) for name in names})
    return jobs.ask(user=case.user, request=jobs.SyncRequest(up=True, api_url="", source=str(source), case=request))


def once_more(case: Case, source: Path) -> Job:
    """As the admin and the command line ask for a case that is known."""
    return jobs.again(user=case.user, case=case, up=True)


def done(job: Job) -> Job:
    """The job as a worker leaves it."""
    sync_case(str(job.pk))
    job.refresh_from_db()
    return job


def is_copied(case: Case) -> bool:
    case.refresh_from_db()
    return case.copied_at is not None


def cloud(case: Case) -> set[str]:
    return set(tree_of(Path(cases.cloud(case=case))))


def left_out(case: Case, source: Path) -> dict[str, str]:
    """What the first upload tells of, while the rest comes."""
    job = done(by_the_api(case, source))
    assert (job.state, cloud(case), is_copied(case)) == (JobState.COMPLETED_WITH_FAILURES, {"good"}, False)
    return dict(job.failures.values_list("path", "reason"))


def made_good(case: Case, source: Path, ask: Asks, path: str) -> None:
    """The next upload has brought the path, and is the last that is asked for it."""
    job = done(ask(case, source))
    assert (job.state, cloud(case), is_copied(case)) == (JobState.COMPLETED, {"good", path}, True)
    assert ask(case, source).source == ""


_read = LocalTree.read


def refused_secret(tree: LocalTree, entry: Entry) -> Content:
    """Root may read every file."""
    if entry.path == "secret":
        raise SourceRefusedError("secret: Permission denied")
    return _read(tree, entry)


ways = pytest.mark.parametrize("ask", [by_the_api, once_more])


@ways
@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOTDIR], ids=["unreadable", "changed"])
def test_a_folder_that_cannot_be_looked_into(
    case: Case, source: Path, monkeypatch: pytest.MonkeyPatch, code: int, ask: Asks
) -> None:
    syncs.write(source, "shut/x", "x", OLD)
    as_it_is = walk.open_folder

    def open_folder(name: bytes, above: int) -> int:
        """Root may look into everything."""
        if name == b"shut":
            raise OSError(code, os.strerror(code))
        return as_it_is(name, above)

    with monkeypatch.context() as patched:
        patched.setattr(walk, "open_folder", open_folder)
        assert list(left_out(case, source)) == ["shut/"]
    made_good(case, source, ask, "shut/x")


@ways
def test_a_file_that_cannot_be_read(case: Case, source: Path, monkeypatch: pytest.MonkeyPatch, ask: Asks) -> None:
    syncs.write(source, "secret", "x", OLD)
    with monkeypatch.context() as patched:
        patched.setattr(LocalTree, "read", refused_secret)
        assert list(left_out(case, source)) == ["secret"]
    made_good(case, source, ask, "secret")


@ways
def test_a_file_whose_place_is_taken(case: Case, source: Path, ask: Asks) -> None:
    """By what is no file of the case's own folder, and cannot be set aside."""
    syncs.write(source, "d/x", "x", OLD)
    link = places.local_folder(case) / "d"
    link.parent.mkdir(parents=True)
    link.symlink_to("/nowhere")
    assert left_out(case, source) == {"d": "it is a link", "d/x": "what it would lie in cannot be synced"}
    link.unlink()
    made_good(case, source, ask, "d/x")


def test_what_can_never_be_synced_is_not_waited_for(case: Case, source: Path) -> None:
    (source / "link").symlink_to("/nowhere")
    os.mkfifo(source / "pipe")
    local = places.local_folder(case)
    local.mkdir(parents=True)
    os.mkfifo(local / "own pipe")
    job = done(by_the_api(case, source))
    assert (job.state, cloud(case), is_copied(case)) == (JobState.COMPLETED_WITH_FAILURES, {"good"}, True)
    assert set(job.failures.values_list("path", flat=True)) == {"link", "own pipe", "pipe"}


def test_what_changed_here_before_the_copy_was_whole_is_kept_beside_the_sources(
    case: Case, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs.write(source, "secret", "x", OLD)
    with monkeypatch.context() as patched:
        patched.setattr(LocalTree, "read", refused_secret)
        assert list(left_out(case, source)) == ["secret"]
    local = places.local_folder(case)
    syncs.write(local, "good", "edited here", OLD + 1)
    assert done(once_more(case, source)).state == JobState.COMPLETED
    assert sorted(path.read_text() for path in local.iterdir()) == ["edited here", "good", "x"]
    assert cloud(case) == set(tree_of(local))
