"""Objects built from a plan: files of unknown size, and what a crash leaves between the store and our note of it."""

from __future__ import annotations

import random

import pytest

from tests.conformance.sinks import FailingReader
from tests.s3 import S3Server
from transfers.engine.plan import Plan, whole
from transfers.engine.s3 import S3Sink, unfinished_uploads
from transfers.errors import SinkError, SourceInterruptedError

pytestmark = pytest.mark.usefixtures("s3_credentials")

CONTENT = random.Random(21).randbytes(25_000)
PLAN = Plan(len(CONTENT), 10_000)


def sink_of(server: S3Server, key: str, upload_id: str = "", generation: str = "1", plan: Plan = PLAN) -> S3Sink:
    sink = S3Sink(server.place(), key, generation=generation, upload_id=upload_id, content_type="video/mp4")
    sink.begin(plan)
    return sink


def write_all(sink: S3Sink, plan: Plan = PLAN) -> None:
    for part in plan:
        sink.write_part(part, FailingReader(CONTENT[part.offset : part.end]))


class TestAfterACrash:
    def test_one_that_was_completed_is_found_so(self, store: S3Server) -> None:
        key = store.new_key()
        first = sink_of(store, key)
        write_all(first)
        first.complete(len(CONTENT))
        again = sink_of(store, key, first.upload_id)
        assert {number: part.size for number, part in again.stored_parts().items()} == {1: 10_000, 2: 10_000, 3: 5000}
        again.complete(len(CONTENT))
        assert store.content(key) == CONTENT

    @pytest.mark.parametrize("generation", ["1", "2"])
    def test_one_whose_upload_is_gone_begins_anew(self, store: S3Server, generation: str) -> None:
        key = store.new_key()
        store.plain.put_object(Bucket=store.place().bucket, Key=key, Body=CONTENT)  # somebody else's
        first = sink_of(store, key)
        noted = first.upload_id
        first.abort()
        again = sink_of(store, key, noted, generation)
        assert again.stored_parts() == {}
        assert again.upload_id not in ("", noted)

    def test_uploads_that_nobody_noted_are_ended(self, store: S3Server) -> None:
        key = store.new_key()
        for _ in range(3):
            sink_of(store, key)
        assert len(list(unfinished_uploads(store.place(), key))) == 1

    def test_a_longer_key_is_another_file(self, store: S3Server) -> None:
        key = store.new_key()
        longer = sink_of(store, key + ".part")
        sink_of(store, key).abort()
        write_all(longer)
        longer.complete(len(CONTENT))
        assert store.content(key + ".part") == CONTENT


class TestUnknownSize:
    @pytest.fixture(autouse=True)
    def small_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("transfers.engine.s3.sink.UNSIZED_PIECE_BYTES", 4000)

    @pytest.mark.parametrize("size", [0, 1, 3999, 4000, 4001, 12_000, 25_000])
    def test_it_is_cut_into_pieces(self, swift: S3Server, size: int) -> None:
        key, plan = swift.new_key(), whole(None)
        sink = sink_of(swift, key, plan=plan)
        assert sink.write_part(plan.part(1), FailingReader(CONTENT[:size])).size == size
        sink.complete(size)
        assert swift.content(key) == CONTENT[:size]

    def test_whole_pieces_are_kept_and_gone_on_with(self, swift: S3Server) -> None:
        key, plan = swift.new_key(), whole(None)
        first = sink_of(swift, key, plan=plan)
        with pytest.raises(SourceInterruptedError):
            first.write_part(plan.part(1), FailingReader(CONTENT[:9000], SourceInterruptedError("cut")))
        again = sink_of(swift, key, first.upload_id, plan=plan)
        assert again.stored_parts()[1].size == 8000
        again.write_part(plan.part(1), FailingReader(CONTENT[8000:]), 8000)
        again.complete(len(CONTENT))
        assert swift.content(key) == CONTENT

    def test_from_the_start_means_anew(self, swift: S3Server) -> None:
        key, plan = swift.new_key(), whole(None)
        sink = sink_of(swift, key, plan=plan)
        sink.write_part(plan.part(1), FailingReader(CONTENT))
        sink.write_part(plan.part(1), FailingReader(CONTENT[:5000]))
        sink.complete(5000)
        assert swift.content(key) == CONTENT[:5000]

    def test_from_the_middle_of_a_piece_there_is_no_way_on(self, swift: S3Server) -> None:
        plan = whole(None)
        sink = sink_of(swift, swift.new_key(), plan=plan)
        sink.write_part(plan.part(1), FailingReader(CONTENT))
        with pytest.raises(SinkError):
            sink.write_part(plan.part(1), FailingReader(CONTENT), 5000)


def test_a_part_begins_at_its_beginning(swift: S3Server) -> None:
    sink = sink_of(swift, swift.new_key())
    with pytest.raises(SinkError, match="cannot go on with part 1 from its byte 5000"):
        sink.write_part(PLAN.part(1), FailingReader(CONTENT[5000:10_000]), 5000)


def test_nothing_goes_to_a_sink_that_was_not_begun(swift: S3Server) -> None:
    sink = S3Sink(swift.place(), swift.new_key())
    assert sink.stored_parts() == {}
    with pytest.raises(SinkError, match="nothing was begun"):
        sink.write_part(PLAN.part(1), FailingReader(CONTENT[:10_000]))
