"""A tree in a bucket: what it takes for a path, what proves its files, and what it does at a store that fails."""

from __future__ import annotations

import base64
import dataclasses
import gc
import hashlib
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import battery
from tests.conformance.sinks import FailingReader
from tests.conformance.sources import fetch
from tests.origin import Origin
from tests.s3 import BUCKET, Answer, S3Server, ScriptedStore
from tests.s3.scripted import refusal
from transfers.engine.base import Abortable
from transfers.engine.plan import Plan
from transfers.engine.s3 import S3Place, S3Tree, copies
from transfers.engine.s3.conditions import _kept, _Kind
from transfers.engine.s3.etags import plain_etag
from transfers.engine.s3.exchange import Request
from transfers.engine.s3.tree import _mtime, _mtime_ns
from transfers.engine.tree.base import Checksum, Content, Description, Entry, Kind, checksum_of_parts, md5_of
from transfers.engine.tree.names import problem_of_path
from transfers.errors import (
    ChangedElsewhereError,
    ChecksumMismatchError,
    FolderUnusableError,
    SinkError,
    SourceBusyError,
    SourceChangedError,
    SourceInterruptedError,
    SourceRefusedError,
    TransferError,
)

pytestmark = pytest.mark.usefixtures("s3_credentials", "short_pauses")

PATHS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30).filter(
    lambda path: not problem_of_path(path) and not path.endswith("/")
)
CONTENT = b"some bytes"
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
SMALL = Content(CONTENT, MD5, 1_600_000_000_123_456_789)
STORED = {"ETag": f'"{MD5}"', "Content-Length": str(len(CONTENT))}


def new_tree(server: S3Server) -> tuple[S3Tree, S3Place]:
    """An empty tree, and where it lies."""
    place = S3Place(BUCKET, server.new_key(), server.url)
    return S3Tree(place), place


def put(server: S3Server, key: str, content: bytes = CONTENT, **more: object) -> None:
    """Put an object past us."""
    server.plain.put_object(Bucket=BUCKET, Key=key, Body=content, **more)  # type: ignore[arg-type]


def put_in_parts(server: S3Server, key: str, parts: list[bytes], **metadata: str) -> None:
    """Put an object of these parts past us, with `_` for `-` in the metadata's names."""
    told = {name.replace("_", "-"): value for name, value in metadata.items()}
    upload_id = server.plain.create_multipart_upload(Bucket=BUCKET, Key=key, Metadata=told)["UploadId"]
    where = {"Bucket": BUCKET, "Key": key, "UploadId": upload_id}
    stored = [
        {"PartNumber": number, "ETag": server.plain.upload_part(**where, PartNumber=number, Body=part)["ETag"]}  # type: ignore[arg-type]
        for number, part in enumerate(parts, start=1)
    ]
    server.plain.complete_multipart_upload(**where, MultipartUpload={"Parts": stored})  # type: ignore[arg-type]


def scripted(*answers: Answer) -> tuple[ScriptedStore, S3Tree]:
    """A store that gives these answers, and a tree in it."""
    store = ScriptedStore(*answers)
    return store, S3Tree(dataclasses.replace(store.place, prefix="p"))


def keeps(store: ScriptedStore, method: str, header: str) -> None:
    """Let it be known already that the store keeps this condition."""
    _kept[_Kind(store.place.endpoint_url, store.place.bucket, method, header)] = True


class TestPaths:
    @settings(max_examples=battery.rounds(20, 300))
    @given(path=PATHS, content=st.binary(max_size=10))
    def test_any_path_that_is_one_comes_back_as_it_is(self, swift: S3Server, path: str, content: bytes) -> None:
        tree, _ = new_tree(swift)
        written = tree.write(path, Content(content, md5_of([content]), 0), None)
        assert [dataclasses.replace(each, mtime_ns=0) for each in tree.entries()] == [written]
        assert tree.find(path) == written
        assert tree.read(written).content == content
        assert fetch(tree.source(written)) == content
        tree.remove(written)
        assert list(tree.entries()) == []

    def test_keys_that_are_no_paths_are_told_and_never_touched(self, swift: S3Server) -> None:
        tree, place = new_tree(swift)
        hostile = ["../x", "./y", "/z", "a//b", "a/./b", "c/..", "n" * 256, "d//", "full/"]
        for path in [*hostile, "fine", "empty/"]:
            put(swift, place.key(path), b"" if path == "empty/" else CONTENT)
        put(swift, place.key(""), CONTENT)
        told = {entry.path: entry for entry in tree.entries()}
        assert list(told) == sorted(told)
        assert {path for path, entry in told.items() if entry.kind is Kind.PROBLEM} == {*hostile, ""}
        assert all(bool(entry.problem) == (entry.kind is Kind.PROBLEM) for entry in told.values())
        assert (told["fine"].kind, told["empty/"].kind) == (Kind.FILE, Kind.FOLDER)
        for path in ("../x", "/z", "a//b"):
            with pytest.raises(FolderUnusableError):
                tree.write(path, SMALL, None)
        assert swift.content(place.key("../x")) == CONTENT

    def test_the_marker_of_the_prefix_is_nothing(self, swift: S3Server) -> None:
        tree, place = new_tree(swift)
        put(swift, place.key(""), b"")
        assert list(tree.entries()) == []

    def test_another_folder_that_begins_alike_is_another(self, swift: S3Server) -> None:
        tree, place = new_tree(swift)
        put(swift, place.prefix + "-2/a")
        put(swift, place.prefix)
        tree.write("a", SMALL, None)
        assert [entry.path for entry in tree.entries()] == ["a"]

    @pytest.mark.parametrize("prefix", ["", "/", "//"])
    def test_a_whole_bucket_is_no_tree(self, prefix: str) -> None:
        with pytest.raises(FolderUnusableError):
            S3Tree(S3Place("bucket", prefix))

    def test_a_key_that_is_too_long_for_the_store(self, swift: S3Server) -> None:
        tree, _ = new_tree(swift)
        with pytest.raises(SinkError, match="KeyTooLong"):
            tree.write("/".join(["n" * 250] * 5), SMALL, None)

    def test_folders_by_what_comes_behind_them(self, swift: S3Server) -> None:
        tree, place = new_tree(swift)
        for path in ("a/", "a/b/", "a/b/c", "a.b", "d/", "d/e/", "f/"):
            put(swift, place.key(path), b"")
        folders = {entry.path: entry.is_empty for entry in tree.entries() if entry.kind is Kind.FOLDER}
        assert folders == {"a/": False, "a/b/": False, "d/": False, "d/e/": True, "f/": True}
        assert {path: found.is_empty for path in folders if (found := tree.find(path))} == folders


class TestReading:
    def test_one_request_a_file_and_no_other_for_a_listing(self, swift: S3Server, asked: list[Request]) -> None:
        tree, _ = new_tree(swift)
        for name in "abc":
            tree.write(name, SMALL, None)
        asked.clear()
        assert [tree.read(entry) for entry in tree.entries()] == [SMALL] * 3
        assert [each.method for each in asked] == ["GET"] * 4

    def test_a_file_that_is_replaced_while_it_is_read_in_parts(self, store: S3Server) -> None:
        tree, place = new_tree(store)
        entry = tree.write("a", SMALL, None)
        source = tree.source(entry)
        assert fetch(source, 0, 4) == b"some"
        put(store, place.key("a"), b"OTHER BYTE")
        with pytest.raises(SourceChangedError):
            fetch(source, 4, 10)
        with pytest.raises(SourceChangedError):
            source.stat()
        with pytest.raises(SourceChangedError):
            tree.read(entry)
        with pytest.raises(SourceChangedError):
            tree.describe(entry)

    def test_a_file_that_vanishes(self, store: S3Server) -> None:
        tree, place = new_tree(store)
        entry = tree.write("a", SMALL, None)
        source = tree.source(entry)
        store.plain.delete_object(Bucket=BUCKET, Key=place.key("a"))
        for read in (lambda: tree.read(entry), lambda: tree.describe(entry), source.stat, lambda: fetch(source)):
            with pytest.raises(SourceChangedError):
                read()  # type: ignore[no-untyped-call]

    def test_a_small_file_that_became_a_large_one_is_not_read(self, rclone: S3Server) -> None:
        tree, place = new_tree(rclone)
        entry = tree.write("a", SMALL, None)
        put(rclone, place.key("a"), bytes(20 * 2**20))
        with pytest.raises(SourceChangedError):
            tree.read(entry)

    @pytest.mark.parametrize("headers", [STORED, {**STORED, "ETag": '"x-1"', "x-amz-meta-md5": MD5}])
    def test_damaged_bytes(self, headers: dict[str, str]) -> None:
        store, tree = scripted(Answer(body=b"some bytez", headers=headers))
        entry = Entry("a", size=len(CONTENT), version=headers["ETag"].strip('"'))
        with store.serving(), pytest.raises(ChecksumMismatchError):
            tree.read(entry)

    def test_damaged_bytes_of_parts(self) -> None:
        md5s = [md5_of([CONTENT[:4]]), md5_of([CONTENT[4:8]]), md5_of([CONTENT[8:]])]
        etag = f"{checksum_of_parts(md5s, 4).md5}-3"
        told = {"ETag": f'"{etag}"', "x-amz-meta-part-size": "4"}
        store, tree = scripted(Answer(body=CONTENT, headers=told), Answer(body=b"some bytez", headers=told))
        entry = Entry("a", size=len(CONTENT), version=etag)
        with store.serving():
            assert tree.read(entry).md5 == MD5
            with pytest.raises(ChecksumMismatchError):
                tree.read(entry)

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (refusal(403, "AccessDenied"), SourceRefusedError),
            (refusal(404, "NoSuchBucket"), SourceRefusedError),
            (refusal(404, "NoSuchKey"), SourceChangedError),
            (refusal(412, "PreconditionFailed"), SourceChangedError),
            (refusal(503, "SlowDown"), SourceBusyError),
            (Answer(drop=True), SourceInterruptedError),
            (Answer(body=b"some", headers=STORED, close=True), SourceInterruptedError),
        ],
    )
    def test_what_a_failure_to_read_is(self, answer: Answer, kind: type[TransferError]) -> None:
        store, tree = scripted(answer)
        with store.serving(), pytest.raises(TransferError) as raised:
            tree.read(Entry("a", size=len(CONTENT), version=MD5))
        assert type(raised.value) is kind
        gc.collect()  # which warns of a connection that was left open

    def test_what_passes_is_waited_for(self) -> None:
        busy = refusal(503, "SlowDown")
        store, tree = scripted(busy, Answer(drop=False), busy, Answer(body=CONTENT, headers=STORED))
        with store.serving():
            assert tree.read(Entry("a", size=len(CONTENT), version=MD5)).content == CONTENT
        assert store.asked[-1].headers["If-Match"] == f'"{MD5}"'

    def test_a_source_can_be_stopped_from_another_thread(self) -> None:
        with Origin() as origin:
            origin.add("/bucket/p/a", CONTENT * 1000)
            reached = origin.gate("/bucket/p/a", 5000)
            place = S3Place("bucket", "p", origin.url(""))
            found = S3Tree(place).find("a")
            assert found is not None
            source = S3Tree(place).source(found)
            assert isinstance(source, Abortable)
            failures: list[TransferError] = []

            def read() -> None:
                try:
                    fetch(source)
                except TransferError as error:
                    failures.append(error)

            reading = threading.Thread(target=read)
            reading.start()
            reached.wait()
            source.abort()
            reading.join(timeout=5)
            assert not reading.is_alive()
        assert [type(each) for each in failures] == [SourceInterruptedError]


class TestDescriptions:
    def test_of_a_small_file(self, store: S3Server) -> None:
        tree, _ = new_tree(store)
        assert tree.describe(tree.write("a", SMALL, None)) == Description(SMALL.mtime_ns, Checksum(MD5))

    def test_of_other_tools_files(self, swift: S3Server) -> None:
        tree, place = new_tree(swift)
        put(swift, place.key("plain"), Metadata={"mtime": "yesterday"})
        put_in_parts(swift, place.key("unknown parts"), [b"abcd", b"ef"])
        put_in_parts(swift, place.key("parts"), [b"abcd", b"ef"], part_size="4", mtime="1600000000.5")
        put_in_parts(swift, place.key("other parts"), [b"abcd", b"ef"], part_size="2")
        put_in_parts(swift, place.key("wrong parts"), [b"abcd", b"ef"], part_size="0")
        told = {entry.path: tree.describe(entry) for entry in tree.entries()}
        expected = checksum_of_parts([md5_of([b"abcd"]), md5_of([b"ef"])], 4)
        nothing = Description(0, None)
        assert told == {
            "plain": Description(0, Checksum(MD5)),
            "unknown parts": nothing,
            "parts": Description(1_600_000_000_500_000_000, expected),
            "other parts": nothing,
            "wrong parts": nothing,
        }

    @pytest.mark.parametrize(
        ("headers", "checksum"),
        [
            ({"x-amz-server-side-encryption": "AES256"}, Checksum(MD5)),
            ({"x-amz-server-side-encryption-aws-kms-key-id": "arn"}, None),
            ({"x-amz-server-side-encryption-customer-algorithm": "AES256"}, None),
            ({"x-amz-server-side-encryption-aws-kms-key-id": "arn", "x-amz-meta-md5": "0" * 32}, Checksum("0" * 32)),
        ],
    )
    def test_an_etag_of_encrypted_bytes_is_no_md5(self, headers: dict[str, str], checksum: Checksum | None) -> None:
        store, tree = scripted(Answer(headers={**STORED, **headers}))
        with store.serving():
            assert tree.describe(Entry("a", version=MD5)).checksum == checksum

    @pytest.mark.parametrize("parts", [[b"edited, md5 kept"], [b"edited", b"in parts"]])
    def test_what_was_given_with_other_bytes_is_not_believed(self, store: S3Server, parts: list[bytes]) -> None:
        """A tool that edits an object may keep what was given with it."""
        tree, place = new_tree(store)
        tree.write("a", SMALL, None)
        if len(parts) == 1:
            put(store, place.key("a"), parts[0], Metadata={"md5": MD5})
        else:
            put_in_parts(store, place.key("a"), parts, md5=MD5)
        [entry] = tree.entries()
        expected = Checksum(md5_of(parts)) if plain_etag(entry.version) == md5_of(parts) else None
        assert tree.describe(entry).checksum == expected
        assert tree.read(entry).content == b"".join(parts)

    @given(mtime_ns=st.integers(-(10**21) + 1, 10**21 - 1))
    def test_times_come_back_to_the_nanosecond(self, mtime_ns: int) -> None:
        assert _mtime_ns(_mtime(mtime_ns)) == mtime_ns

    @pytest.mark.parametrize(
        ("text", "mtime_ns"),
        [
            ("1668000000.123456789", 1_668_000_000_123_456_789),
            ("1668000000", 1_668_000_000_000_000_000),
            ("1668000000.5", 1_668_000_000_500_000_000),
            ("-1.5", -1_500_000_000),
            *[(text, 0) for text in ("", "yesterday", "1e9", "1.", "1.1234567890", "9" * 13, "\u0661")],
        ],
    )
    def test_times_of_other_tools(self, text: str, mtime_ns: int) -> None:
        assert _mtime_ns({"mtime": text}) == mtime_ns


class TestWriting:
    def test_what_is_sent(self) -> None:
        store, tree = scripted(Answer(headers={"ETag": STORED["ETag"]}))
        keeps(store, "PUT", "If-Match")
        with store.serving():
            tree.write("é", SMALL, Entry("é", version="old"))
        [sent] = store.asked
        assert (sent.method, sent.path, sent.body) == ("PUT", "/bucket/p/%C3%A9", CONTENT)
        assert sent.headers["If-Match"] == '"old"'
        assert base64.b64decode(sent.headers["Content-MD5"]).hex() == MD5
        assert sent.headers["x-amz-meta-mtime"] == "1600000000.123456789"
        assert sent.headers["x-amz-meta-md5"] == MD5

    def test_one_request_a_file(self, swift: S3Server, asked: list[Request]) -> None:
        tree, _ = new_tree(swift)
        tree.write("finds out", SMALL, None)
        asked.clear()
        for name in "abc":
            tree.write(name, SMALL, None)
        assert [each.method for each in asked] == ["PUT"] * 3

    def test_another_etag_than_the_md5_is_a_failure(self) -> None:
        store, tree = scripted(Answer(headers={"ETag": '"another"'}))
        keeps(store, "PUT", "If-None-Match")
        with store.serving(), pytest.raises(SinkError, match="changed on their way"):
            tree.write("a", SMALL, None)

    def test_what_was_refused_once_is_not_taken_for_ours_the_next_time(self) -> None:
        """The MD5 that is noted beside it is the one that we sent, not that of what lies there."""
        there = Answer(headers={**STORED, "ETag": '"another"'})
        store, tree = scripted(refusal(412, "PreconditionFailed"), there)
        keeps(store, "PUT", "If-None-Match")
        with store.serving(), pytest.raises(ChangedElsewhereError):
            tree.write("a", SMALL, None)

    def test_bytes_that_are_not_those_of_their_md5_are_refused_by_the_store(self, swift: S3Server) -> None:
        tree, place = new_tree(swift)
        with pytest.raises(SinkError, match="BadDigest"):
            tree.write("a", dataclasses.replace(SMALL, content=b"some bytez"), None)
        assert swift.content(place.key("a")) is None

    @pytest.mark.parametrize("replaced", [None, Entry("a", version="old")])
    def test_an_answer_that_was_lost(self, replaced: Entry | None) -> None:
        """The store took it, and on the second attempt finds that what lies there is not what was seen."""
        store, tree = scripted(Answer(drop=True), refusal(412, "PreconditionFailed"), Answer(headers=STORED))
        keeps(store, "PUT", "If-Match" if replaced else "If-None-Match")
        with store.serving():
            assert tree.write("a", SMALL, replaced).version == MD5
        assert [each.method for each in store.asked] == ["PUT", "PUT", "HEAD", "HEAD"]

    def test_what_was_to_be_replaced_is_gone(self, store: S3Server) -> None:
        tree, place = new_tree(store)
        for _ in range(2):  # before and after it is known what the store does
            tree.write("a", SMALL, Entry("a", version="0" * 32))
            assert store.content(place.key("a")) == CONTENT
            store.plain.delete_object(Bucket=BUCKET, Key=place.key("a"))

    @pytest.mark.parametrize("name", ["AccessDenied", "RequestTimeTooSkewed", "InvalidAccessKeyId"])
    def test_what_people_must_see_to(self, name: str) -> None:
        store, tree = scripted(refusal(403, name))
        keeps(store, "PUT", "If-None-Match")
        with store.serving():
            with pytest.raises(FolderUnusableError, match=name):
                tree.write("a", SMALL, None)
            assert len(store.asked) == 1

    def test_a_folder_never_takes_the_place_of_bytes(self, swift: S3Server) -> None:
        tree, place = new_tree(swift)
        put(swift, place.key("a/"))
        with pytest.raises(ChangedElsewhereError):
            tree.make_folder("a/")
        assert swift.content(place.key("a/")) == CONTENT

    def test_no_such_bucket(self, store: S3Server) -> None:
        tree = S3Tree(S3Place("nowhere", "p", store.url))
        for fail in (lambda: list(tree.entries()), lambda: tree.read(Entry("a", version=MD5))):
            with pytest.raises(SourceRefusedError, match="there is no such bucket"):
                fail()
        with pytest.raises(FolderUnusableError, match="there is no such bucket"):
            tree.write("a", SMALL, None)
        with pytest.raises(FolderUnusableError, match="there is no such bucket"):
            tree.sink("a", "1", Description(0, None), None).begin(Plan(10, 5))


class TestSettingAside:
    @pytest.fixture(params=["at once", "in parts"])
    def _copies(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        if request.param == "in parts":
            monkeypatch.setattr(copies, "AT_ONCE_BYTES", 3)
            monkeypatch.setattr(copies, "PART_BYTES", 4)

    @pytest.mark.usefixtures("_copies")
    @pytest.mark.parametrize("name", ["a", "a+b %41&#?é\n.txt"])
    def test_all_that_was_given_is_kept(self, swift: S3Server, name: str) -> None:
        tree, place = new_tree(swift)
        kept = tree.set_aside(tree.write(name, SMALL, None))
        assert [entry.path for entry in tree.entries()] == [kept.path]
        assert swift.content(place.key(kept.path)) == CONTENT
        parts = [CONTENT[:4], CONTENT[4:8], CONTENT[8:]]
        of_parts = checksum_of_parts([md5_of([part]) for part in parts], 4)
        checksum = of_parts if kept.version.endswith("-3") else Checksum(MD5)
        assert tree.describe(kept) == Description(SMALL.mtime_ns, checksum)
        assert tree.read(kept) == SMALL

    @pytest.mark.usefixtures("_copies")
    def test_a_file_of_parts_stays_provable(self, swift: S3Server) -> None:
        tree, place = new_tree(swift)
        put_in_parts(swift, place.key("a"), [CONTENT[:5], CONTENT[5:]], part_size="5", mtime="7.25")
        [entry] = tree.entries()
        kept = tree.set_aside(entry)
        description = tree.describe(kept)
        assert description.mtime_ns == 7_250_000_000
        assert description.checksum is not None
        assert tree.read(kept).content == CONTENT

    def test_the_longest_key_is_kept_under_one_that_is_none_longer(self, swift: S3Server) -> None:
        tree, place = new_tree(swift)
        folders = "f" * 200 + "/"
        path = folders * 4 + "x" * (1024 - len(place.key_prefix) - len(folders) * 4)
        kept = tree.set_aside(tree.write(path, SMALL, None))
        assert len(place.key(kept.path)) == len(place.key(path)) == 1024
        assert [entry.path for entry in tree.entries()] == [kept.path]

    @pytest.mark.usefixtures("_copies")
    def test_what_was_changed_is_neither_copied_nor_removed(self, swift: S3Server) -> None:
        tree, place = new_tree(swift)
        entry = tree.write("a", SMALL, None)
        put(swift, place.key("a"), b"edited")
        with pytest.raises(ChangedElsewhereError):
            tree.set_aside(entry)
        assert [each.path for each in tree.entries()] == ["a"]
        assert swift.content(place.key("a")) == b"edited"

    def test_what_is_changed_behind_the_look_is_not_copied(self, swift: S3Server) -> None:
        tree, place = new_tree(swift)
        for size in (10, 2**31):  # the second one goes in parts
            entry = tree.write("a", SMALL, tree.find("a"))
            info = dataclasses.replace(tree._info_of(entry), size=size)
            put(swift, place.key("a"), b"edited")
            with pytest.raises(ChangedElsewhereError):
                copies.copy_object(place, info, place.key("a"), place.key("b"))
            assert [each.path for each in tree.entries()] == ["a"]
        assert swift.plain.list_multipart_uploads(Bucket=BUCKET, Prefix=place.key_prefix).get("Uploads", []) == []


class TestRemoving:
    def test_a_file_of_parts(self, store: S3Server) -> None:
        tree, place = new_tree(store)
        for _ in range(2):
            put_in_parts(store, place.key("a"), [b"abcd", b"ef"])
            [entry] = tree.entries()
            tree.remove(entry)
            assert list(tree.entries()) == []

    def test_a_file_of_parts_that_was_changed(self, store: S3Server) -> None:
        tree, place = new_tree(store)
        put_in_parts(store, place.key("a"), [b"abcd", b"ef"])
        [entry] = tree.entries()
        put(store, place.key("a"))
        with pytest.raises(ChangedElsewhereError):
            tree.remove(entry)
        assert store.content(place.key("a")) == CONTENT

    def test_an_answer_that_was_lost(self) -> None:
        store, tree = scripted(Answer(drop=True), refusal(404, "NoSuchKey"), Answer(status=404))
        keeps(store, "DELETE", "If-Match")
        with store.serving():
            tree.remove(Entry("a", version="old"))
        assert [each.method for each in store.asked] == ["DELETE", "DELETE", "HEAD", "HEAD"]


def test_a_large_file_of_parts_is_a_source_like_any_other(swift: S3Server) -> None:
    tree, _ = new_tree(swift)
    sink = tree.sink("a", "1", Description(5, None), None)
    plan = Plan(len(CONTENT), 4)
    sink.begin(plan)
    for part in plan:
        sink.write_part(part, FailingReader(CONTENT[part.offset : part.end]))
    entry = sink.publish(len(CONTENT))
    assert [fetch(tree.source(entry), part.offset, part.end) for part in plan] == [b"some", b" byt", b"es"]
    assert tree.read(entry) == Content(CONTENT, MD5, 5)


READS: list[Callable[[S3Tree], object]] = [
    lambda tree: list(tree.entries()),
    lambda tree: tree.find("a"),
    lambda tree: tree.read(Entry("a", size=1, version="v")),
    lambda tree: tree.describe(Entry("a", size=1, version="v")),
    lambda tree: tree.source(Entry("a", size=1, version="v")).stat(),
    lambda tree: fetch(tree.source(Entry("a", size=1, version="v"))),
    lambda tree: tree.write("a", SMALL, None),
    lambda tree: tree.write("a", SMALL, Entry("a", version="v")),
    lambda tree: tree.make_folder("a/"),
    lambda tree: tree.set_aside(Entry("a", version="v")),
    lambda tree: tree.remove(Entry("a", version="v")),
    lambda tree: tree.sink("a", "1", Description(0, None), None).begin(Plan(10, 5)),
    lambda tree: tree.sink("a", "1", Description(0, None), None).join(Plan(10, 5)),
]


@pytest.mark.parametrize("does", range(len(READS)))
@pytest.mark.parametrize(
    "answer",
    [
        refusal(403, "AccessDenied", "X-Amz-Signature=deadbeef"),
        refusal(403, "RequestTimeTooSkewed", "X-Amz-Signature=deadbeef"),
        refusal(400, "ExpiredToken", "X-Amz-Signature=deadbeef"),
        refusal(503, "SlowDown"),
        Answer(drop=True),
        Answer(body=b"<html>hello</html", headers={"Content-Type": "text/html"}),
    ],
    ids=["denied", "skewed", "expired", "busy", "reset", "no store"],
)
def test_whatever_a_store_does_is_one_of_our_errors(does: int, answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    store, tree = scripted(answer)
    with store.serving(), pytest.raises(TransferError) as raised:
        READS[does](tree)
    assert "deadbeef" not in raised.value.message
    assert "127.0.0.1" in raised.value.message


WRITES: list[Callable[[S3Tree], object]] = [
    lambda tree: tree.write("a", SMALL, None),
    lambda tree: tree.make_folder("a/"),
    lambda tree: tree.remove(Entry("a", version=MD5)),
    lambda tree: tree.set_aside(Entry("a", version=MD5)),
    lambda tree: tree.sink("a", "1", Description(0, None), None).begin(Plan(10, 5)),
    lambda tree: tree.sink("a", "1", Description(0, None), None).join(Plan(10, 5)),
]


@pytest.mark.parametrize("code", ["EntityTooLarge", "EntityTooSmall", "NoSuchUpload"])
@pytest.mark.parametrize("does", range(len(WRITES)))
def test_what_clients_are_told_is_a_failure_of_the_transfer_here(does: int, code: str) -> None:
    """Anything else would end the job for one file."""
    store, tree = scripted(refusal(400, code))
    with store.serving(), suppress(TransferError):
        WRITES[does](tree)
