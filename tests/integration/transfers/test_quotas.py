"""What counts against a user's quota, who is refused for it, and that nobody gets past it by coming twice at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from knox.models import AuthToken
from pytest_django.fixtures import Settings

from tests.integration.transfers.files import new_file
from tests.integration.transfers.order_rows import new_job, new_order
from tests.integration.transfers.orders import ordered, ready_file, work
from tests.integration.transfers.rows import at_once, new_download, new_user, use
from tests.integration.transfers.services.test_upload import Content, complete, initiate, send, stored
from tests.origin import Behaviour, GeneratedFile, Origin
from tests.origin.behaviour import Framing
from transfers import quotas
from transfers.engine.archive import most_framing_bytes
from transfers.errors import CarryonError, QuotaExceededError
from transfers.models import Download, ListJob, Quota, StoredFile, Upload
from transfers.models.download import Desired, DownloadState
from transfers.services import download as downloads
from transfers.services import order as orders
from transfers.services import upload as uploads
from transfers.services import zip_stream
from transfers.services.download import DownloadRequest
from transfers.services.upload import IncomingPart
from transfers.tasks import attempt, fetch_download, source

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

SIZE = 300_000


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where files come to rest, uploads and downloads beside each other."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    folder = tmp_path.resolve()
    use(settings, files_root=folder / "files", download_root=folder / "downloads", fetch_allow=["127.0.0.1"])
    source._session.cache_clear()
    yield folder
    source._session().close()
    source._session.cache_clear()


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


@pytest.fixture
def ann() -> User:
    return new_user("ann")


def start(user: User, url: str, **words: str) -> Download:
    return downloads.start(user=user, request=DownloadRequest(url, "studio", **words))


def outcome(call: object) -> str:
    """What became of it: the code of the refusal, or nothing."""
    assert callable(call)
    try:
        call()
    except CarryonError as error:
        return error.code
    return ""


# What counts ---------------------------------------------------------------------------------------------------------


def test_all_that_takes_room_is_counted_once(ann: User, root: Path) -> None:
    file = new_file(ann, root / "a", b"x" * 10)
    new_file(ann, root / "b", b"x" * 100, deleted_at=timezone.now())
    new_file(new_user("bob"), root / "c", b"x" * 1000)
    initiate(ann, size=200)
    send(ann, initiate(ann), 1, b"y" * 30)
    new_download(ann, state=DownloadState.RUNNING, size=5000, bytes_done=70)
    new_download(ann, state=DownloadState.QUEUED)
    new_download(ann, state=DownloadState.RUNNING, bytes_done=600)
    new_download(ann, state=DownloadState.COMPLETED, size=10, bytes_done=10, stored_file=file)
    new_download(ann, state=DownloadState.RUNNING, size=15, stored_file=file)
    new_job(ann, new_order(ann, 3), "running")
    new_job(ann, new_order(ann, 3), "failed")
    usage = quotas.usage_of(ann.pk)
    assert (usage.files, usage.uploads, usage.downloads, usage.zips) == (10, 230, 5000 + 600 + 5, 3000)


def test_what_stopped_downloads_keep_is_counted_once_for_each_place(ann: User, root: Path) -> None:
    place = str(root / "film.mov")
    for state, done in ((DownloadState.STOPPED, 400), (DownloadState.FAILED, 300)):
        new_download(ann, state=state, size=1000, bytes_done=done, save_path=place)
    new_download(ann, state=DownloadState.STOPPED, size=1000, bytes_done=50)
    assert quotas.usage_of(ann.pk).downloads == 450
    new_file(ann, Path(place), b"x" * 1000)
    assert quotas.usage_of(ann.pk).downloads == 50


@pytest.mark.parametrize(
    ("own", "limit"), [("none", 1000), ("less", 500), ("unlimited", None)], ids=["default", "own", "unlimited"]
)
def test_a_user_may_have_another_limit(ann: User, settings: Settings, own: str, limit: int | None) -> None:
    use(settings, user_quota_bytes=1000)
    if own != "none":
        Quota.objects.create(user=ann, max_bytes=limit)
    assert quotas.limit_of(ann.pk) == limit
    assert outcome(lambda: initiate(ann, size=1001)) == ("" if limit is None else "quota_exceeded")
    assert outcome(lambda: initiate(new_user("bob"), size=1001)) == "quota_exceeded"


def test_a_user_is_told_what_is_taken(ann: User, settings: Settings, root: Path) -> None:
    use(settings, user_quota_bytes=1000)
    new_file(ann, root / "a", b"x" * 10)
    initiate(ann, size=200)
    _, token = AuthToken.objects.create(ann)  # type: ignore[no-untyped-call]
    told = Client(headers={"Authorization": f"Token {token}"}).get("/files/usage").json()
    assert told == {"limit": 1000, "used": 210, "files": 10, "uploads": 200, "downloads": 0, "zips": 0}


def test_an_operator_sees_it_and_gives_a_user_more(ann: User, settings: Settings, root: Path) -> None:
    use(settings, user_quota_bytes=2048)
    new_file(ann, root / "a", b"x" * 10)
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    page = reverse("admin:auth_user_change", args=[ann.pk])
    assert "10 B of 2.0 KiB (2,048 bytes)" in client.get(page).content.decode()
    form = client.get(page).context["adminform"].form
    fields = {name: value for name, value in form.initial.items() if isinstance(value, str | int) and value}
    joined = {"date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    inline = {"quota-TOTAL_FORMS": 1, "quota-INITIAL_FORMS": 0, "quota-0-user": ann.pk, "quota-0-max_bytes": 5000}
    answer = client.post(page, fields | joined | inline)
    assert answer.status_code == 302, answer.context["errors"]
    assert quotas.limit_of(ann.pk) == 5000


# Who is refused ------------------------------------------------------------------------------------------------------


def test_a_refusal_names_limit_and_usage_and_changes_nothing(ann: User, settings: Settings, root: Path) -> None:
    use(settings, user_quota_bytes=1000)
    new_file(ann, root / "a", b"x" * 900)
    with pytest.raises(QuotaExceededError, match="have 1000 bytes here, and 900 are taken; this needs 101"):
        initiate(ann, size=101)
    assert not Upload.objects.exists()


def test_a_download_is_refused_where_nothing_is_left(ann: User, settings: Settings, root: Path) -> None:
    use(settings, user_quota_bytes=1000)
    new_file(ann, root / "a", b"x" * 1000)
    assert outcome(lambda: start(ann, "http://127.0.0.1:1/film.mov")) == "quota_exceeded"
    assert not Download.objects.exists()


def test_a_download_that_turns_out_too_large_fails_before_a_byte_of_it(
    ann: User, settings: Settings, origin: Origin, root: Path
) -> None:
    use(settings, user_quota_bytes=SIZE - 1)
    row = start(ann, origin.add("/film.mov", GeneratedFile(SIZE, seed=1)))
    fetch_download(str(row.pk))
    row.refresh_from_db()
    assert (row.state, row.error_code) == ("failed", "over_quota")
    assert f"may have {SIZE - 1} bytes" in row.error
    assert f"needs {SIZE}" in row.error
    assert (row.bytes_done, (root / "downloads").exists()) == (0, False)
    Quota.objects.create(user=ann, max_bytes=SIZE)
    start(ann, row.url)
    fetch_download(str(row.pk))
    row.refresh_from_db()
    assert (row.state, row.error_code) == ("completed", "")


@pytest.mark.parametrize("look_bytes", [1, 2**30], ids=["on the way", "at the end"])
def test_a_download_of_untold_size_is_not_kept_when_it_is_too_large(
    ann: User, origin: Origin, root: Path, monkeypatch: pytest.MonkeyPatch, look_bytes: int
) -> None:
    monkeypatch.setattr(attempt, "LOOK_BYTES", look_bytes)
    Quota.objects.create(user=ann, max_bytes=SIZE - 1)
    behaviour = Behaviour(framing=Framing.CHUNKED)
    row = start(ann, origin.add("/film.mov", GeneratedFile(SIZE, seed=1), behaviour))
    fetch_download(str(row.pk))
    row.refresh_from_db()
    assert (row.state, row.error_code) == ("failed", "over_quota")
    assert not StoredFile.objects.exists()
    assert not (root / "downloads" / "film.mov").exists()


def test_a_file_that_is_here_is_started_again_though_the_quota_is_full(
    ann: User, settings: Settings, origin: Origin
) -> None:
    use(settings, user_quota_bytes=SIZE)
    url = origin.add("/film.mov", GeneratedFile(SIZE, seed=1))
    for _ in range(2):
        row = start(ann, url)
        fetch_download(str(row.pk))
        row.refresh_from_db()
        assert row.state == "completed"


def test_a_zip_needs_room(ann: User, settings: Settings, root: Path) -> None:
    order = ordered(ann, new_file(ann, root / "a", b"x" * 600))
    room = 1200 + most_framing_bytes(1, len("a"))
    use(settings, user_quota_bytes=room - 1)
    assert outcome(lambda: orders.start(order=order)) == "quota_exceeded"
    assert not ListJob.objects.exists()
    use(settings, user_quota_bytes=room)
    orders.start(order=order)
    assert quotas.usage_of(ann.pk).zips == room - 600
    orders.start(order=order)


def test_a_zip_of_empty_files_needs_room_for_their_names(ann: User, settings: Settings) -> None:
    order = ordered(ann, *(ready_file(ann, f"{number}{'x' * 200}", b"") for number in range(20)))
    zip_bytes = zip_stream.stream(order=order).layout.size
    assert zip_bytes > 20 * 2 * 200
    use(settings, user_quota_bytes=zip_bytes - 1)
    assert outcome(lambda: orders.start(order=order)) == "quota_exceeded"
    use(settings, user_quota_bytes=2 * zip_bytes)
    job = orders.start(order=order)
    assert quotas.usage_of(ann.pk).total >= zip_bytes
    work(job)
    assert quotas.usage_of(ann.pk).total == zip_bytes


# At once -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", range(5))
def test_of_many_uploads_begun_at_once_no_more_pass_than_there_is_room_for(
    ann: User, settings: Settings, turn: int
) -> None:
    use(settings, user_quota_bytes=3000 + turn)
    told = at_once([lambda: outcome(lambda: initiate(ann, size=1000)) for _ in range(8)])
    assert sorted(told) == [""] * 3 + ["quota_exceeded"] * 5
    assert Upload.objects.count() == 3


@pytest.mark.parametrize("turn", range(5))
def test_of_many_parts_of_untold_uploads_at_once_no_more_are_stored(ann: User, settings: Settings, turn: int) -> None:
    use(settings, user_quota_bytes=3000 + turn)
    begun = [initiate(ann) for _ in range(8)]
    told = at_once([lambda upload=upload: outcome(lambda: send(ann, upload, 1, b"x" * 1000)) for upload in begun])  # type: ignore[misc]
    assert sorted(told) == [""] * 3 + ["quota_exceeded"] * 5
    assert sum(len(stored(upload)) for upload in begun) == 3
    assert quotas.usage_of(ann.pk).uploads == 3000


def test_a_part_that_breaks_off_at_the_last_gives_its_room_back(ann: User, settings: Settings) -> None:
    use(settings, user_quota_bytes=3000)
    upload = initiate(ann)
    part = IncomingPart(number=1, size=1000, md5="0" * 32)
    with pytest.raises(CarryonError):
        uploads.store_part(user=ann, upload_id=upload.pk, part=part, reader=Content(b"x" * 1000))
    assert quotas.usage_of(ann.pk).uploads == 0
    send(ann, upload, 1, b"x" * 3000)
    complete(ann, upload, {1: b"x" * 3000})
    assert quotas.usage_of(ann.pk).total == 3000


def test_of_many_downloads_whose_sizes_become_known_at_once_no_more_go_on(
    ann: User, settings: Settings, origin: Origin
) -> None:
    use(settings, user_quota_bytes=3 * SIZE)
    urls = [origin.add(f"/{number}.mov", GeneratedFile(SIZE, seed=number)) for number in range(6)]
    rows = [start(ann, url) for url in urls]

    def fetched(row: Download) -> None:
        with contextlib.suppress(CarryonError):
            fetch_download(str(row.pk))

    at_once([lambda row=row: fetched(row) for row in rows])  # type: ignore[misc]
    states = sorted(Download.objects.values_list("state", flat=True))
    assert states == ["completed"] * 3 + ["failed"] * 3
    assert set(Download.objects.filter(state="failed").values_list("error_code", flat=True)) == {"over_quota"}


def test_starting_and_taking_room_at_once_wait_for_each_other_and_never_for_ever(ann: User, settings: Settings) -> None:
    use(settings, user_quota_bytes=10**6)
    row = new_download(ann, state=DownloadState.STOPPED, desired=Desired.STOP)
    request = DownloadRequest(row.url, row.cid, row.fid)
    calls = [lambda: outcome(lambda: downloads.start(user=ann, request=request)) for _ in range(4)]
    calls += [lambda: outcome(lambda: initiate(ann, size=10)) for _ in range(4)]
    told = at_once(calls)
    assert sorted(told) == [""] * 5 + ["already_downloading"] * 3
