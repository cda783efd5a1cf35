"""Large files on their way into a bucket: what is gone on with after a kill, what is trusted, what is swept."""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conformance.sinks import FailingReader
from tests.s3 import BUCKET, Answer, S3Server, ScriptedStore
from tests.s3.scripted import refusal
from tests.servers import REPOSITORY
from transfers.engine.plan import Plan
from transfers.engine.s3 import S3Place, S3Tree, sweep, unfinished_uploads
from transfers.engine.s3.client import client, streaming_client
from transfers.engine.s3.tree_sink import S3TreeSink
from transfers.engine.s3.uploads import begin_upload, multipart_etag
from transfers.engine.tree.base import Content, Description, Entry, checksum_of_parts, md5_of
from transfers.errors import (
    ChangedElsewhereError,
    FolderUnusableError,
    IncompleteFileError,
    SinkError,
    SourceChangedError,
)

pytestmark = pytest.mark.usefixtures("s3_credentials", "short_pauses")

PART_BYTES = 300_000
CONTENT = random.Random(21).randbytes(5 * PART_BYTES + 12_345)
OTHER = random.Random(22).randbytes(len(CONTENT))
PLAN = Plan(len(CONTENT), PART_BYTES)
MTIME_NS = 1_600_000_000_123_456_789
KILLED = """
import sys, time
from tests.unit.transfers.engine.s3.test_tree_sink import CONTENT, MTIME_NS, PLAN, FailingReader
from transfers.engine.s3 import S3Place, S3Tree
from transfers.engine.tree.base import Description

class Holding(FailingReader):
    def readinto(self, buffer, /):
        if count := super().readinto(buffer):
            return count
        print("held", flush=True)
        time.sleep(60)

sink = S3Tree(S3Place(*sys.argv[1:])).sink("large", "1", Description(MTIME_NS, None), None)
sink.begin(PLAN)
for number in (4, 2):
    part = PLAN.part(number)
    sink.write_part(part, FailingReader(CONTENT[part.offset : part.end]))
sink.write_part(PLAN.part(3), Holding(CONTENT[PLAN.part(3).offset :][:1000]))
"""


def new_tree(server: S3Server) -> tuple[S3Tree, S3Place]:
    """An empty tree, and where it lies."""
    place = S3Place(BUCKET, server.new_key(), server.url)
    return S3Tree(place), place


def sink_for(tree: S3Tree, replaced: Entry | None = None, version: str = "1") -> S3TreeSink:
    """A sink for the large file."""
    return tree.sink("large", version, Description(MTIME_NS, None), replaced)


def begun(tree: S3Tree, replaced: Entry | None = None, version: str = "1") -> S3TreeSink:
    """One that has begun."""
    sink = sink_for(tree, replaced, version)
    sink.begin(PLAN)
    return sink


def bring(sink: S3TreeSink, *numbers: int, content: bytes = CONTENT) -> None:
    """Store these parts."""
    for part in map(PLAN.part, numbers):
        sink.write_part(part, FailingReader(content[part.offset : part.end], piece_bytes=2**16))


def bring_missing(sink: S3TreeSink) -> list[int]:
    """Store what is not there; which parts these were."""
    missing = [part.number for part in PLAN if not sink.trust(part, lambda part=part: part_md5(part.number))]  # type: ignore[misc]
    bring(sink, *missing)
    return missing


def part_md5(number: int, content: bytes = CONTENT) -> str:
    part = PLAN.part(number)
    return md5_of([content[part.offset : part.end]])


def uploads(place: S3Place) -> list[str]:
    return [each.upload_id for each in unfinished_uploads(place)]


@pytest.fixture
def sent_parts(swift: S3Server) -> Iterator[list[int]]:
    """The number of every part that is sent to swift."""
    numbers: list[int] = []

    def note(request: object, **_: object) -> None:
        url: str = request.url  # type: ignore[attr-defined]
        numbers.append(int(url.partition("partNumber=")[2].partition("&")[0]))

    events = streaming_client(swift.place()).meta.events
    events.register("before-send.s3.UploadPart", note)
    yield numbers
    events.unregister("before-send.s3.UploadPart", note)


@pytest.fixture
def listings(store: S3Server) -> Iterator[list[str]]:
    """Every time that the store is asked for unfinished uploads, or for the parts of one."""
    asked: list[str] = []

    def note(model: object, **_: object) -> None:
        asked.append(model.name)  # type: ignore[attr-defined]

    events = client(store.place()).meta.events
    for name in ("ListMultipartUploads", "ListParts"):
        events.register(f"before-call.s3.{name}", note)
    yield asked
    for name in ("ListMultipartUploads", "ListParts"):
        events.unregister(f"before-call.s3.{name}", note)


class TestAfterAKill:
    def test_another_process_sends_only_what_is_missing(self, swift: S3Server, sent_parts: list[int]) -> None:
        tree, place = new_tree(swift)
        command = [sys.executable, "-c", KILLED, place.bucket, place.prefix, place.endpoint_url]
        with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            process.kill()
        assert list(tree.entries()) == []
        sink = begun(tree)
        assert sorted(sink.stored_parts()) == [2, 4]
        assert bring_missing(sink) == [1, 3, 5, 6]
        assert sent_parts == [1, 3, 5, 6]
        published = sink.publish(len(CONTENT))
        assert list(tree.entries()) == [published]
        assert swift.content(place.key("large")) == CONTENT
        assert tree.describe(published).mtime_ns == MTIME_NS
        assert uploads(place) == []

    def test_kill_9_of_the_store(self, swift: S3Server, sent_parts: list[int]) -> None:
        tree, place = new_tree(swift)
        bring(begun(tree), 1, 5)
        swift.kill()
        swift.start()
        sink = begun(tree)
        assert bring_missing(sink) == [2, 3, 4, 6]
        sink.publish(len(CONTENT))
        assert swift.content(place.key("large")) == CONTENT
        assert sent_parts == [1, 5, 2, 3, 4, 6]

    def test_only_the_parts_that_changed_are_sent_of_another_version(
        self, swift: S3Server, sent_parts: list[int]
    ) -> None:
        tree, place = new_tree(swift)
        old = CONTENT[: PLAN.part(3).offset] + OTHER[PLAN.part(3).offset :]
        bring(begun(tree, version="old"), 1, 2, 3, 4, content=old)
        sent_parts.clear()
        sink = begun(tree, version="new")
        assert bring_missing(sink) == sent_parts == [3, 4, 5, 6]
        sink.publish(len(CONTENT))
        assert swift.content(place.key("large")) == CONTENT


class TestTakingUp:
    def test_the_newest_that_fits_and_no_other_stays(self, swift: S3Server) -> None:
        tree, place = new_tree(swift)
        first = begun(tree)
        bring(first, 1)
        second = begin_upload(place, place.key("large"), "text/plain")  # somebody else's
        assert len(uploads(place)) == 2
        again = begun(tree)
        assert uploads(place) == [again.upload_id] == [first.upload_id]
        assert again.upload_id != second.upload_id

    def test_one_of_other_parts_is_begun_anew(self, swift: S3Server) -> None:
        tree, place = new_tree(swift)
        first = begun(tree)
        first.write_part(Plan(len(CONTENT), 100_000).part(2), FailingReader(CONTENT[100_000:200_000]))
        second = begun(tree)
        assert (second.stored_parts(), uploads(place)) == ({}, [second.upload_id])
        assert first.upload_id != second.upload_id

    def test_other_keys_are_left_alone(self, swift: S3Server) -> None:
        tree, place = new_tree(swift)
        other = begin_upload(place, place.key("large-too"), "text/plain")
        begun(tree)
        begun(tree)
        assert other.upload_id in uploads(place)

    def test_a_file_of_one_part(self, store: S3Server) -> None:
        tree, place = new_tree(store)
        plan = Plan(100, 200)
        for content in (CONTENT[:100], OTHER[:100]):
            sink = tree.sink("large", content.hex(), Description(MTIME_NS, None), tree.find("large"))
            sink.begin(plan)
            sink.write_part(plan.part(1), FailingReader(content))
            assert sink.checksum() == checksum_of_parts([md5_of([content])], 200)
            sink.publish(100)
            assert store.content(place.key("large")) == content

    def test_an_object_that_is_to_be_replaced_is_not_taken_for_what_replaces_it(self, store: S3Server) -> None:
        """A tool that edits an object may keep what was given with it, the generation included."""
        tree, place = new_tree(store)
        sink = begun(tree)
        bring_missing(sink)
        sink.publish(len(CONTENT))
        key = place.key("large")
        given = store.plain.head_object(Bucket=BUCKET, Key=key)["Metadata"]
        store.plain.put_object(Bucket=BUCKET, Key=key, Body=OTHER, Metadata=given)
        again = begun(tree, tree.find("large"))
        assert again.stored_parts() == {}
        bring_missing(again)
        again.publish(len(CONTENT))
        assert store.content(key) == CONTENT


class TestWhatTheTreeKnows:
    """A tree finds again, without a listing of uploads, what one of its sinks has begun or found."""

    def test_an_upload_that_it_has_begun(self, store: S3Server, listings: list[str]) -> None:
        tree, _ = new_tree(store)
        first, second = begun(tree), sink_for(tree)
        assert listings == ["ListMultipartUploads"]
        bring(first, 2)
        assert second.join(PLAN)
        assert (second.upload_id, list(second.stored_parts())) == (first.upload_id, [2])
        assert listings == ["ListMultipartUploads", "ListParts"]

    def test_an_upload_that_it_has_found(self, store: S3Server, listings: list[str]) -> None:
        tree, place = new_tree(store)
        first = begun(tree)
        bring(first, 2)
        other = S3Tree(place)
        assert sink_for(other).join(PLAN)
        listings.clear()
        assert sink_for(other).join(PLAN)
        assert listings == ["ListParts"]

    def test_one_that_somebody_else_has_ended(self, store: S3Server) -> None:
        tree, place = new_tree(store)
        begun(tree)
        others = begun(S3Tree(place))
        bring(others, 3)
        second = sink_for(tree)
        assert second.join(PLAN)
        assert (second.upload_id, list(second.stored_parts())) == (others.upload_id, [3])
        others.abort()
        assert not sink_for(tree).join(PLAN)

    def test_one_that_is_published(self, store: S3Server) -> None:
        tree, _ = new_tree(store)
        sink = begun(tree)
        bring_missing(sink)
        sink.publish(len(CONTENT))
        assert not sink_for(tree).join(PLAN)

    def test_a_description_is_asked_for_once(self, store: S3Server) -> None:
        tree, place = new_tree(store)
        entry = tree.write("a", Content(b"one", md5_of([b"one"]), MTIME_NS), None)
        told = tree.describe(entry)
        store.plain.delete_object(Bucket=BUCKET, Key=place.key("a"))
        assert tree.describe(entry) == told
        with pytest.raises(SourceChangedError):
            S3Tree(place).describe(entry)
        with pytest.raises(SourceChangedError):
            tree.read(entry)


class TestTrust:
    def test_a_part_with_another_md5_does_not_count_any_more(self, swift: S3Server) -> None:
        tree, _ = new_tree(swift)
        sink = begun(tree)
        bring(sink, 1, 2)
        assert not sink.trust(PLAN.part(1), lambda: part_md5(1, OTHER))
        assert sorted(sink.stored_parts()) == [2]
        assert sink.trust(PLAN.part(2), lambda: part_md5(2))

    def test_the_md5_is_asked_for_only_of_parts_that_are_there(self, swift: S3Server) -> None:
        tree, _ = new_tree(swift)
        bring(begun(tree), 1)
        sink = begun(tree)
        assert not sink.trust(PLAN.part(2), lambda: pytest.fail("read in vain"))

    def test_what_another_worker_stores_meanwhile_is_seen(self, store: S3Server) -> None:
        tree, _ = new_tree(store)
        first, second = begun(tree), sink_for(tree)
        assert second.join(PLAN)
        for number in (5, 1, 3):
            bring(first, number)
            assert second.trust(PLAN.part(number), lambda number=number: part_md5(number))  # type: ignore[misc]
        assert not second.trust(PLAN.part(4), lambda: pytest.fail("read in vain"))
        assert second.upload_id == first.upload_id

    def test_a_part_that_is_replaced_behind_the_check_is_found_out(self, swift: S3Server) -> None:
        tree, place = new_tree(swift)
        sink, late = begun(tree), sink_for(tree)
        late.join(PLAN)
        bring_missing(sink)
        assert sink.checksum() == checksum_of_parts([part_md5(part.number) for part in PLAN], PART_BYTES)
        bring(late, 3, content=OTHER)
        with pytest.raises(SinkError, match="replaced after it was checked"):
            sink.publish(len(CONTENT))
        assert swift.content(place.key("large")) is None

    def test_what_is_not_whole_has_no_checksum(self, swift: S3Server) -> None:
        tree, _ = new_tree(swift)
        sink = begun(tree)
        bring(sink, 1)
        with pytest.raises(IncompleteFileError):
            sink.checksum()
        sink.abort()
        with pytest.raises(SinkError):
            sink.checksum()


class TestPublishing:
    """At a store that keeps all conditions, by script: after the parts are listed, a look, and the attempt."""

    parts = "".join(
        f"<Part><PartNumber>{part.number}</PartNumber><ETag>&quot;{part_md5(part.number)}&quot;</ETag>"
        f"<Size>{part.size}</Size></Part>"
        for part in PLAN
    )
    etag = multipart_etag({part.number: part_md5(part.number) for part in PLAN})
    listed = Answer(body=f"<ListPartsResult>{parts}</ListPartsResult>".encode())
    upload = Answer(
        body=b"<R><Upload><Key>p/large</Key><UploadId>u</UploadId><Initiated>2026-11-21T08:00:00Z</Initiated></Upload></R>"
    )
    made = Answer(body=f"<R><ETag>&quot;{etag}&quot;</ETag></R>".encode())
    ours = Answer(headers={"ETag": f'"{etag}"', "Content-Length": str(len(CONTENT))})
    old = Answer(headers={"ETag": '"old"', "Content-Length": "3"})
    gone = Answer(status=404)

    def publish(self, store: ScriptedStore, replaced: Entry | None = None) -> Entry:
        sink = sink_for(S3Tree(S3Place("bucket", "p", store.place.endpoint_url)), replaced)
        assert sink.join(PLAN)
        return sink.publish(len(CONTENT))

    @pytest.mark.parametrize(
        ("replaced", "found", "header"),
        [(None, gone, ("If-None-Match", "*")), (Entry("large", version="old"), old, ("If-Match", '"old"'))],
    )
    def test_over_what_was_seen(self, replaced: Entry | None, found: Answer, header: tuple[str, str]) -> None:
        store = ScriptedStore(self.upload, self.listed, self.listed, found, self.made, self.ours)
        with store.serving():
            assert self.publish(store, replaced) == Entry("large", size=len(CONTENT), version=self.etag)
        [completing] = [asked for asked in store.asked if asked.method == "POST"]
        assert completing.headers[header[0]] == header[1]

    @pytest.mark.parametrize("replaced", [None, Entry("large", version="old")])
    def test_what_is_changed_behind_the_look_stays(self, replaced: Entry | None) -> None:
        other = Answer(headers={"ETag": '"other"', "Content-Length": "3"})
        found = self.old if replaced else self.gone
        refused = refusal(412, "PreconditionFailed")
        store = ScriptedStore(self.upload, self.listed, self.listed, found, refused, other)
        with store.serving(), pytest.raises(ChangedElsewhereError):
            self.publish(store, replaced)

    @pytest.mark.parametrize("second", [refusal(404, "NoSuchUpload"), refusal(412, "PreconditionFailed")])
    def test_an_answer_that_was_lost(self, second: Answer) -> None:
        lost = Answer(drop=True)
        store = ScriptedStore(self.upload, self.listed, self.listed, self.gone, lost, second, self.ours)
        with store.serving():
            assert self.publish(store).version == self.etag

    def test_what_somebody_else_puts_there_at_once_is_not_taken_for_ours(self) -> None:
        store = ScriptedStore(self.upload, self.listed, self.listed, self.gone, self.made, self.old)
        with store.serving(), pytest.raises(ChangedElsewhereError):
            self.publish(store)

    def test_a_store_that_knows_no_condition_is_asked_without(self) -> None:
        store = ScriptedStore(
            *(self.upload, self.listed, self.listed, self.old, refusal(501, "NotImplemented"), self.made, self.ours)
        )
        with store.serving():
            self.publish(store, Entry("large", version="old"))
        assert "If-Match" not in [asked for asked in store.asked if asked.method == "POST"][1].headers

    def test_what_was_to_be_replaced_is_gone(self, store: S3Server) -> None:
        tree, place = new_tree(store)
        replaced = tree.write("large", Content(b"old", md5_of([b"old"]), 0), None)
        sink = begun(tree, replaced)
        bring_missing(sink)
        store.plain.delete_object(Bucket=BUCKET, Key=place.key("large"))
        sink.publish(len(CONTENT))
        assert store.content(place.key("large")) == CONTENT

    def test_after_a_crash_the_file_is_known_by_its_source(self, store: S3Server) -> None:
        tree, place = new_tree(store)
        sink = begun(tree)
        bring_missing(sink)
        published = sink.publish(len(CONTENT))
        again = begun(tree)
        assert bring_missing(again) == []
        assert again.checksum() == checksum_of_parts([part_md5(part.number) for part in PLAN], PART_BYTES)
        assert again.publish(len(CONTENT)) == published
        assert begun(tree, published, version="2").stored_parts() == {}
        assert len(uploads(place)) == 1


class TestSweep:
    def test_what_nobody_needs_and_no_more(self, store: S3Server) -> None:
        tree, place = new_tree(store)
        bring(begun(tree), 1)
        orphan = begin_upload(place, place.key("a/orphan+%41 é"), "text/plain")
        elsewhere = S3Place(BUCKET, place.prefix + "-2", store.url)
        begin_upload(elsewhere, elsewhere.key("a"), "text/plain")
        asked: list[set[str]] = []

        def alive(keys: object) -> set[str]:
            asked.append(set(keys))  # type: ignore[call-overload]
            return {"large"}

        assert sweep(place, 3600, alive) == 0
        assert asked == []
        assert sweep(place, -60, alive) == 1
        assert asked == [{"large", "a/orphan+%41 é"}]
        assert orphan.upload_id not in uploads(place)
        assert (len(uploads(place)), len(uploads(elsewhere))) == (1, 1)
        assert sweep(place, -60, lambda _: set()) == 1
        assert (uploads(place), len(uploads(elsewhere))) == ([], 1)

    def test_a_whole_bucket_is_never_swept(self, store: S3Server) -> None:
        with pytest.raises(FolderUnusableError):
            sweep(S3Place(BUCKET, "/", store.url), -60, lambda _: set())

    def test_times_are_the_stores(self, store: S3Server) -> None:
        tree, place = new_tree(store)
        begun(tree)
        [upload] = unfinished_uploads(place)
        assert abs(upload.initiated - dt.datetime.now(dt.UTC)) < dt.timedelta(seconds=60)
