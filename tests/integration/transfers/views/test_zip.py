"""`/download/order/{orderId}/zip`: streamed or made, the same bytes, and any range of them."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from config import rates
from tests import battery
from tests.integration.transfers.orders import Api, ordered, ready_file, work
from tests.integration.transfers.rows import at_once, use
from tests.readers import libarchive_reader, seven_zip
from transfers.engine.archive import Layout
from transfers.models import ListItem, ListJob, Order, StoredFile
from transfers.models.list_job import ListJobState
from transfers.services import order as orders
from transfers.services import stored_file as files
from transfers.services import zip_stream
from transfers.services.stored_file import ShortFileError
from transfers.services.zip_stream import KEPT_LAYOUTS, LEAST_RANGE_BYTES

pytest_plugins = ["tests.integration.transfers.order_fixtures"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

LARGE = bytes(range(256)) * 1_000
"""Sent from its file by the kernel, where there is one."""


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """No layouts of other tests' orders."""
    zip_stream._kept.__init__()  # type: ignore[misc]
    return


def get(api: Api, order: Order, method: str = "GET", **headers: str) -> Any:
    """The answer, whose body is read to its end."""
    response = api.ask(method, f"/download/order/{order.pk}/zip", **headers)
    response.body = b"".join(response) if response.streaming else response.content
    response.close()
    return response


def made(order: Order) -> bytes:
    """The zip as a worker makes it."""
    job = work(orders.start(order=order))
    assert job.state == ListJobState.COMPLETED
    assert job.stored_file is not None
    return Path(job.stored_file.path).read_bytes()


def some_order(owner: User) -> tuple[Order, dict[str, bytes]]:
    contents = {"small.bin": b"small", "empty.bin": b"", "large.bin": LARGE, "ä.mov": b"film" * 100}
    return ordered(owner, *(ready_file(owner, name, content) for name, content in contents.items())), contents


def test_what_is_streamed_is_what_is_made(lister: User, client_of_lists: Api) -> None:
    order, contents = some_order(lister)
    streamed = get(client_of_lists, order)
    assert streamed.status_code == 200
    with zipfile.ZipFile(io.BytesIO(streamed.body)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == contents
    assert made(order) == streamed.body
    answer = get(client_of_lists, order)
    assert (answer.status_code, answer.body) == (200, streamed.body)
    same = ("ETag", "Content-Type", "Content-Length", "Content-Disposition", "Accept-Ranges", "Cache-Control")
    assert [answer[name] for name in same] == [streamed[name] for name in same]
    assert streamed["Content-Type"] == "application/zip"
    assert streamed["Content-Disposition"] == 'attachment; filename="files.zip"'
    assert "Last-Modified" not in {*streamed.headers, *answer.headers}, "the same one would be that of other bytes too"


READERS = {"unzip": ["unzip", "-t"], "7-Zip": [seven_zip(), "t", "-bb1"], "libarchive": [*libarchive_reader()]}


@pytest.mark.parametrize("command", READERS.values(), ids=READERS)
def test_others_can_read_it(command: list[str], lister: User, client_of_lists: Api, tmp_path: Path) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"this machine has no {command[0]}")
    order, contents = some_order(lister)
    path = tmp_path / "streamed.zip"
    path.write_bytes(get(client_of_lists, order).body)
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    told = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False, env=env)
    assert told.returncode == 0, told.stdout + told.stderr
    assert all(name in told.stdout for name in contents), told.stdout


CONTENTS = st.lists(
    st.tuples(
        st.sampled_from(["a.bin", "b.bin", "ä.mov", "x/y", "..", "CON"]),
        st.sampled_from(["", "folder", "folder/deeper", "../up"]),
        st.one_of(
            st.binary(max_size=300),
            st.integers(LEAST_RANGE_BYTES - 2, LEAST_RANGE_BYTES + 2).map(lambda size: os.urandom(1) * size),
        ),
    ),
    min_size=1,
    max_size=6,
)


@hypothesis_settings(
    max_examples=battery.rounds(15, 300),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(contents=CONTENTS, data=st.data())
def test_any_range_of_any_zip(
    contents: list[tuple[str, str, bytes]], data: st.DataObject, lister: User, client_of_lists: Api
) -> None:
    order = ordered(lister, *(ready_file(lister, name, content, folder=folder) for name, folder, content in contents))
    ranges = data.draw(st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 70_000)), min_size=1, max_size=4))
    streamed = [get(client_of_lists, order, Range=f"bytes={start}-{start + more}") for start, more in ranges]
    whole = made(order)
    for (start, more), answer in zip(ranges, streamed, strict=True):
        if start >= len(whole):
            assert (answer.status_code, answer["Content-Range"]) == (416, f"bytes */{len(whole)}")
            continue
        expected = whole[start : start + more + 1]
        assert (answer.status_code, answer.body) == (206, expected)
        assert answer["Content-Range"] == f"bytes {start}-{start + len(expected) - 1}/{len(whole)}"
    found = zip_stream.stream(order=order)
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    assert b"".join(bytes_of(run) for run in found.runs(range(start, end))) == whole[start:end]


def bytes_of(run: bytes | files.FileRange) -> bytes:
    if isinstance(run, bytes):
        return run
    content = b""
    while run.start + len(content) < run.end:
        content += run.read(run.start + len(content))
    return content


def test_the_end_and_several_ranges(lister: User, client_of_lists: Api) -> None:
    order, _ = some_order(lister)
    answers = [get(client_of_lists, order, Range=r) for r in ("bytes=-22", "bytes=10-", "bytes=0-3,300-309,-5")]
    whole = made(order)
    assert answers[0].body == whole[-22:]
    assert answers[1].body == whole[10:]
    boundary = answers[2]["Content-Type"].removeprefix("multipart/byteranges; boundary=")
    pieces = answers[2].body.split(b"--" + boundary.encode())
    bodies = [piece.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for piece in pieces[1:-1]]
    assert bodies == [whole[:4], whole[300:310], whole[-5:]]
    assert int(answers[2]["Content-Length"]) == len(answers[2].body)


@pytest.mark.parametrize("is_made", [False, True])
def test_conditions(is_made: bool, lister: User, client_of_lists: Api) -> None:  # noqa: FBT001 - a parameter
    order, _ = some_order(lister)
    whole = made(order) if is_made else get(client_of_lists, order).body
    etag = get(client_of_lists, order, "HEAD")["ETag"]
    part = {"Range": "bytes=5-9"}
    assert get(client_of_lists, order, **part, If_Range=etag).body == whole[5:10]
    for other in ('"other"', "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 2094 08:49:37 GMT"):
        assert get(client_of_lists, order, **part, If_Range=other).body == whole
    assert get(client_of_lists, order, If_None_Match=etag).status_code == 304
    assert get(client_of_lists, order, If_Match='"other"').status_code == 412
    answer = get(client_of_lists, order, Range=f"bytes={len(whole)}-")
    assert (answer.status_code, answer["Content-Range"]) == (416, f"bytes */{len(whole)}")
    head = get(client_of_lists, order, "HEAD", **part)
    assert (head.status_code, head.body, head["Content-Length"]) == (200, b"", str(len(whole)))


def test_the_validator_is_another_when_a_file_is_gone(lister: User, client_of_lists: Api) -> None:
    a, b, c = (ready_file(lister, f"{n}.bin", bytes([n]) * 10) for n in range(3))
    order = ordered(lister, a, b, c)
    seen = [get(client_of_lists, order)]
    files.delete(user=lister, stored_file_id=b.pk)
    zip_stream._kept.__init__()  # type: ignore[misc]
    seen.append(get(client_of_lists, order))
    assert get(client_of_lists, order, Range="bytes=5-9", If_Range=seen[0]["ETag"]).body == seen[1].body
    assert len({each["ETag"] for each in seen}) == 2
    with zipfile.ZipFile(io.BytesIO(seen[1].body)) as archive:
        assert archive.namelist() == ["0.bin", "2.bin"]
    assert list(order.items.values_list("failure_code", flat=True)) == ["", "NOT_FOUND", ""]
    assert [item.file_id for item in ListItem.objects.all()] == [b.pk]
    assert made(order) == seen[1].body


def test_the_layout_that_is_kept_is_of_the_very_files(lister: User, client_of_lists: Api) -> None:
    """As many files have failed as before, but others."""
    a, b = (ready_file(lister, f"{n}.bin", bytes([n]) * 10) for n in range(2))
    order = ordered(lister, a, b)
    hidden = Path(a.path).rename(Path(a.path).with_name("hidden"))
    with zipfile.ZipFile(io.BytesIO(get(client_of_lists, order).body)) as archive:
        assert archive.namelist() == ["1.bin"]
    hidden.rename(a.path)
    Path(b.path).unlink()
    whole = made(order)
    ListJob.objects.update(state=ListJobState.EXPIRED)
    with zipfile.ZipFile(io.BytesIO(get(client_of_lists, order).body)) as archive:
        assert (archive.namelist(), archive.read("0.bin")) == (["0.bin"], b"\0" * 10)
    assert get(client_of_lists, order).body == whole


def test_a_file_that_goes_while_it_is_streamed_breaks_the_answer_off(lister: User) -> None:
    order, _ = some_order(lister)
    found = zip_stream.stream(order=order)
    large = StoredFile.objects.get(name="large.bin")
    Path(large.path).unlink()
    with pytest.raises(ShortFileError):
        b"".join(map(bytes_of, found.runs(range(found.layout.size))))
    assert zip_stream.stream(order=order).layout.count == found.layout.count - 1, "the next one is told without it"


@pytest.mark.parametrize("size", [LEAST_RANGE_BYTES, 3 * LEAST_RANGE_BYTES])
def test_a_file_that_is_written_to_while_it_is_streamed_breaks_the_answer_off(size: int, lister: User) -> None:
    """Also where the answer ends with it: whoever asks for a range never has it whole with other bytes in it."""
    file = ready_file(lister, "film.mov", b"a" * size)
    order = ordered(lister, file)
    found = zip_stream.stream(order=order)
    runs = found.runs(range(found.layout.directory_offset))
    assert isinstance(next(runs), bytes)
    assert isinstance(next(runs), files.FileRange)
    Path(file.path).write_bytes(b"b" * size)
    with pytest.raises(ShortFileError):
        next(runs)
    assert zip_stream.stream(order=order).layout.count == 0, "the next one is told without it"


def test_a_range_costs_little_however_many_files_there_are(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    order = ordered(lister, *(ready_file(lister) for _ in range(3)))
    asked: list[Order] = []
    numbers = zip_stream.entry_numbers
    monkeypatch.setattr(zip_stream, "entry_numbers", lambda order: (asked.append(order), numbers(order))[1])
    for _ in range(5):
        found = zip_stream.stream(order=order)
        assert b"".join(map(bytes_of, found.runs(range(found.layout.size))))
    assert len(asked) == 1


def test_two_first_ones_at_once_have_it_laid_out_once(lister: User, monkeypatch: pytest.MonkeyPatch) -> None:
    order, _ = some_order(lister)
    began: list[Order] = []
    layout_of = zip_stream.layout_of

    def slow(order: Order) -> Layout:
        began.append(order)
        time.sleep(0.5)
        return layout_of(order)

    monkeypatch.setattr(zip_stream, "layout_of", slow)
    found = at_once([lambda: zip_stream.stream(order=order).layout.validator for _ in range(3)])
    assert (len(began), len(set(found))) == (1, 1)


@pytest.fixture
def uncounted(lister: User) -> Iterator[None]:
    """Nothing is counted as the lister's requests, of which a user of another test may have had many."""

    def forget() -> None:
        rates._redis.ask(lambda client: client.delete(f"carryon:rate:requests:user:{lister.pk}"))

    forget()
    yield
    forget()


@pytest.mark.usefixtures("uncounted")
def test_looking_at_all_files_counts_as_a_request(lister: User, client_of_lists: Api, settings: Settings) -> None:
    """More orders in turn than are kept cost as much each time, also where no byte of them is wanted."""
    api, turns = client_of_lists, [ordered(lister, ready_file(lister)) for _ in range(KEPT_LAYOUTS + 1)]
    use(settings, rate_limit_requests=f"{len(turns)}/day")
    assert [get(api, order, "HEAD").status_code for order in turns] == [200] * len(turns)
    assert get(api, turns[-1]).status_code == 200, "what is kept costs nothing"
    refused = get(api, turns[0], "HEAD")
    assert (refused.status_code, int(refused["Retry-After"]) > 0) == (429, True)
    made(turns[0])
    assert get(api, turns[0]).status_code == 200, "nor does what is made"


def test_a_made_zip_that_is_gone_is_streamed(lister: User, client_of_lists: Api) -> None:
    order, _ = some_order(lister)
    whole = made(order)
    Path(order.jobs.get().stored_file.path).unlink()
    assert get(client_of_lists, order).body == whole


def test_a_made_zip_that_is_gone_is_streamed_without_a_file_that_is_gone(lister: User, client_of_lists: Api) -> None:
    """Its job does not make it any more, and so has no say about what is in it."""
    a, b = (ready_file(lister, f"{n}.bin", bytes([n]) * 10) for n in range(2))
    order = ordered(lister, a, b)
    made(order)
    job = order.jobs.get()
    assert job.stored_file is not None
    files.delete(user=lister, stored_file_id=b.pk)
    away = Path(job.stored_file.path).rename(Path(job.stored_file.path).with_name("away"))
    with zipfile.ZipFile(io.BytesIO(get(client_of_lists, order).body)) as archive:
        assert archive.namelist() == ["0.bin"]
    job.refresh_from_db()
    assert (job.state, job.stored_file) == (ListJobState.EXPIRED, None)
    assert [item.file_id for item in ListItem.objects.all()] == [b.pk]
    assert away.exists()


def test_nobody_who_streams_changes_what_a_worker_makes(lister: User, client_of_lists: Api) -> None:
    """Nor is anybody promised bytes that are known not to be had."""
    a, b = (ready_file(lister, f"{n}.bin", bytes([n]) * 10) for n in range(2))
    order = ordered(lister, a, b)
    job = orders.start(order=order)
    files.delete(user=lister, stored_file_id=b.pk)
    client_of_lists.refused(503, "zip_pending", "GET", f"/download/order/{order.pk}/zip")
    assert list(order.items.values_list("failure_code", flat=True)) == ["", ""]
    assert not ListItem.objects.exists()
    work(job)
    assert list(order.items.values_list("failure_code", flat=True)) == ["", "NOT_FOUND"]
    assert [item.file_id for item in ListItem.objects.all()] == [b.pk]


def test_what_has_to_be_made_first(lister: User, client_of_lists: Api) -> None:
    text = b"again and again " * 10_000
    order = ordered(lister, ready_file(lister, "a.txt", text, content_type="text/plain"), ready_file(lister))
    client_of_lists.refused(409, "not_streamable", "GET", f"/download/order/{order.pk}/zip")
    whole = made(order)
    assert len(whole) < len(text) // 10
    answer = get(client_of_lists, order)
    assert (answer.status_code, answer.body) == (200, whole)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.read("a.txt") == text


def test_what_cannot_be_told_yet(lister: User, client_of_lists: Api) -> None:
    order = ordered(lister, ready_file(lister, crc32="", sha256=""))
    client_of_lists.refused(503, "checksums_pending", "GET", f"/download/order/{order.pk}/zip")


def test_many_at_once_get_the_same(lister: User, client_of_lists: Api) -> None:
    order = ordered(lister, *(ready_file(lister, f"{n}.bin", bytes([n]) * 1_000) for n in range(40)))
    found: list[bytes] = []

    def read() -> None:
        stream = zip_stream.stream(order=order)
        found.append(b"".join(bytes_of(run) for run in stream.runs(range(stream.layout.size))))

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [made(order)] * 6
