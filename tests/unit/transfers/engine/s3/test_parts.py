"""A part on its way: what is sent of it, when it is cut off, and when it is sent once more."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import threading
import tracemalloc

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests import battery
from tests.chaos import ChaosProxy, Ending, Faults
from tests.conformance.sinks import FailingReader
from tests.s3 import Answer, S3Server, ScriptedStore
from transfers.engine.base import StoredPart
from transfers.engine.s3 import S3Collection, S3Place
from transfers.engine.s3.parts import PIECE_BYTES, LengthDiffersError, PartBody, send_part
from transfers.engine.s3.uploads import Target, begin_upload, list_parts
from transfers.errors import PartChecksumError, SinkError, SourceInterruptedError

pytestmark = pytest.mark.usefixtures("s3_credentials")

MIB = 2**20
CONTENT = random.Random(11).randbytes(3 * PIECE_BYTES + 1)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


def body_of(content: bytes, size: int, md5: str = "", piece_bytes: int = 1000) -> PartBody:
    return PartBody(FailingReader(content, piece_bytes=piece_bytes), size, md5)


def sent(body: PartBody) -> bytes:
    """All pieces, as the library asks for them."""
    pieces = []
    while piece := body.read(16_384):
        pieces.append(bytes(piece))
    return b"".join(pieces)


def begun(server: S3Server, place: S3Place | None = None) -> Target:
    """An upload of the server's, reached through `place`."""
    key = server.new_key()
    target = begin_upload(server.place(), key, "application/octet-stream")
    return Target(place or server.place(), key, target.upload_id)


class Generated:
    """So many bytes out of nowhere, in pieces; it waits where it is told to."""

    def __init__(self, size: int, hold_at: int | None = None) -> None:
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.held, self.go_on = threading.Event(), threading.Event()
        self._left = size
        self._hold_at = hold_at
        self._block = memoryview(random.Random(12).randbytes(PIECE_BYTES))

    def readinto(self, buffer: memoryview, /) -> int:
        if self._hold_at is not None and self._left <= self._hold_at:
            self._hold_at = None
            self.held.set()
            assert self.go_on.wait(30)
        count = min(len(buffer), self._left, len(self._block))
        buffer[:count] = self._block[:count]
        self.md5.update(self._block[:count])
        self._left -= count
        return count


class TestPartBody:
    @given(content=st.binary(max_size=5000), piece_bytes=st.integers(1, 6000))
    def test_it_is_the_readers_bytes_and_their_md5(self, content: bytes, piece_bytes: int) -> None:
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        body = body_of(content, len(content), md5.upper(), piece_bytes)
        assert (sent(body), body.md5, body.read()) == (content, md5, b"")

    @pytest.mark.parametrize("size", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES])
    @pytest.mark.parametrize("piece_bytes", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1])
    def test_pieces_that_fit_its_buffer_or_do_not(self, size: int, piece_bytes: int) -> None:
        assert sent(body_of(CONTENT[:size], size, piece_bytes=piece_bytes)) == CONTENT[:size]

    @given(
        content=st.binary(min_size=1, max_size=500),
        told=st.integers(1, 600),
        piece_bytes=st.integers(1, 300),
    )
    def test_of_another_size_than_told_the_last_byte_is_never_sent(
        self, content: bytes, told: int, piece_bytes: int
    ) -> None:
        assume(told != len(content))
        body = body_of(content, told, piece_bytes=piece_bytes)
        pieces = bytearray()
        with pytest.raises(LengthDiffersError) as raised:  # noqa: PT012
            while piece := body.read():
                pieces += piece
        assert len(pieces) < told
        assert body.failure is raised.value

    def test_of_another_md5_than_told_the_last_byte_is_never_sent(self) -> None:
        body = body_of(CONTENT, len(CONTENT), "0" * 32, PIECE_BYTES)
        assert len([body.read() for _ in range(3)]) == 3
        with pytest.raises(PartChecksumError, match=MD5):
            body.read()

    def test_it_never_waits_to_fill_a_piece(self) -> None:
        assert [len(piece) for piece in iter(body_of(b"x" * 2500, 2500).read, b"")] == [1000, 1000, 500]

    @pytest.mark.parametrize("reads", [0, 1])
    def test_it_can_begin_again_while_its_first_piece_is_at_hand(self, reads: int) -> None:
        body = body_of(CONTENT, len(CONTENT), MD5)
        for _ in range(reads):
            body.read()
        assert body.rewind()
        assert body.rewind()
        assert (sent(body), body.md5) == (CONTENT, MD5)

    def test_a_small_part_can_begin_again_after_its_end(self) -> None:
        body = body_of(b"small", 5)
        assert sent(body) == b"small"
        assert body.rewind()
        assert sent(body) == b"small"

    def test_it_cannot_begin_again_later(self) -> None:
        body = body_of(CONTENT, len(CONTENT))
        body.read()
        body.read()
        assert not body.rewind()

    def test_it_does_not_begin_again_after_its_reader_failed(self) -> None:
        body = PartBody(FailingReader(b"", SourceInterruptedError("cut")), 5)
        with pytest.raises(SourceInterruptedError):
            body.read()
        assert not body.rewind()


class TestSendPart:
    """Against a store that answers what it is told to."""

    def send(self, store: ScriptedStore, content: bytes = b"some bytes", md5: str = "") -> StoredPart:
        target = Target(store.place, "key", "upload")
        return send_part(target, 7, FailingReader(content), len(content), md5)

    def etag(self, content: bytes = b"some bytes") -> dict[str, str]:
        return {"ETag": f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'}

    def test_what_is_asked(self) -> None:
        md5 = hashlib.md5(b"some bytes", usedforsecurity=False)
        with ScriptedStore(Answer(headers=self.etag())).serving() as store:
            assert self.send(store, md5=md5.hexdigest()) == StoredPart(7, 10, md5.hexdigest())
        [asked] = store.asked
        path, _, query = asked.path.partition("?")
        assert (asked.method, path, sorted(query.split("&"))) == (
            "PUT",
            "/bucket/key",
            ["partNumber=7", "uploadId=upload"],
        )
        assert asked.body == b"some bytes"
        assert asked.headers["Content-MD5"] == base64.b64encode(md5.digest()).decode()
        assert asked.headers["X-Amz-Content-SHA256"] == "UNSIGNED-PAYLOAD"
        assert not [name for name in asked.headers if "checksum" in name.lower()]

    def test_a_kept_connection_that_was_closed_costs_nothing(self) -> None:
        good = Answer(headers=self.etag())
        with ScriptedStore(good, Answer(drop=True), good).serving() as store:
            assert [self.send(store).number for _ in range(2)] == [7, 7]
        assert [asked.body for asked in store.asked] == [b"some bytes"] * 3

    def test_a_large_part_is_not_sent_twice(self) -> None:
        with ScriptedStore(Answer(drop=True)).serving() as store, pytest.raises(SinkError):
            self.send(store, CONTENT)
        assert len(store.asked) == 1

    def test_a_store_that_always_hangs_up_is_given_up(self) -> None:
        with ScriptedStore(Answer(drop=True)).serving() as store, pytest.raises(SinkError, match="broke"):
            self.send(store)
        assert len(store.asked) == 3

    @pytest.mark.parametrize("status", [500, 503, 429])
    def test_a_busy_store_is_not_asked_again_with_a_body_that_is_gone(self, status: int) -> None:
        with ScriptedStore(Answer(status=status)).serving() as store, pytest.raises(SinkError, match=str(status)):
            self.send(store)
        assert len(store.asked) == 1

    @pytest.mark.parametrize("etag", ["0" * 32, "not-an-md5", ""])
    def test_an_etag_that_is_not_the_md5_is_told(self, etag: str) -> None:
        store = ScriptedStore(Answer(headers={"ETag": f'"{etag}"'}))
        with store.serving(), pytest.raises(SinkError, match="part 7 with an ETag that is not the MD5"):
            self.send(store)


class TestCutOff:
    """What is left of a part whose way breaks, at a real store."""

    @pytest.mark.parametrize("ending", [Ending.FIN, Ending.RESET])
    @pytest.mark.parametrize("after", [2000, PIECE_BYTES, 2 * PIECE_BYTES])
    def test_a_connection_that_breaks_leaves_the_part_as_it_was(
        self, swift: S3Server, ending: Ending, after: int
    ) -> None:
        with ChaosProxy(("127.0.0.1", swift.port)) as proxy:
            target = begun(swift, S3Place(swift.place().bucket, "", f"http://127.0.0.1:{proxy.port}"))
            send_part(target, 1, FailingReader(b"as it was"), 9)
            before = list_parts(target)
            proxy.set(Faults(cut_after_sent=after, ending=ending))
            proxy.cut()
            with pytest.raises(SinkError):
                send_part(target, 1, FailingReader(CONTENT), len(CONTENT), MD5)
            proxy.set(Faults())
            assert list_parts(target) == before
            assert send_part(target, 1, FailingReader(CONTENT), len(CONTENT), MD5).etag == MD5

    def test_kill_9_of_the_store_loses_no_acknowledged_part(self, swift: S3Server) -> None:
        collection = S3Collection(swift.place(), swift.new_key())
        collection.begin(None)
        acknowledged: dict[int, str] = {}
        for number in range(1, battery.rounds(3, 30)):
            content = os.urandom(100_000)
            acknowledged[number] = collection.write_part(number, FailingReader(content), len(content)).etag
            reader = Generated(4 * MIB, hold_at=2 * MIB)
            failures: list[Exception] = []
            thread = threading.Thread(target=self.send_into, args=(collection, number, reader, failures))
            thread.start()
            assert reader.held.wait(30)
            swift.kill()
            reader.go_on.set()
            thread.join()
            assert [type(each) for each in failures] == [SinkError]
            swift.start()
            assert {n: part.etag for n, part in collection.stored_parts().items()} == acknowledged
        assert collection.complete(acknowledged).size == 100_000 * len(acknowledged)

    def send_into(self, collection: S3Collection, number: int, reader: Generated, failures: list[Exception]) -> None:
        try:
            collection.write_part(number, reader, 4 * MIB)
        except SinkError as error:
            failures.append(error)


def test_memory_does_not_grow_with_the_part(rclone: S3Server) -> None:
    target = begun(rclone)
    send_part(target, 1, FailingReader(b"x"), 1)  # what a client costs once
    reader = Generated(256 * MIB)
    tracemalloc.start()
    try:
        stored = send_part(target, 2, reader, 256 * MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (stored.size, stored.etag) == (256 * MIB, reader.md5.hexdigest())
    assert peak < 2 * MIB
