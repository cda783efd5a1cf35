"""Files sent in parts to a service that keeps them in S3: through it and past it, killed, cut off, and swept."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests

from tests import battery
from tests.e2e.carryon import Carryon, running_carryon
from tests.e2e.stores import COMPLETED, COMPLETING, PREFIX, Bucket, Gate, files_below
from tests.e2e.uploads import Form, Uploads, Wire, at_the_same_time, md5, md5s, part_form, told_of
from tests.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server, running_rclone
from tests.servers import manage
from tests.service import wait_until

MIB = 2**20
SEED = int(os.environ.get("CARRYON_SEED", "1"))
BACK_SECONDS = 40
WORKED_SECONDS = 35
"""What a worker does within this: a reaper's look, and a busy machine."""
PARTS = {1: b"a" * 300_000, 2: b"b" * 700_000, 3: b"c" * 10}
CONTENT = b"".join(PARTS.values())
ADDRESS_SECONDS = 20


@pytest.fixture(scope="module")
def gate(swift: S3Server) -> Iterator[Gate]:
    """The way of the service, and of whoever it gives addresses to, to the store."""
    with Gate(swift) as gate:
        yield gate


def in_s3(url: str) -> dict[str, str]:
    """The variables of a service whose files lie at this store."""
    return {"STORAGE": "s3", "S3_BUCKET": BUCKET, "S3_PREFIX": PREFIX, "S3_ENDPOINT_URL": url}


@pytest.fixture(scope="module")
def carryon(tmp_path_factory: pytest.TempPathFactory, gate: Gate) -> Iterator[Carryon]:
    """A service whose files lie in S3."""
    with running_carryon(tmp_path_factory.mktemp("carryon"), **in_s3(gate.url)) as running:
        yield running


@pytest.fixture(scope="module")
def ann(carryon: Carryon) -> Uploads:
    return Uploads(carryon.service.url, carryon.admin.token)


@pytest.fixture(scope="module")
def bob(carryon: Carryon) -> Uploads:
    return Uploads(carryon.service.url, carryon.user("bob").token)


@pytest.fixture
def bucket(carryon: Carryon, swift: S3Server) -> Iterator[Bucket]:
    """What lies in the store: after each test, what the database knows, each once, and nothing else."""
    found = Bucket(swift, carryon)
    yield found
    wait_until(found.is_as_the_database_says, WORKED_SECONDS)
    assert not files_below(carryon.data_dir / "files")


def wait_until_back(carryon: Carryon) -> None:
    def answers() -> bool:
        with suppress(requests.ConnectionError):
            return requests.get(f"{carryon.service.url}/livez", timeout=BACK_SECONDS).ok
        return False

    wait_until(answers, BACK_SECONDS)


def kill_web(carryon: Carryon) -> None:
    """End it, and wait until there is another one."""
    before = carryon.pid("web")
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: carryon.service.pids().get("web") not in (before, None), BACK_SECONDS)
    wait_until_back(carryon)


def file_at(user: Uploads, told: Mapping[str, Any]) -> dict[str, Any]:
    """What the service tells of a finished file."""
    reply = requests.get(told["url"].removesuffix("/content"), headers=user.headers, timeout=ADDRESS_SECONDS)
    assert reply.status_code == 200, reply.text
    file: dict[str, Any] = reply.json()
    return file


def delete(user: Uploads, told: Mapping[str, Any]) -> None:
    """Delete a finished file."""
    reply = requests.delete(told["url"].removesuffix("/content"), headers=user.headers, timeout=ADDRESS_SECONDS)
    assert reply.status_code == 204, reply.text


def address_of(user: Uploads, told: Mapping[str, Any], query: str = "") -> str:
    """Where the service sends whoever wants the file's bytes."""
    reply = requests.get(told["url"] + query, headers=user.headers, timeout=ADDRESS_SECONDS, allow_redirects=False)
    assert (reply.status_code, reply.headers["Cache-Control"]) == (302, "private, no-store"), reply.text
    return reply.headers["Location"]


def part_address(user: Uploads, upload: int, number: int) -> str:
    """Where the store itself takes the part."""
    told = user.ask("POST", f"/{upload}/parts/{number}/url").data
    assert (told["method"], told["headers"]) == ("PUT", {})
    return str(told["url"])


def send_past(address: str, content: bytes, **headers: str) -> requests.Response:
    """Send the part to the store itself, as any client of HTTP does."""
    return requests.put(address, data=content, headers=headers, timeout=ADDRESS_SECONDS)


def sweep(carryon: Carryon, age_seconds: float = -5) -> None:
    """Sweep now what is older than this."""
    told = f"from transfers.tasks import sweeping as s; s.ORPHAN_AGE_SECONDS = {age_seconds}; s.sweep()"
    manage(carryon.data_dir, "shell", "--no-imports", "-c", told, **carryon.variables)


# From the first part to the file -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["part", "put"])
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2, 3, 1)], ids=str)
def test_parts_in_any_order_and_twice(ann: Uploads, bucket: Bucket, order: tuple[int, ...], way: str) -> None:
    upload = ann.begin("Maße & Gewichte.mov", fileSize=len(CONTENT), md5=md5(CONTENT), mode=31)
    sent = set()
    for number in order:
        assert getattr(ann, way)(upload, number, PARTS[number]).data["md5string"] == md5(PARTS[number])
        sent.add(number)
        assert ann.stored(upload) == {number: md5(PARTS[number]) for number in sent}
    resumed = ann.resume(upload).data
    assert {int(number): each for number, each in resumed["parts"].items()} == md5s(PARTS)
    key = bucket.key(upload)
    assert key not in bucket.objects()
    assert key in {name for name, _ in bucket.unfinished()}
    told = ann.finished(upload, md5s(PARTS))
    assert (told["size"], told["fileName"]) == (len(CONTENT), "Maße & Gewichte.mov")
    assert bucket.store.content(key) == CONTENT
    assert key not in {name for name, _ in bucket.unfinished()}
    wait_until(lambda: file_at(ann, told)["verified"], WORKED_SECONDS)
    assert file_at(ann, told)["md5"] == md5(CONTENT)
    assert ann.initiate("again.mov", fileSize=len(CONTENT), md5=md5(CONTENT)).data["url"] == told["url"]
    delete(ann, told)
    wait_until(lambda: bucket.store.content(key) is None, WORKED_SECONDS)
    ann.state(upload).problem(404, "no_such_upload")


def test_what_was_not_promised_is_found_out(ann: Uploads, bucket: Bucket) -> None:
    upload = ann.begin(md5=md5(b"something else"))
    told = ann.finished(upload, ann.send(upload, PARTS))
    wait_until(lambda: file_at(ann, told)["verified"] is False, WORKED_SECONDS)
    assert ann.content(told) == CONTENT


@pytest.mark.parametrize("size", [1000, 3 * MIB], ids=["small", "large"])
def test_a_part_with_another_md5_changes_nothing(ann: Uploads, bucket: Bucket, size: int) -> None:
    before, after = (random.Random(seed).randbytes(size) for seed in (1, 2))
    upload = ann.begin()
    for there in ({}, {1: before}):
        ann.send(upload, there)
        ann.part(upload, 1, after, md5=md5(b"x")).problem(422, "md5_mismatch")
        ann.put(upload, 1, after, content_md5=md5(b"x")).problem(422, "md5_mismatch")
        assert ann.stored(upload) == md5s(there)
    assert ann.put(upload, 1, after, content_md5=md5(after)).data["md5string"] == md5(after)
    assert ann.content(ann.finished(upload, {1: md5(after)})) == after


def test_a_part_that_breaks_off_leaves_what_was_there(ann: Uploads, bucket: Bucket) -> None:
    upload = ann.begin()
    ann.send(upload, {1: b"before"})
    with ann.wire() as wire:
        wire.send(b"".join(ann.request(part_form(upload, 1, bytes(3 * MIB))))[: 2 * MIB])
    time.sleep(0.5)
    assert ann.stored(upload) == md5s({1: b"before"})
    ann.send(upload, PARTS, connections=3)
    assert ann.content(ann.finished(upload, md5s(PARTS))) == CONTENT


def test_a_part_by_form_whose_fields_follow_the_file(ann: Uploads, bucket: Bucket, carryon: Carryon) -> None:
    """It waits on disk for its place, and then goes to the store."""
    upload = ann.begin()
    for number, content in PARTS.items():
        form = part_form(upload, number, content)
        behind = Form(form.fields[::-1])
        assert ann.post(behind).data["md5string"] == md5(content)
    assert ann.content(ann.finished(upload, md5s(PARTS))) == CONTENT


def test_many_parts_at_once(ann: Uploads, bucket: Bucket) -> None:
    parts = {number: random.Random(number).randbytes(200_000 + number) for number in range(1, 13)}
    upload = ann.begin()
    for _ in range(2):
        ann.send(upload, parts, connections=6)
    assert ann.content(ann.finished(upload, md5s(parts))) == b"".join(parts.values())


@pytest.mark.parametrize("inline", [False, True])
def test_the_file_is_fetched_from_the_store_itself(ann: Uploads, bob: Uploads, bucket: Bucket, *, inline: bool) -> None:
    told = ann.upload(CONTENT, "Übersicht, neu.pdf", contentType="application/pdf")
    address = address_of(ann, told, "?disposition=inline" if inline else "")
    whole = requests.get(address, timeout=ADDRESS_SECONDS)
    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert whole.headers["Content-Type"] == "application/pdf"
    shown = f"{'inline' if inline else 'attachment'}; filename*=utf-8''{quote('Übersicht, neu.pdf')}"
    assert whole.headers["Content-Disposition"] == shown
    ranged = requests.get(address, headers={"Range": "bytes=299990-300009"}, timeout=ADDRESS_SECONDS)
    assert (ranged.status_code, ranged.content) == (206, b"a" * 10 + b"b" * 10)
    refused = requests.put(address, data=b"x", timeout=ADDRESS_SECONDS)
    assert refused.status_code == 403
    head = requests.head(told["url"], headers=ann.headers, timeout=ADDRESS_SECONDS)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(CONTENT)))
    assert requests.get(told["url"], headers=bob.headers, timeout=ADDRESS_SECONDS).status_code == 404
    assert requests.get(told["url"], timeout=ADDRESS_SECONDS).status_code == 401


def test_what_a_browser_would_run_is_served_as_what_is_saved(ann: Uploads, bucket: Bucket) -> None:
    told = ann.upload(b"<script>alert(1)</script>", "page.html", contentType="text/html")
    reply = requests.get(address_of(ann, told, "?disposition=inline"), timeout=ADDRESS_SECONDS)
    assert reply.headers["Content-Disposition"] == 'attachment; filename="page.html"'


def test_the_same_name_twice_is_two_objects(ann: Uploads, bucket: Bucket) -> None:
    first, second = ann.upload(b"first", "twin.txt"), ann.upload(b"second", "twin.txt")
    assert (ann.content(first), ann.content(second)) == (b"first", b"second")
    delete(ann, first)
    wait_until(bucket.is_as_the_database_says, WORKED_SECONDS)
    assert ann.content(second) == b"second"


# Past the service ----------------------------------------------------------------------------------------------------


def test_parts_past_the_service(ann: Uploads, bucket: Bucket) -> None:
    upload = ann.begin(fileSize=len(CONTENT), md5=md5(CONTENT))
    ann.send(upload, {2: PARTS[2]})
    for number in (3, 1):
        address = part_address(ann, upload, number)
        assert SECRET_KEY not in address
        assert "X-Amz-Expires=900" in address
        assert send_past(address, PARTS[number]).status_code == 200
        assert send_past(address, PARTS[number]).headers["ETag"].strip('"') == md5(PARTS[number])
    assert ann.stored(upload) == md5s(PARTS)
    assert ann.state(upload).data["received"] == len(CONTENT)
    told = ann.finished(upload, md5s(PARTS))
    wait_until(lambda: file_at(ann, told)["verified"], WORKED_SECONDS)
    assert ann.content(told) == CONTENT
    ann.ask("POST", f"/{upload}/parts/1/url").problem(409, "upload_ended")


def test_an_address_is_good_for_its_part_alone(ann: Uploads, bucket: Bucket) -> None:
    upload = ann.begin()
    address = part_address(ann, upload, 1)
    assert send_past(address.replace("partNumber=1", "partNumber=2"), b"x").status_code == 403
    assert requests.delete(address, timeout=ADDRESS_SECONDS).status_code == 403
    for number in (0, 10_001, 999_999_999):
        assert "part" in ann.ask("POST", f"/{upload}/parts/{number}/url").problem(400, "invalid_input")["errors"]
    assert ann.stored(upload) == {}
    ann.abort(upload)
    wait_until(lambda: bucket.state(upload) == "none", WORKED_SECONDS)
    assert send_past(address, b"x").status_code == 404


def test_asking_for_an_address_puts_the_expiry_off(ann: Uploads, bucket: Bucket) -> None:
    upload = ann.begin()
    bucket.execute("UPDATE transfers_upload SET touched_at = '2020-01-01' WHERE id = ?", upload)
    part_address(ann, upload, 1)
    assert bucket.rows("SELECT touched_at > '2021-01-01' FROM transfers_upload WHERE id = ?", upload) == [(1,)]


# Refused -------------------------------------------------------------------------------------------------------------


def test_complete_of_other_parts_than_are_stored(ann: Uploads, bucket: Bucket) -> None:
    upload = ann.begin()
    ann.send(upload, {1: PARTS[1], 3: PARTS[3]})
    told = ann.complete(upload, md5s({1: PARTS[1], 3: PARTS[3]})).problem(409, "parts_differ")
    assert told["errors"] == {"parts.2": ["is missing"]}
    ann.send(upload, {2: b"other"})
    told = ann.complete(upload, md5s(PARTS)).problem(409, "parts_differ")
    assert told["errors"] == {"parts.2": ["is stored with another MD5"]}
    told = ann.complete(upload, md5s({1: PARTS[1]})).problem(409, "parts_differ")
    assert told["errors"].keys() == {"parts.2", "parts.3"}
    ann.complete(upload, {}).problem(409, "parts_differ")
    ann.send(upload, {2: PARTS[2]})
    assert ann.content(ann.finished(upload, md5s(PARTS))) == CONTENT


def test_complete_of_another_size_than_was_told(ann: Uploads, bucket: Bucket) -> None:
    upload = ann.begin(fileSize=10)
    assert send_past(part_address(ann, upload, 1), b"12345678901").status_code == 200
    ann.complete(upload, md5s({1: b"12345678901"})).problem(409, "size_differs")
    assert send_past(part_address(ann, upload, 1), b"1234567890").status_code == 200
    assert ann.content(ann.finished(upload, md5s({1: b"1234567890"}))) == b"1234567890"


def test_complete_twice_and_by_many_at_once(ann: Uploads, bucket: Bucket) -> None:
    for _ in range(battery.rounds(2, 20)):
        upload = ann.begin()
        ann.send(upload, PARTS)
        answers = at_the_same_time([lambda upload=upload: ann.complete(upload, md5s(PARTS))] * 6)  # type: ignore[misc]
        first = told_of(answers[0])
        assert [told_of(answer) for answer in answers] == [first] * 6
        assert told_of(ann.complete(upload, md5s(PARTS))) == first
        ann.complete(upload, md5s({1: b"x"})).problem(409, "parts_differ")
        ann.part(upload, 1, b"late").problem(409, "upload_ended")
        ann.abort(upload).problem(409, "upload_ended")
        assert ann.content(first) == CONTENT


def test_abort_removes_the_parts(ann: Uploads, bucket: Bucket) -> None:
    upload = ann.begin()
    ann.send(upload, PARTS)
    key, name = bucket.key(upload), bucket.name(upload)
    assert (key, name) in bucket.unfinished()
    assert ann.abort(upload).data["aborted"] is True
    wait_until(lambda: (key, name) not in bucket.unfinished(), WORKED_SECONDS)
    ann.state(upload).problem(404, "no_such_upload")
    ann.part(upload, 1, b"x").problem(404, "no_such_upload")
    ann.complete(upload, md5s(PARTS)).problem(404, "no_such_upload")
    ann.abort(upload).problem(404, "no_such_upload")


def test_somebody_elses_upload_is_none(ann: Uploads, bob: Uploads, bucket: Bucket) -> None:
    upload = ann.begin()
    ann.send(upload, PARTS)
    for refused in (
        bob.resume(upload),
        bob.state(upload),
        bob.part(upload, 1, b"x"),
        bob.put(upload, 1, bytes(3 * MIB)),
        bob.ask("POST", f"/{upload}/parts/1/url"),
        bob.complete(upload, md5s(PARTS)),
        bob.abort(upload),
        bob.ask("DELETE", f"/{upload}"),
    ):
        refused.problem(404, "no_such_upload")
    assert ann.stored(upload) == md5s(PARTS)


# Killed, cut off and late --------------------------------------------------------------------------------------------


def test_a_kill_between_two_parts_and_amid_one(carryon: Carryon, ann: Uploads, bucket: Bucket) -> None:
    upload = ann.begin()
    ann.send(upload, {1: PARTS[1]})
    with ann.wire() as wire:
        wire.send(b"".join(ann.request(part_form(upload, 2, bytes(3 * MIB))))[: 2 * MIB])
        kill_web(carryon)
    resumed = ann.resume(upload).data
    assert resumed["parts"] == {"1": md5(PARTS[1])}
    ann.send(upload, {number: PARTS[number] for number in (2, 3)})
    assert ann.content(ann.finished(upload, md5s(PARTS))) == CONTENT


def complete_on(user: Uploads, wire: Wire, upload: int) -> None:
    """Ask to complete the upload of all parts, and wait for nothing."""
    wire.send(*user.request(Form([("option", "complete"), ("fileId", upload), ("parts", str(md5s(PARTS)))])))


def test_what_was_accepted_is_completed_without_the_client(
    carryon: Carryon, ann: Uploads, gate: Gate, bucket: Bucket
) -> None:
    """Killed before the store was asked, while the request was on its way, and when the file was made."""
    uploads = [ann.begin(f"rolled-{number}.mov", md5=md5(CONTENT)) for number in range(3)]
    for upload in uploads:
        ann.send(upload, PARTS)
    with ExitStack() as stack:
        for upload, pattern, lost in zip(
            uploads, (COMPLETING, COMPLETING, COMPLETED), (True, False, True), strict=True
        ):
            hold = stack.enter_context(gate.holding(pattern % upload, lost=lost))
            complete_on(ann, stack.enter_context(ann.wire()), upload)
            hold.wait_until_reached()
            assert bucket.state(upload) == "completing"
            ann.part(upload, 1, b"late").problem(409, "upload_ended")
            ann.abort(upload).problem(409, "upload_ended")
            assert ann.stored(upload) == md5s(PARTS)
        os.kill(carryon.pid("web"), signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: all(bucket.state(upload) == "completed" for upload in uploads), WORKED_SECONDS)
    print(f"rolled forward {time.monotonic() - killed:.1f} s after the kill")
    wait_until_back(carryon)
    for upload in uploads:
        told = ann.finished(upload, md5s(PARTS))
        assert ann.content(told) == CONTENT
        wait_until(lambda told=told: file_at(ann, told)["verified"], WORKED_SECONDS)


def test_the_client_that_asks_again_does_not_wait_for_the_reaper(
    carryon: Carryon, ann: Uploads, gate: Gate, bucket: Bucket
) -> None:
    upload = ann.begin()
    ann.send(upload, PARTS)
    with gate.holding(COMPLETED % upload, lost=True) as hold, ann.wire() as wire:
        complete_on(ann, wire, upload)
        hold.wait_until_reached()
        kill_web(carryon)
    assert ann.content(ann.finished(upload, md5s(PARTS))) == CONTENT


@pytest.mark.parametrize("size", [1000, 3 * MIB], ids=["small", "large"])
def test_a_part_that_comes_too_late_leaves_the_file_as_it_was(ann: Uploads, bucket: Bucket, size: int) -> None:
    """Its sender began while the upload was open, and ends when it is complete: some stores would take it."""
    upload = ann.begin()
    ann.send(upload, PARTS)
    request = b"".join(ann.request(part_form(upload, 1, b"z" * size)))
    cut = len(request) - 100
    with ann.wire() as wire:
        wire.send(request[:cut])
        time.sleep(0.3)
        told = ann.finished(upload, md5s(PARTS))
        wire.send(request[cut:])
        wire.answer().problem(409, "upload_ended")
    assert ann.content(told) == CONTENT


def test_a_part_that_is_replaced_while_the_file_is_made(ann: Uploads, gate: Gate, bucket: Bucket) -> None:
    """Past the service, where nothing keeps it out: the store finds it, and the upload is open again."""
    upload = ann.begin()
    ann.send(upload, PARTS)
    address = part_address(ann, upload, 2)
    with gate.holding(COMPLETING % upload) as hold, ann.wire() as wire:
        complete_on(ann, wire, upload)
        hold.wait_until_reached()
        assert send_past(address, b"other").status_code == 200
        hold.release()
        assert wire.answer().problem(409, "parts_differ")["errors"] == {"parts.2": ["is stored with another MD5"]}
    ann.send(upload, {2: PARTS[2]})
    assert ann.content(ann.finished(upload, md5s(PARTS))) == CONTENT


def test_an_upload_whose_beginning_was_not_noted(ann: Uploads, bucket: Bucket, carryon: Carryon) -> None:
    """As a kill leaves it right behind the store's answer: all who send parts then agree on one name."""
    upload = ann.begin()
    lost = bucket.name(upload)
    bucket.execute("UPDATE transfers_upload SET collection_name = '' WHERE id = ?", upload)
    assert ann.resume(upload).data["parts"] == {}
    ann.complete(upload, md5s(PARTS)).problem(409, "parts_differ")
    answers = at_the_same_time([lambda number=number: ann.part(upload, number, PARTS[number]) for number in PARTS])  # type: ignore[misc]
    assert {each.data["part"]: each.data["md5string"] for each in answers} == md5s(PARTS)
    assert ann.stored(upload) == md5s(PARTS)
    assert {name for key, name in bucket.unfinished() if key == bucket.key(upload)} == {lost, bucket.name(upload)}
    told = ann.finished(upload, md5s(PARTS))
    sweep(carryon)
    assert not {name for key, name in bucket.unfinished() if key == bucket.key(upload)}
    assert ann.content(told) == CONTENT


def test_an_address_for_an_upload_whose_beginning_was_not_noted(ann: Uploads, bucket: Bucket) -> None:
    upload = ann.begin()
    bucket.store.plain.abort_multipart_upload(Bucket=BUCKET, Key=bucket.key(upload), UploadId=bucket.name(upload))
    bucket.execute("UPDATE transfers_upload SET collection_name = '' WHERE id = ?", upload)
    assert send_past(part_address(ann, upload, 1), CONTENT).status_code == 200
    assert ann.content(ann.finished(upload, md5s({1: CONTENT}))) == CONTENT


def test_a_whole_kill_of_the_store_loses_nothing(ann: Uploads, gate: Gate, swift: S3Server, bucket: Bucket) -> None:
    """Whatever is asked meanwhile is refused with 503; the upload goes on when the store is back."""
    finished = ann.upload(CONTENT)
    upload = ann.begin()
    ann.send(upload, {1: PARTS[1]})
    gate.down()
    swift.kill()
    gate.cut()
    before = bucket.rows("SELECT count(*) FROM transfers_upload")
    try:
        for refused in (
            ann.initiate(),
            ann.part(upload, 2, PARTS[2]),
            ann.put(upload, 2, PARTS[2]),
            ann.resume(upload),
            ann.state(upload),
            ann.complete(upload, md5s({1: PARTS[1]})),
        ):
            told = refused.problem(503, "sink_failed")
            assert refused.headers["Retry-After"] == "5"
            assert BUCKET in told["detail"]
            assert "cannot be reached" in told["detail"]
            assert not {ACCESS_KEY, SECRET_KEY, PREFIX, bucket.key(upload)} & set(told["detail"].split())
        assert bucket.rows("SELECT count(*) FROM transfers_upload") == before
        assert address_of(ann, finished)
        delete(ann, finished)
    finally:
        swift.start()
        gate.up()
    assert ann.stored(upload) == md5s({1: PARTS[1]})
    ann.send(upload, {number: PARTS[number] for number in (2, 3)})
    assert ann.content(ann.finished(upload, md5s(PARTS))) == CONTENT


def test_the_store_goes_down_amid_a_part_and_amid_completing(
    ann: Uploads, gate: Gate, swift: S3Server, bucket: Bucket
) -> None:
    upload = ann.begin()
    ann.send(upload, {1: PARTS[1], 3: PARTS[3]})
    request = b"".join(ann.request(part_form(upload, 2, PARTS[2] + bytes(3 * MIB))))
    with ann.wire() as wire:
        wire.send(request[: 2 * MIB])
        time.sleep(0.3)
        gate.down()
        swift.kill()
        gate.cut()
        wire.try_to_send(request[2 * MIB :])
        wire.answer().problem(503, "sink_failed")
    swift.start()
    gate.up()
    assert ann.stored(upload) == md5s({1: PARTS[1], 3: PARTS[3]})
    ann.send(upload, {2: PARTS[2]})
    with gate.holding(COMPLETING % upload, lost=True) as hold, ann.wire() as wire:
        complete_on(ann, wire, upload)
        hold.wait_until_reached()
        gate.down()
        swift.kill()
        gate.cut()
        wire.answer().problem(503, "sink_failed")
    assert bucket.state(upload) == "completing"
    ann.complete(upload, md5s(PARTS)).problem(503, "sink_failed")
    assert ann.stored(upload) == md5s(PARTS), "as they were accepted"
    swift.start()
    gate.up()
    assert ann.content(ann.finished(upload, md5s(PARTS))) == CONTENT


def test_the_store_has_forgotten_the_upload(ann: Uploads, swift: S3Server, bucket: Bucket) -> None:
    """As a rule of the bucket may make it, which ends old multipart uploads: the client is told to begin anew."""
    upload = ann.begin()
    ann.send(upload, PARTS)
    swift.plain.abort_multipart_upload(Bucket=BUCKET, Key=bucket.key(upload), UploadId=bucket.name(upload))
    assert ann.part(upload, 1, b"x").status in (404, 409)
    ann.resume(upload).problem(404, "no_such_upload")
    ann.state(upload).problem(404, "no_such_upload")


# Swept ---------------------------------------------------------------------------------------------------------------


def test_only_orphans_of_ours_are_swept(carryon: Carryon, ann: Uploads, swift: S3Server, bucket: Bucket) -> None:
    told = ann.upload(CONTENT, "kept.mov")
    alive = ann.begin("alive.mov")
    ann.send(alive, {1: PARTS[1]})
    plain = swift.plain
    names = {
        "orphan": f"{PREFIX}/1/upload-987654321/other-doc/film.mov",
        "somebody's, by day": f"{PREFIX}/2024/11/02/backup.tar",
        "somebody's, by number": f"{PREFIX}/1/987654321/other-doc/film.mov",
        "too large for the database": f"{PREFIX}/1/upload-{10**30}/other-doc/film.mov",
        "elsewhere": "1/upload-987654321/other-doc/film.mov",
        "elsewhere, but for its beginning": f"{PREFIX}-2/1/upload-987654321/other-doc/film.mov",
    }
    begun = {}
    for who, key in names.items():
        begun[who] = (key, plain.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"])
        plain.upload_part(Bucket=BUCKET, Key=key, UploadId=begun[who][1], PartNumber=1, Body=b"x")
    try:
        sweep(carryon, 3600)
        assert set(begun.values()) <= bucket.unfinished(), "they are young"
        sweep(carryon)
        left = {who for who, each in begun.items() if each in bucket.unfinished()}
        assert left == names.keys() - {"orphan"}
        assert ann.stored(alive) == md5s({1: PARTS[1]})
        assert ann.content(told) == CONTENT
    finally:
        for key, name in set(begun.values()) & bucket.unfinished():
            plain.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=name)
    ann.send(alive, PARTS)
    assert ann.content(ann.finished(alive, md5s(PARTS))) == CONTENT


def test_what_nobody_has_touched_for_long_is_ended(carryon: Carryon, ann: Uploads, bucket: Bucket) -> None:
    upload = ann.begin()
    ann.send(upload, PARTS)
    bucket.execute("UPDATE transfers_upload SET touched_at = '2020-01-01' WHERE id = ?", upload)
    sweep(carryon, 3600)
    wait_until(lambda: bucket.state(upload) == "none", WORKED_SECONDS)


def test_kills_at_random_moments(carryon: Carryon, ann: Uploads, bucket: Bucket) -> None:
    """Of several who send and complete at once; each goes on from what the service tells, and ends with its file."""
    draw = random.Random(SEED)
    contents = {n: {part: draw.randbytes(draw.choice([10, 400_000])) for part in range(1, 5)} for n in range(3)}
    over = threading.Event()
    done: dict[int, dict[str, Any]] = {}

    def work(turn: int) -> None:
        upload = None
        while turn not in done:
            try:
                upload = upload or ann.begin(f"random-{turn}.mov")
                stored = ann.stored(upload)
                missing = {part: each for part, each in contents[turn].items() if stored.get(part) != md5(each)}
                if missing and not ann.state(upload).data["completed"]:
                    ann.send(upload, missing)
                done[turn] = ann.finished(upload, md5s(contents[turn]))
            except requests.RequestException:
                assert not over.wait(0.1)

    threads = [threading.Thread(target=work, args=(turn,)) for turn in contents]
    for thread in threads:
        thread.start()
    for _ in range(battery.rounds(2, 25)):
        time.sleep(draw.uniform(0, 0.4))
        kill_web(carryon)
    try:
        wait_until(lambda: done.keys() == contents.keys(), WORKED_SECONDS)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    for turn, told in done.items():
        assert ann.content(told) == b"".join(contents[turn].values())
    # What was begun when a kill took its answer is nobody's; its owner may end it.
    for (upload,) in bucket.rows("SELECT id FROM transfers_upload WHERE state = 'open' AND name LIKE 'random-%'"):
        ann.abort(int(upload))


# At a store that is less strict --------------------------------------------------------------------------------------


def test_a_file_at_a_sloppy_store(tmp_path_factory: pytest.TempPathFactory) -> None:
    variables = {"USER_QUOTA_BYTES": str(3 * MIB)}
    with (
        running_rclone() as rclone,
        running_carryon(tmp_path_factory.mktemp("sloppy"), **in_s3(rclone.url), **variables) as carryon,
    ):
        eve, bucket = Uploads(carryon.service.url, carryon.admin.token), Bucket(rclone, carryon)
        upload = eve.begin("film.mov", fileSize=len(CONTENT), md5=md5(CONTENT))
        eve.send(upload, {3: PARTS[3]})
        assert send_past(part_address(eve, upload, 1), PARTS[1]).status_code == 200
        eve.complete(upload, md5s({1: PARTS[1], 3: PARTS[3]})).problem(409, "parts_differ")
        eve.put(upload, 2, PARTS[2], content_md5=md5(b"x")).problem(422, "md5_mismatch")
        sweep(carryon)
        assert eve.stored(upload).keys() >= {1, 3}
        told = eve.upload(CONTENT, "whole.mov", md5=md5(CONTENT))
        wait_until(lambda: file_at(eve, told)["verified"], WORKED_SECONDS)
        assert urlsplit(address_of(eve, told)).netloc == urlsplit(rclone.url).netloc
        assert eve.content(told) == CONTENT
        larger = eve.begin()
        assert send_past(part_address(eve, larger, 1), bytes(3 * MIB)).status_code == 200
        eve.complete(larger, {1: md5(bytes(3 * MIB))}).problem(413, "quota_exceeded")
        wait_until(bucket.is_as_the_database_says, WORKED_SECONDS)
        delete(eve, told)
        assert eve.abort(upload).status == eve.abort(larger).status == 200
        wait_until(lambda: not bucket.objects() | {key for key, _ in bucket.unfinished()}, WORKED_SECONDS)
