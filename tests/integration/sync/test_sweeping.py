"""What unfinished syncs have left is removed once nobody is likely to go on with it; nothing else ever is."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django.fixtures import Settings

from config.settings.values import Cloud
from sync import places
from sync.models import Case
from sync.models.job import JobState
from sync.services import case as cases
from sync.tasks import sweep, sweeping
from tests.e2e import syncs
from tests.e2e.syncs import tree_of
from tests.integration.sync.rows import REGION, new_case, new_job
from tests.integration.transfers.rows import new_user, use
from tests.s3 import BUCKET, S3Server
from tests.s3.fixtures import s3_credentials, swift
from transfers.engine.tree.base import Description, Entry, Tree, part_plan
from transfers.engine.tree.local import LocalTree
from transfers.errors import SinkError

__all__ = ["s3_credentials", "swift"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]
EXPIRY_SECONDS = 1.0
LONG_AGO_SECONDS = 60.0
SIZE = 10**6


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture(autouse=True)
def _short_expiry(settings: Settings, tmp_path: Path) -> None:
    _use(settings, tmp_path)


def _use(settings: Settings, tmp_path: Path, **more: Any) -> None:
    days = EXPIRY_SECONDS / 86_400
    use(settings, sync_save_path=tmp_path / "cases", data_dir=tmp_path / "data", upload_expiry_days=days, **more)


def left_behind(case: Case) -> list[Path]:
    """Half of a large file on either side; the folders that they lie in."""
    cloud = places.cloud_of(case.region).folder
    assert cloud is not None
    for tree in (places.local_tree(case), places.cloud_tree(case)):
        begin(tree)
    (there,) = (cloud / places.STAGING).glob(f"{case.pk}-*")
    stagings = [places.local_folder(case).parents[2] / places.STAGING / str(case.pk), there]
    assert all(list(staging.iterdir()) for staging in stagings)
    return stagings


def begin(tree: Tree, path: str = "film") -> None:
    """Have half of a large file there."""
    sink = tree.sink(path, "1", Description(1, None), None)
    sink.begin(part_plan(SIZE))
    sink.close()


def let_it_expire() -> None:
    """What counts is when a file itself was changed, of which nobody can make another time."""
    time.sleep(EXPIRY_SECONDS + 0.1)


def is_swept(stagings: list[Path]) -> list[bool]:
    return [not list(staging.iterdir()) for staging in stagings]


def ended(case: Case, seconds_ago: float = LONG_AGO_SECONDS) -> None:
    new_job(case, state=JobState.STOPPED, ended_at=timezone.now() - timedelta(seconds=seconds_ago))


def test_what_nobody_has_asked_for_again_is_removed_and_all_else_stays(ann: User) -> None:
    case = new_case(ann)
    here, there = places.local_folder(case), Path(cases.cloud(case=case))
    syncs.write(here, "here", "here")
    syncs.write(there, "there", "there")
    stagings = left_behind(case)
    ended(case)
    let_it_expire()
    sweep()
    assert is_swept(stagings) == [True, True]
    assert (set(tree_of(here)), set(tree_of(there))) == ({"here"}, {"there"})
    case.refresh_from_db()
    assert case.swept_at is not None


def test_what_lies_where_it_once_did_is_removed_too(ann: User, settings: Settings) -> None:
    case = new_case(ann)
    cloud = settings.ENVIRONMENT.folder_cloud(case.region).folder
    begin(LocalTree(cloud / case.s3keypath, cloud / places.STAGING / str(case.pk)))
    ended(case)
    let_it_expire()
    sweep()
    assert is_swept([cloud / places.STAGING / str(case.pk)]) == [True]


def test_of_a_bucket_the_uploads_that_were_begun_are_aborted(
    ann: User, swift: S3Server, settings: Settings, tmp_path: Path
) -> None:
    _use(settings, tmp_path, sync_regions={REGION: Cloud(bucket=BUCKET, endpoint_url=swift.url)})
    case, running = new_case(ann), new_case(ann)
    for each in (case, running):
        begin(places.cloud_tree(each))
        swift.plain.put_object(Bucket=BUCKET, Key=f"{each.s3keypath}/there", Body=b"there")
        ended(each)
    new_job(running, state=JobState.RUNNING)
    assert begun(swift, case, running) == [f"{case.s3keypath}/film", f"{running.s3keypath}/film"]
    let_it_expire()
    time.sleep(1)  # a store tells whole seconds
    sweep()
    assert begun(swift, case, running) == [f"{running.s3keypath}/film"]
    assert [entry.path for each in (case, running) for entry in places.cloud_tree(each).entries()] == ["there"] * 2


def begun(store: S3Server, *of: Case) -> list[str]:
    """The keys below these cases' prefixes whose uploads were begun."""
    told = store.plain.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return [key for case in of for key in sorted(each["Key"] for each in told) if key.startswith(f"{case.s3keypath}/")]


def test_what_may_still_be_gone_on_with_stays(ann: User) -> None:
    lately, running, asked_again = new_case(ann), new_case(ann), new_case(ann)
    everything = [left_behind(case) for case in (lately, running, asked_again)]
    let_it_expire()
    ended(running)
    new_job(running, state=JobState.RUNNING)
    ended(asked_again)
    new_job(asked_again, state=JobState.QUEUED)
    ended(lately, seconds_ago=0)
    sweep()
    assert [is_swept(stagings) for stagings in everything] == [[False, False]] * 3


def test_what_was_touched_lately_stays(ann: User) -> None:
    """Another service may have the same folder for its cloud."""
    case = new_case(ann)
    ended(case)
    stagings = left_behind(case)
    sweep()
    assert is_swept(stagings) == [False, False]


def test_a_case_is_swept_up_after_once_for_each_last_job(ann: User) -> None:
    case = new_case(ann)
    ended(case)
    sweep()
    stagings = left_behind(case)
    let_it_expire()
    sweep()
    assert is_swept(stagings) == [False, False], "nothing has been at it since"
    ended(case, seconds_ago=EXPIRY_SECONDS)
    sweep()
    assert is_swept(stagings) == [True, True]


class Away:
    """A tree that cannot be asked the first time."""

    def __init__(self, tree: Tree) -> None:
        self._tree, self.asked = tree, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._tree, name)

    def sweep(self, older_than_seconds: float) -> int:
        self.asked += 1
        if self.asked == 1:
            raise SinkError("it is away")
        return self._tree.sweep(older_than_seconds)


@pytest.mark.parametrize("side", [0, 1], ids=["local", "cloud"])
def test_a_place_that_is_away_is_asked_again_later(ann: User, monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    case = new_case(ann)
    stagings = left_behind(case)
    ended(case)
    let_it_expire()
    name = ["local_tree", "cloud_tree"][side]
    away = Away(getattr(places, name)(case))
    monkeypatch.setattr(places, name, lambda _: away)
    for _ in range(2):
        sweep()
    assert is_swept(stagings) == [side == 1, side == 0]
    case.refresh_from_db()
    assert (away.asked, case.swept_at) == (1, None), "not in every round"
    Case.objects.update(sweep_due_at=Now())
    for _ in range(2):
        sweep()
    assert (away.asked, is_swept(stagings)) == (2, [True, True])
    case.refresh_from_db()
    assert (case.swept_at is not None, case.sweep_due_at) == (True, None)


def test_those_that_fail_hold_up_nobody_behind_them(
    ann: User, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "AT_ONCE", 1)
    gone, case = new_case(ann), new_case(ann, region="other")
    for each in (gone, case):
        ended(each)
    _use(settings, tmp_path, sync_regions={"other": Cloud(folder=tmp_path / "other")})
    sweep()
    Case.objects.filter(pk=gone.pk).update(sweep_due_at=Now())
    sweep()
    case.refresh_from_db()
    assert case.swept_at is not None


def test_one_whose_cloud_is_no_more_holds_up_nobody(ann: User, settings: Settings, tmp_path: Path) -> None:
    gone, case = new_case(ann), new_case(ann, region="other")
    for each in (gone, case):
        ended(each)
    stagings, without_cloud = left_behind(case), left_behind(gone)
    let_it_expire()
    _use(settings, tmp_path, sync_regions={"other": Cloud(folder=places.cloud_of("other").folder)})
    sweep()
    assert is_swept(stagings) == [True, True]
    assert is_swept(without_cloud) == [True, False]


def test_what_is_unfinished_is_no_file_of_the_tree(ann: User) -> None:
    """What lies in the staging folder is never listed."""
    case = new_case(ann)
    left_behind(case)
    found: list[Entry] = [*places.local_tree(case).entries(), *places.cloud_tree(case).entries()]
    assert found == []
