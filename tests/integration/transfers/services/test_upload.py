"""Uploads begun, sent, completed and ended: what is checked before a byte is read, and who wins when several act."""

from __future__ import annotations

import functools
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from pytest_django.fixtures import Settings

from tests import battery
from tests.e2e.uploads import md5, md5s
from tests.integration.transfers.rows import at_once, new_user, use
from transfers.engine.base import Reader
from transfers.errors import (
    BodyCutOffError,
    CarryonError,
    InvalidInputError,
    NoSuchUploadError,
    OutOfSpaceError,
    PartsDifferError,
    QuotaExceededError,
    SinkError,
    TooLargeError,
    UploadEndedError,
)
from transfers.models import StoredFile, Upload
from transfers.services import upload as uploads
from transfers.services.upload import IncomingPart, UploadRequest
from transfers.storage.local import UPLOADS
from transfers.tasks import upload as tasks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

PARTS = {1: b"a" * 1000, 2: b"b" * 1000, 3: b"c" * 10}
CONTENT = b"".join(PARTS.values())
WAIT_SECONDS = 10


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files come to rest; nothing is synced there, as nothing here is about power."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    folder = tmp_path.resolve() / "files"
    use(settings, files_root=folder)
    return folder


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def bob() -> User:
    return new_user("bob")


class Content(Reader):
    """Bytes, in pieces; before the last of them it waits until it is let go on."""

    def __init__(self, content: bytes, *, gated: bool = False, breaks: bool = False) -> None:
        middle = len(content) // 2
        self._pieces = [piece for piece in (content[:middle], content[middle:]) if piece]
        self._breaks = breaks
        self.reached, self.go_on = threading.Event(), threading.Event()
        if not gated:
            self.go_on.set()

    def readinto(self, buffer: memoryview) -> int:
        if len(self._pieces) == 1:
            self.reached.set()
            assert self.go_on.wait(WAIT_SECONDS)
            if self._breaks:
                raise BodyCutOffError("the client is gone")
        piece = self._pieces.pop(0) if self._pieces else b""
        buffer[: len(piece)] = piece
        return len(piece)


class Unread(Reader):
    """What must not be read."""

    def readinto(self, _: memoryview) -> int:
        raise AssertionError("a byte was read")


def initiate(user: User, **facts: Any) -> Upload:
    return uploads.initiate(user=user, request=UploadRequest(**{"catalog": "other-doc", "name": "film.mov", **facts}))


def send(user: User, upload: Upload, number: int, content: bytes, *, told: str = "", size: int | None = -1) -> str:
    part = IncomingPart(number=number, size=len(content) if size == -1 else size, md5=told)
    return uploads.store_part(user=user, upload_id=upload.pk, part=part, reader=Content(content)).etag


def refuse(user: User, upload: Upload, number: int, size: int | None, error: type[CarryonError]) -> CarryonError:
    """Offer a part of which no byte may be read."""
    with pytest.raises(error) as refusal:
        uploads.store_part(user=user, upload_id=upload.pk, part=IncomingPart(number=number, size=size), reader=Unread())
    return refusal.value


def sent(user: User, parts: dict[int, bytes] = PARTS, **facts: Any) -> Upload:
    """A new upload of which these parts are stored."""
    upload = initiate(user, **facts)
    for number, content in parts.items():
        send(user, upload, number, content)
    return upload


def complete(user: User, upload: Upload, parts: dict[int, bytes] = PARTS) -> Upload:
    return uploads.complete(user=user, upload_id=upload.pk, parts=md5s(parts))


def stored(upload: Upload) -> dict[int, str]:
    return uploads.stored_parts(upload=Upload.objects.get(pk=upload.pk))


def fresh(upload: Upload) -> Upload:
    return Upload.objects.get(pk=upload.pk)


def content_of(upload: Upload) -> bytes:
    file = fresh(upload).stored_file
    assert file is not None
    return Path(file.path).read_bytes()


def files(root: Path) -> list[Path]:
    """All files that have come to rest."""
    return [path for path in root.rglob("*") if path.is_file() and UPLOADS not in path.parts]


def collecting(root: Path) -> set[int]:
    """The uploads that have a folder."""
    return {int(path.name) for path in (root / UPLOADS).iterdir()}


class Sender(threading.Thread):
    """Somebody who sends a part and has half of it under way."""

    def __init__(self, user: User, upload: Upload, number: int, content: bytes, **options: Any) -> None:
        super().__init__()
        self._user, self._upload = user, upload
        self._part = IncomingPart(number=number, size=len(content))
        self.reader = Content(content, gated=True, **options)
        self.etag = ""
        self.failure: CarryonError | None = None
        self.start()
        assert self.reader.reached.wait(WAIT_SECONDS)

    def run(self) -> None:
        try:
            stored = uploads.store_part(user=self._user, upload_id=self._upload.pk, part=self._part, reader=self.reader)
            self.etag = stored.etag
        except CarryonError as error:
            self.failure = error
        finally:
            connections.close_all()

    def finish(self) -> None:
        self.reader.go_on.set()
        self.join(WAIT_SECONDS)
        assert not self.is_alive()


# Limits --------------------------------------------------------------------------------------------------------------


def test_a_file_that_is_too_large_is_not_even_begun(ann: User, root: Path, settings: Settings) -> None:
    use(settings, upload_max_bytes=1000)
    assert initiate(ann, size=1000).size == 1000
    with pytest.raises(TooLargeError):
        initiate(ann, size=1001)
    assert Upload.objects.count() == 1


def test_a_file_for_which_there_is_no_space_is_not_even_begun(
    ann: User, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=10, f_frsize=100))
    upload = initiate(ann, size=1000)
    with pytest.raises(OutOfSpaceError):
        initiate(ann, size=1001)
    assert Upload.objects.get() == upload
    refuse(ann, initiate(ann), 1, 1001, OutOfSpaceError)


def test_parts_that_are_refused_before_a_byte_of_them_is_read(
    ann: User, bob: User, settings: Settings, root: Path
) -> None:
    use(settings, upload_max_part_bytes=500)
    upload, small = initiate(ann), initiate(ann, size=100)
    finished = sent(ann, {1: b"x"})
    complete(ann, finished, {1: b"x"})
    for number in (0, -1, 10_001, 2**40):
        assert list(refuse(ann, upload, number, 5, InvalidInputError).errors) == ["part"]  # type: ignore[attr-defined]
    refuse(bob, upload, 1, 5, NoSuchUploadError)
    refuse(ann, Upload(pk=2**70), 1, 5, NoSuchUploadError)
    refuse(ann, finished, 1, 5, UploadEndedError)
    refuse(ann, upload, 1, 501, TooLargeError)
    refuse(ann, small, 1, 101, TooLargeError)
    assert stored(upload) == stored(small) == {}


def test_all_parts_together_are_limited(ann: User, settings: Settings) -> None:
    """Otherwise 10,000 parts of the largest size could fill the disk, whatever the limit of a file is."""
    use(settings, upload_max_bytes=2500)
    untold, told = initiate(ann), initiate(ann, size=2000)
    for upload in (untold, told):
        for number in (1, 2):
            send(ann, upload, number, PARTS[number])
    refuse(ann, told, 3, 1000, TooLargeError)
    refuse(ann, untold, 3, 1000, TooLargeError)
    send(ann, untold, 3, b"x" * 500)
    send(ann, told, 2, b"y" * 1000)  # in place of what is there
    send(ann, untold, 2, b"y" * 1000)


@pytest.mark.parametrize("told", [True, False], ids=["size told", "size not told"])
def test_what_a_user_has_counts_against_the_quota(ann: User, bob: User, settings: Settings, *, told: bool) -> None:
    use(settings, user_quota_bytes=5000)
    facts = {"size": len(CONTENT)} if told else {}
    complete(ann, sent(ann, **facts))
    sent(ann, **facts)
    with pytest.raises(QuotaExceededError):
        initiate(ann, size=981)
    upload = initiate(ann, **({"size": 980} if told else {}))
    refuse(ann, upload, 1, 981, QuotaExceededError if not told else TooLargeError)
    send(ann, upload, 1, b"x" * 980)
    sent(bob)


def test_what_is_deleted_or_ended_does_not_count(ann: User, settings: Settings) -> None:
    use(settings, user_quota_bytes=len(CONTENT))
    for _ in range(2):
        upload = sent(ann)
        with pytest.raises(QuotaExceededError):
            initiate(ann, size=1)
        uploads.abort(user=ann, upload_id=upload.pk)
    complete(ann, sent(ann))
    StoredFile.objects.update(deleted_at="2026-01-01T00:00:00Z")
    complete(ann, sent(ann))


@pytest.mark.parametrize("told", [True, False], ids=["size told", "size not told"])
def test_a_part_that_is_sent_again_counts_once(ann: User, settings: Settings, *, told: bool) -> None:
    """A client whose answers get lost sends parts again and again."""
    use(settings, user_quota_bytes=2 * len(CONTENT))
    upload = initiate(ann, **({"size": len(CONTENT)} if told else {}))
    for _ in range(6):
        for number, content in PARTS.items():
            send(ann, upload, number, content)
    complete(ann, upload)


def test_what_is_received_is_put_right_whenever_somebody_looks(ann: User) -> None:
    upload = sent(ann)
    send(ann, upload, 1, b"x")
    stored(upload)
    assert fresh(upload).received == 1011


# Parts ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [-1, None], ids=["size told", "size not told"])
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 1, 3, 2, 1)], ids=str)
def test_parts_in_any_order(ann: User, order: tuple[int, ...], size: int | None) -> None:
    upload = initiate(ann)
    for number in order:
        assert send(ann, upload, number, PARTS[number], size=size) == md5(PARTS[number])
    complete(ann, upload)
    assert content_of(upload) == CONTENT


def test_parts_of_told_and_untold_sizes_together(ann: User) -> None:
    parts = {number: bytes([number]) * 8192 for number in range(1, 6)}
    upload = initiate(ann)
    for turn, number in enumerate((3, 4, 1, 2, 5)):
        send(ann, upload, number, parts[number], size=None if turn % 2 == 0 else -1)
    complete(ann, upload, parts)
    assert content_of(upload) == b"".join(parts.values())


@pytest.mark.skipif(connection.vendor == "sqlite", reason="nobody waits for a connection to SQLite")
def test_no_database_connection_is_held_while_a_part_comes_in(ann: User) -> None:
    held: list[bool] = []

    class Looking(Content):
        def readinto(self, buffer: memoryview) -> int:
            held.append(connection.connection is not None)
            return super().readinto(buffer)

    part = IncomingPart(number=1, size=4)
    uploads.store_part(user=ann, upload_id=initiate(ann).pk, part=part, reader=Looking(b"abcd"))
    assert held
    assert not any(held)


@pytest.mark.parametrize("before", [{}, {1: b"before"}], ids=["fresh", "stored before"])
def test_a_part_that_breaks_off_leaves_what_was_there(ann: User, root: Path, before: dict[int, bytes]) -> None:
    upload = sent(ann, before)
    sender = Sender(ann, upload, 1, b"xyz" * 1000, breaks=True)
    sender.finish()
    assert isinstance(sender.failure, BodyCutOffError)
    assert stored(upload) == md5s(before)
    assert not [path for path in (root / UPLOADS / str(upload.pk)).iterdir() if path.name.startswith("1.0")]
    send(ann, upload, 1, PARTS[1])
    complete(ann, upload, {1: PARTS[1]})
    assert content_of(upload) == PARTS[1]


@pytest.mark.parametrize("first_ends_first", [True, False])
@pytest.mark.parametrize("before", [{}, {1: b"before"}], ids=["fresh", "stored before"])
def test_two_senders_of_one_part_leave_one_of_the_two_whole(
    ann: User, before: dict[int, bytes], *, first_ends_first: bool
) -> None:
    upload = sent(ann, before)
    senders = [Sender(ann, upload, 1, letter * 3000) for letter in (b"1", b"2")]
    for sender in senders if first_ends_first else reversed(senders):
        sender.finish()
        assert stored(upload) == {1: sender.etag}
    kept = (b"2" if first_ends_first else b"1") * 3000
    complete(ann, upload, {1: kept})
    assert content_of(upload) == kept


def test_many_senders_of_one_part_at_once(ann: User) -> None:
    for turn in range(battery.rounds(3, 30)):
        upload = initiate(ann)
        contents = [bytes([letter]) * 5000 for letter in range(8)]
        etags = at_once([functools.partial(send, ann, upload, 1, content) for content in contents])
        assert etags == [md5(content) for content in contents]
        (kept,) = [content for content in contents if md5(content) == stored(upload)[1]]
        complete(ann, upload, {1: kept})
        assert content_of(upload) == kept, f"turn {turn}"


def filled(upload: Upload, numbers: range, content: Callable[[int], bytes]) -> dict[int, bytes]:
    """Parts that are stored past the service, which is to be measured and not to be waited for."""
    upload = fresh(upload)
    parts = {number: content(number) for number in numbers}
    for number, each in parts.items():
        tasks.collection(upload).write_part(number, Content(each), len(each))
    return parts


def median_seconds(call: Callable[[int], object], numbers: range) -> float:
    taken = []
    for number in numbers:
        began = time.perf_counter()
        call(number)
        taken.append(time.perf_counter() - began)
    return sorted(taken)[len(taken) // 2]


@pytest.mark.parametrize(
    ("count", "odd"),
    [(10_000, False), (battery.rounds(2_000, 10_000), True)],
    ids=["parts of one size", "parts of odd sizes"],
)
def test_the_last_of_10_000_parts_takes_no_longer_than_the_first(ann: User, count: int, *, odd: bool) -> None:
    """Nothing is done for every part that is there already, beyond adding it; and completing them takes no minutes."""

    def content(number: int) -> bytes:
        return b"%05d" % number * (1 + number % 3 if odd else 1)

    upload = initiate(ann)
    parts = {number: content(number) for number in range(1, count + 1)}
    early = median_seconds(lambda number: send(ann, upload, number, parts[number]), range(1, 41))
    filled(upload, range(41, count - 39), content)
    late = median_seconds(lambda number: send(ann, upload, number, parts[number]), range(count - 39, count + 1))
    print(f"{early * 1000:.2f} ms at the beginning, {late * 1000:.2f} ms at part {count}")
    assert late < 3 * early + 0.003
    began = time.perf_counter()
    complete(ann, upload, parts)
    seconds = time.perf_counter() - began
    print(f"completed in {seconds:.2f} s")
    assert seconds < 10
    assert content_of(upload) == b"".join(parts.values())


# Parts whose place is told behind them -------------------------------------------------------------------------------


def test_a_part_that_is_set_aside_is_read_back(root: Path) -> None:
    with uploads.set_aside(reader=Content(CONTENT), size=len(CONTENT) + 50) as aside:
        assert aside.size == len(CONTENT)
        buffer = memoryview(bytearray(3000))
        assert bytes(buffer[: aside.readinto(buffer)]) == CONTENT
        assert aside.readinto(buffer) == 0
    assert list(root.iterdir()) == []


def test_nothing_is_left_of_what_was_set_aside_and_broke_off(root: Path, settings: Settings) -> None:
    reader = Content(CONTENT, breaks=True)
    with pytest.raises(BodyCutOffError), uploads.set_aside(reader=reader, size=5000):
        raise AssertionError("it did not come whole")
    assert list(root.iterdir()) == []
    use(settings, upload_max_part_bytes=100)
    with pytest.raises(TooLargeError), uploads.set_aside(reader=Unread(), size=101):
        raise AssertionError("it is too large")


# Complete, by several at once ----------------------------------------------------------------------------------------


def told_of(upload: Upload) -> tuple[Any, ...]:
    assert upload.stored_file is not None
    return upload.pk, upload.state, upload.stored_file.pk, upload.stored_file.path, upload.parts


@pytest.mark.parametrize("turn", range(battery.rounds(4, 40)))
def test_many_who_complete_at_once_are_told_the_same(ann: User, root: Path, turn: int) -> None:
    upload = sent(ann, {number: random.Random(turn).randbytes(100 + number % 2 * turn % 2) for number in range(1, 30)})
    parts = stored(upload)
    answers = at_once([lambda: uploads.complete(user=ann, upload_id=upload.pk, parts=parts)] * 8)
    assert len({repr(told_of(answer)) for answer in answers}) == 1
    assert len(files(root)) == StoredFile.objects.count() == 1
    assert collecting(root) == set()


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Callable[[], object]], None]]:
    """Have something happen once, just before a step of the service is taken."""

    def happen(step: str, what: Callable[[], object]) -> None:
        real = getattr(uploads, step)

        def stepping(*arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(uploads, step, real)
            thread = threading.Thread(target=lambda: (what(), connections.close_all()))
            thread.start()
            thread.join(WAIT_SECONDS)
            return real(*arguments, **options)

        monkeypatch.setattr(uploads, step, stepping)

    yield happen
    monkeypatch.undo()


@pytest.mark.parametrize("step", ["_require_same", "finish"])
def test_whoever_is_overtaken_by_another_who_completes_is_told_the_same(
    ann: User, root: Path, meanwhile: Callable[[str, Callable[[], object]], None], step: str
) -> None:
    upload = sent(ann)
    others: list[Upload] = []
    meanwhile(step, lambda: others.append(complete(ann, upload)))
    mine = complete(ann, upload)
    assert others
    assert told_of(mine) == told_of(others[0])
    assert len(files(root)) == 1


def test_a_part_that_is_replaced_after_the_last_look_is_found_out(
    ann: User, root: Path, meanwhile: Callable[[str, Callable[[], object]], None]
) -> None:
    upload = sent(ann)
    meanwhile("finish", lambda: tasks.collection(fresh(upload)).write_part(2, Content(b"replaced"), len(b"replaced")))
    with pytest.raises(PartsDifferError) as refusal:
        complete(ann, upload)
    assert list(refusal.value.differences) == [2]
    assert fresh(upload).state == "open"
    assert files(root) == []
    complete(ann, upload, {**PARTS, 2: b"replaced"})
    assert content_of(upload) == PARTS[1] + b"replaced" + PARTS[3]


def test_a_part_that_ends_after_the_upload_is_not_acknowledged(ann: User, root: Path) -> None:
    upload = sent(ann)
    late = [Sender(ann, upload, number, b"late" * 250) for number in (2, 4)]
    complete(ann, upload)
    for sender in late:
        sender.finish()
        assert isinstance(sender.failure, UploadEndedError)
    assert content_of(upload) == CONTENT
    assert collecting(root) == set()


@pytest.mark.parametrize("end", ["complete", "abort"])
def test_a_part_that_begins_just_before_the_end_is_not_acknowledged(
    ann: User, root: Path, meanwhile: Callable[[str, Callable[[], object]], None], end: str
) -> None:
    """It has been admitted and not begun when the upload ends."""
    upload = sent(ann)
    ending = {"complete": lambda: complete(ann, upload), "abort": lambda: uploads.abort(user=ann, upload_id=upload.pk)}
    meanwhile("collection", ending[end])
    with pytest.raises(UploadEndedError if end == "complete" else NoSuchUploadError):
        send(ann, upload, 2, b"late")
    if end == "complete":
        assert content_of(upload) == CONTENT
        assert fresh(upload).received == len(CONTENT)


def test_a_complete_that_the_worker_overtakes(
    ann: User, root: Path, meanwhile: Callable[[str, Callable[[], object]], None]
) -> None:
    upload = sent(ann)
    meanwhile("finish", lambda: tasks.complete_upload(str(upload.pk)))
    assert complete(ann, upload).state == "completed"
    assert len(files(root)) == 1


# Abort ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [{}, PARTS], ids=["nothing stored", "parts stored"])
def test_an_upload_that_is_ended_while_a_part_comes_in(ann: User, root: Path, before: dict[int, bytes]) -> None:
    upload = sent(ann, before)
    sender = Sender(ann, upload, 2, b"late" * 250)
    uploads.abort(user=ann, upload_id=upload.pk)
    with pytest.raises(NoSuchUploadError):
        uploads.find(user=ann, upload_id=upload.pk)
    sender.finish()
    assert isinstance(sender.failure, NoSuchUploadError)
    assert collecting(root) == set()
    assert not Upload.objects.exists()


def test_of_many_who_end_it_at_once_one_does(ann: User, root: Path) -> None:
    upload = sent(ann)

    def end() -> str:
        try:
            uploads.abort(user=ann, upload_id=upload.pk)
        except (NoSuchUploadError, UploadEndedError) as error:
            return error.code
        return "ended"

    assert sorted(at_once([end] * 6)).count("ended") == 1
    assert collecting(root) == set()


@pytest.mark.parametrize("turn", range(battery.rounds(3, 30)))
def test_completing_and_ending_it_at_once_does_one_of_the_two(ann: User, root: Path, turn: int) -> None:
    upload = sent(ann)

    def quietly(call: Callable[[], object]) -> str:
        try:
            call()
        except (NoSuchUploadError, UploadEndedError, PartsDifferError) as error:
            return error.code
        return "done"

    calls = [lambda: complete(ann, upload), lambda: uploads.abort(user=ann, upload_id=upload.pk)] * 3
    outcomes = at_once([functools.partial(quietly, call) for call in calls])
    completed = Upload.objects.filter(state="completed").exists()
    assert len(files(root)) == StoredFile.objects.count() == completed
    assert "done" in outcomes[::2] if completed else "done" in outcomes[1::2]
    assert collecting(root) == set()


# Life ----------------------------------------------------------------------------------------------------------------


def test_whatever_is_done_with_it_begins_its_life_anew(ann: User, settings: Settings) -> None:
    use(settings, upload_expiry_days=2.0)
    upload = sent(ann)
    steps: list[Callable[[], object]] = [
        lambda: uploads.resume(user=ann, upload_id=upload.pk),
        lambda: send(ann, upload, 1, PARTS[1]),
    ]
    for step in steps:
        old = fresh(upload).created_at - timedelta(days=1)
        Upload.objects.update(touched_at=old)
        step()
        expires = fresh(upload).expires_at
        assert expires is not None
        assert expires > old + timedelta(days=2.9)
    complete(ann, upload)
    assert fresh(upload).expires_at is None


def test_a_storage_that_fails_leaves_no_row(ann: User, root: Path) -> None:
    root.parent.mkdir(exist_ok=True)
    root.write_bytes(b"a file stands here")
    with pytest.raises(SinkError):
        initiate(ann)
    assert not Upload.objects.exists()


def test_users_see_their_own_newest_first_and_staff_all(ann: User, bob: User) -> None:
    rows = [initiate(ann), initiate(bob), initiate(ann)]
    assert list(uploads.visible(user=ann)) == [rows[2], rows[0]]
    assert list(uploads.visible(user=bob)) == [rows[1]]
    assert list(uploads.visible(user=new_user("root", is_staff=True))) == rows[::-1]
