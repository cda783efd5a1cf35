"""Orders of a service whose files lie in S3: zips made there, by the store itself where it can."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import requests

from tests.e2e.carryon import Carryon, running_carryon
from tests.e2e.ordering import Ordering, sizes_of
from tests.e2e.stores import PREFIX, Bucket, Gate
from tests.e2e.uploads import Uploads
from tests.s3 import BUCKET, S3Server
from tests.service import wait_until

MIB = 2**20
RESUME_SECONDS = 90
NOISE = random.Random(3).randbytes(MIB)
TEXT = b"".join(b"line %d of a text that deflates well\n" % n for n in range(20_000))


class CountingGate(Gate):
    """Counts parts of zips: those that bring bytes, and those that the store takes from where they lie."""

    def __init__(self, store: S3Server) -> None:
        super().__init__(store)
        self.sent = self.copied = 0

    def forget(self) -> None:
        """Count from here on."""
        self.sent = self.copied = 0

    async def _pass(self, piece: bytes, sink: socket.socket) -> None:
        head, _, _ = piece.partition(b"\r\n\r\n")
        if head.startswith(b"PUT ") and b"/made/" in head and b"partNumber=" in head:
            if b"x-amz-copy-source:" in head.lower():
                self.copied += 1
            else:
                self.sent += 1
        await super()._pass(piece, sink)


@pytest.fixture(scope="module")
def gate(swift: S3Server) -> Iterator[CountingGate]:
    with CountingGate(swift) as gate:
        yield gate


@pytest.fixture(scope="module")
def carryon(tmp_path_factory: pytest.TempPathFactory, gate: CountingGate) -> Iterator[Carryon]:
    variables = {"STORAGE": "s3", "S3_BUCKET": BUCKET, "S3_PREFIX": PREFIX, "S3_ENDPOINT_URL": gate.url}
    with running_carryon(tmp_path_factory.mktemp("carryon"), WORKERS="1", **variables) as running:
        yield running


@pytest.fixture(scope="module")
def user(carryon: Carryon) -> Ordering:
    return Ordering(carryon, carryon.user("orderer").token)


@pytest.fixture
def ann(carryon: Carryon, user: Ordering, swift: S3Server, gate: CountingGate) -> Iterator[Ordering]:
    """After each test the bucket has what the database knows, and no upload is left unfinished there."""
    carryon.wait_until_back()
    gate.forget()
    yield user
    bucket = Bucket(swift, carryon)

    def is_tidy() -> bool:
        known = {path for (path,) in bucket.rows("SELECT path FROM transfers_storedfile WHERE path LIKE 's3:%'")}
        return known == {f"s3://{BUCKET}/{key}" for key in bucket.objects()} and not bucket.unfinished()

    wait_until(is_tidy, 40)
    assert not user.lying()


def uploaded(ann: Ordering, name: str, content: bytes, **fields: object) -> int:
    """The id of a file that came by upload, once its checksums were taken."""
    uploads = Uploads(ann.carryon.service.url, ann.token)
    told = uploads.upload(content, name, **fields)
    pk = int(told["id"])
    wait_until(lambda: ann.told("GET", f"/files/{pk}")["sha256"], 60)
    return pk


def zip_of(ann: Ordering, files: Sequence[int]) -> bytes:
    """Order these, and fetch the zip from where the service says it is."""
    order = ann.order(files)
    result = ann.result(ann.start(order), RESUME_SECONDS)
    assert {each["status"] for each in result["fileSummary"]} == {"SUCCESS"}, result
    path = f"/download/order/{order}/zip"
    url = ann.carryon.service.url + path
    reply = requests.get(url, headers=ann.session.headers, timeout=60, allow_redirects=False)
    assert reply.status_code == 302, reply.text
    assert ann.ask("HEAD", path).headers["Content-Length"]
    content = requests.get(reply.headers["Location"], timeout=60)
    assert content.headers["Content-Disposition"] == 'attachment; filename="files.zip"'
    assert content.content == ann.zip_of(result)
    return content.content


def test_the_store_moves_what_is_large(ann: Ordering, gate: CountingGate) -> None:
    small = [uploaded(ann, f"{n}.bin", b"small %d" % n) for n in range(3)]
    large = uploaded(ann, "large.mov", NOISE * 70)
    content = zip_of(ann, [*small, large])
    assert sizes_of(content) == {
        "other-doc/large.mov": 70 * MIB,
        **{f"other-doc/{n}.bin": 7 for n in range(3)},
    }
    print(f"{gate.copied} parts copied, {gate.sent} sent")
    assert gate.sent == 2, "parts of 16 MiB: the first and the last have other things in them"
    assert gate.copied in (3, 4), "one more where it had to be found out whether the store can"


def test_small_files_are_gathered_into_few_parts(ann: Ordering, gate: CountingGate) -> None:
    files = [uploaded(ann, f"{n}.txt", b"small %d" % n) for n in range(12)]
    assert len(sizes_of(zip_of(ann, files))) == 12
    assert (gate.copied, gate.sent) == (0, 1)


def test_files_of_both_kinds_and_compressed_ones(ann: Ordering, tmp_path: Path) -> None:
    local = ann.new_file(tmp_path, "local.bin", NOISE, repeat=3)
    local_text = ann.new_file(tmp_path, "local.txt", TEXT, content_type="text/plain")
    stored = uploaded(ann, "stored.bin", NOISE * 2)
    stored_text = uploaded(ann, "stored.txt", TEXT, contentType="text/plain")
    content = zip_of(ann, [local, local_text, stored, stored_text])
    assert sizes_of(content) == {
        "local.bin": 3 * MIB,
        "local.txt": len(TEXT),
        "other-doc/stored.bin": 2 * MIB,
        "other-doc/stored.txt": len(TEXT),
    }
    assert len(content) < 6 * MIB


def test_streamed_from_both(ann: Ordering, tmp_path: Path) -> None:
    files = [ann.new_file(tmp_path, "local.bin", NOISE, repeat=3), uploaded(ann, "stored.bin", NOISE * 2)]
    order = ann.order(files)
    streamed = ann.ask("GET", f"/download/order/{order}/zip")
    assert streamed.status_code == 200, streamed.text[:500]
    assert sizes_of(streamed.content) == {"local.bin": 3 * MIB, "other-doc/stored.bin": 2 * MIB}
    part = ann.ask("GET", f"/download/order/{order}/zip", Range="bytes=3000000-4999999")
    assert (part.status_code, part.content == streamed.content[3_000_000:5_000_000]) == (206, True)
    result = ann.result(ann.start(order), RESUME_SECONDS)
    assert ann.zip_of(result) == streamed.content


def test_a_kill_amid_a_zip_in_the_store(ann: Ordering, gate: CountingGate, carryon: Carryon) -> None:
    """What the store has is not sent again."""
    large = [uploaded(ann, f"{n}.mov", NOISE * 50) for n in range(2)]
    order = ann.order(large)
    gate.forget()
    with gate.holding(rb"^PUT [^ ]*/made/[^ ]*partNumber=5") as hold:
        job = ann.start(order)
        hold.wait_until_reached()
        wait_until(lambda: gate.copied + gate.sent >= 5, 20)
        carryon.kill("worker-cpu")
    result = ann.result(job, RESUME_SECONDS)
    assert sizes_of(ann.zip_of(result)) == {f"other-doc/{n}.mov": 50 * MIB for n in range(2)}
    print(f"{gate.copied} parts copied, {gate.sent} sent, of 7")
    assert gate.copied + gate.sent < 2 * 7


def test_a_file_that_is_gone_from_the_store(ann: Ordering, swift: S3Server) -> None:
    good, bad = uploaded(ann, "good.bin", NOISE), uploaded(ann, "bad.bin", NOISE * 20)
    order = ann.order([good, bad])
    path = str(ann.rows("SELECT path FROM transfers_storedfile WHERE id = ?", bad)[0][0])
    swift.plain.delete_object(Bucket=BUCKET, Key=path.removeprefix(f"s3://{BUCKET}/"))
    result = ann.result(ann.start(order), RESUME_SECONDS)
    assert [each.get("failureCode") for each in result["fileSummary"]] == [None, "NOT_FOUND"]
    assert sizes_of(ann.zip_of(result)) == {"other-doc/good.bin": MIB}
    assert ann.listed() == [bad]
    ann.ask("DELETE", "/download/list/me")
    ann.ask("DELETE", f"/files/{bad}")
