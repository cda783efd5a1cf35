"""Unfinished uploads and objects at rest: all pages, both kinds of store, and what a crash between two steps leaves."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests import battery
from tests.conformance.sinks import FailingReader
from tests.s3 import BUCKET, Answer, S3Server, ScriptedStore, running_swift
from tests.s3.scripted import refusal
from transfers.engine.s3 import (
    S3Collection,
    S3Place,
    delete_object,
    presigned_content_url,
    unfinished_uploads,
)
from transfers.engine.s3.objects import find_object
from transfers.engine.s3.uploads import Target, abort_upload, begin_upload, list_parts, multipart_etag
from transfers.errors import InvalidInputError, PartsDifferError, UploadEndedError

pytestmark = pytest.mark.usefixtures("s3_credentials")

MIB = 2**20
PARTS = {1: b"first " * 1000, 2: b"second"}
MD5S = {number: hashlib.md5(content, usedforsecurity=False).hexdigest() for number, content in PARTS.items()}


def collected(server: S3Server) -> S3Collection:
    """A collection with both parts in it."""
    collection = S3Collection(server.place(), server.new_key(), content_type="text/x-first")
    collection.begin(None)
    for number, content in PARTS.items():
        collection.write_part(number, FailingReader(content), len(content))
    return collection


class TestPlace:
    @pytest.mark.parametrize(
        ("prefix", "key"),
        [("", "1/a.bin"), ("files", "files/1/a.bin"), ("/files/", "files/1/a.bin"), ("a/b", "a/b/1/a.bin")],
    )
    def test_the_prefix_is_a_folder(self, prefix: str, key: str) -> None:
        assert S3Place("bucket", prefix).key("1/a.bin") == key

    def test_its_words_are_only_bucket_and_host(self) -> None:
        assert str(S3Place("b")) == "bucket b at S3"
        assert str(S3Place("b", "p", "https://user:secret@h.example:9000/x?y")) == "bucket b at h.example:9000"


class TestParts:
    def test_more_parts_than_a_page_has(self, rclone: S3Server) -> None:
        self.check_pages(rclone, 1003)

    @pytest.mark.long
    def test_more_parts_than_a_page_has_at_swift(self, swift: S3Server) -> None:
        self.check_pages(swift, battery.rounds(1003, 10_000))

    def check_pages(self, server: S3Server, count: int) -> None:
        collection = S3Collection(server.place(), server.new_key())
        collection.begin(None)

        def send(number: int) -> str:
            content = str(number).encode()
            return collection.write_part(number, FailingReader(content), len(content)).etag

        with ThreadPoolExecutor(4) as pool:
            md5s = dict(enumerate(pool.map(send, range(1, count + 1)), start=1))
        stored = collection.stored_parts()
        assert [*stored] == [*md5s]
        assert {number: part.etag for number, part in stored.items()} == md5s
        assert collection.complete(md5s).size == sum(len(str(number)) for number in md5s)

    def test_parts_that_are_too_small(self) -> None:
        with running_swift(min_part_bytes=5 * MIB) as server:
            collection = collected(server)
            with pytest.raises(InvalidInputError) as refused:
                collection.complete(MD5S)
            assert "5242880 bytes (5 MiB)" in refused.value.errors["parts"][0]
            large = b"x" * (5 * MIB)
            collection.write_part(1, FailingReader(large, piece_bytes=MIB), len(large))
            assert collection.complete(MD5S | {1: hashlib.md5(large, usedforsecurity=False).hexdigest()}).size

    def test_a_part_sent_past_us(self, store: S3Server) -> None:
        collection = S3Collection(store.place(), store.new_key())
        collection.begin(None)
        for number, content in PARTS.items():
            url = collection.presigned_part_url(number, 60)
            assert requests.put(url, data=content, timeout=10).status_code == 200
        assert {number: part.etag for number, part in collection.stored_parts().items()} == MD5S
        assert collection.complete(MD5S).size == 6006

    def test_an_address_is_good_for_nothing_else(self, swift: S3Server) -> None:
        collection = collected(swift)
        url = collection.presigned_part_url(1, 60)
        assert requests.put(url.replace("partNumber=1", "partNumber=2"), data=b"x", timeout=10).status_code == 403
        assert requests.delete(url, timeout=10).status_code == 403
        assert {number: part.etag for number, part in collection.stored_parts().items()} == MD5S


class TestUploads:
    def test_all_of_the_place_and_no_other(self, store: S3Server) -> None:
        place = S3Place(BUCKET, f"sweep-{store.new_key()}", store.url)
        assert list(unfinished_uploads(place)) == []
        begun = [begin_upload(place, place.key(name), "text/plain") for name in ("b", "a", "a", "c/d")]
        elsewhere = S3Place(BUCKET, place.prefix + "-other", store.url)
        begin_upload(elsewhere, elsewhere.key("a"), "text/plain")
        found = list(unfinished_uploads(place))
        assert [each.key for each in found] == [place.key(name) for name in ("a", "a", "b", "c/d")]
        assert {each.upload_id for each in found} == {each.upload_id for each in begun}
        now = dt.datetime.now(dt.UTC)
        assert all(abs((now - each.initiated).total_seconds()) < 60 for each in found)
        for each in found:
            abort_upload(Target(place, each.key, each.upload_id))
        assert list(unfinished_uploads(place)) == []

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_page_by_page(self, store: S3Server, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of the next page, swift tells no marker, and rclone one that is not the last of this page."""
        place = S3Place(BUCKET, f"pages-{store.new_key()}", store.url)
        begun = [begin_upload(place, place.key(name), "text/plain") for name in "abbbc"]
        monkeypatch.setattr("transfers.engine.s3.uploads.UPLOADS_PER_PAGE", size)
        found = list(unfinished_uploads(place))
        assert sorted(each.upload_id for each in found) == sorted(each.upload_id for each in begun)

    def test_a_store_that_always_says_there_is_more(self) -> None:
        page = b"<ListMultipartUploadsResult><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>"
        with ScriptedStore(Answer(body=page)).serving() as store:
            assert list(unfinished_uploads(store.place)) == []

    def test_abort_of_what_is_gone(self, store: S3Server) -> None:
        place = store.place()
        target = begin_upload(place, store.new_key(), "text/plain")
        for _ in range(2):
            abort_upload(target)
        with pytest.raises(UploadEndedError):
            list_parts(target)


class TestComplete:
    def test_the_object_has_what_was_told_at_the_beginning(self, store: S3Server) -> None:
        collection = collected(store)
        found = find_object(store.place(), collection.complete(MD5S).location)
        assert found is not None
        assert (found.size, found.content_type) == (6006, "text/x-first")

    def test_the_etag_that_amazon_documents(self, swift: S3Server) -> None:
        found = find_object(swift.place(), collected(swift).complete(MD5S).location)
        assert found is not None
        assert found.etag == multipart_etag(MD5S)

    @pytest.fixture
    def answers(self) -> Iterator[dict[str, Answer]]:
        """What a store says after the upload was completed by somebody whose note of it was lost."""
        return {
            "gone": refusal(404, "NoSuchUpload"),
            "ours": Answer(headers={"ETag": f'"{multipart_etag(MD5S)}"', "Content-Length": "6006"}),
            "other": Answer(headers={"ETag": f'"{multipart_etag({1: MD5S[1]})}"', "Content-Length": "6000"}),
            "none": Answer(status=404),
        }

    def test_after_a_crash_the_object_is_known_by_its_etag(self, answers: dict[str, Answer]) -> None:
        with ScriptedStore(answers["gone"], answers["ours"]).serving() as store:
            done = S3Collection(store.place, "key", "upload").complete(MD5S)
        assert (done.location, done.size) == ("key", 6006)

    @pytest.mark.parametrize("there", ["other", "none"])
    def test_another_object_is_not_taken_for_ours(self, answers: dict[str, Answer], there: str) -> None:
        store = ScriptedStore(answers["gone"], answers[there])
        with store.serving(), pytest.raises(UploadEndedError):
            S3Collection(store.place, "key", "upload").complete(MD5S)

    def test_after_a_crash_of_one_part_at_a_store_without_such_etags(self, rclone: S3Server) -> None:
        collection = S3Collection(rclone.place(), rclone.new_key())
        collection.begin(None)
        collection.write_part(1, FailingReader(PARTS[1]), len(PARTS[1]))
        assert collection.complete({1: MD5S[1]}) == collection.complete({1: MD5S[1]})

    def test_a_part_that_changes_in_between_is_found_out_by_the_store(self, swift: S3Server) -> None:
        collection = collected(swift)

        class Overtaken(S3Collection):
            def stored_parts(self) -> dict[int, object]:  # type: ignore[override]
                seen = super().stored_parts()
                self.write_part(2, FailingReader(b"other!"), 6)  # behind the first look
                return seen

        racing = Overtaken(swift.place(), collection._target.key, collection._target.upload_id)
        with pytest.raises(PartsDifferError):
            racing.complete(MD5S)
        assert find_object(swift.place(), collection._target.key) is None
        with pytest.raises(PartsDifferError):
            collection.complete(MD5S)


class TestObjects:
    def test_nothing_there(self, store: S3Server) -> None:
        assert find_object(store.place(), "nothing") is None
        delete_object(store.place(), "nothing")

    def test_delete(self, store: S3Server) -> None:
        key = collected(store).complete(MD5S).location
        delete_object(store.place(), key)
        assert find_object(store.place(), key) is None

    def test_an_address_to_fetch_it(self, store: S3Server) -> None:
        key = collected(store).complete(MD5S).location
        disposition = "attachment; filename*=UTF-8''%E2%82%AC.txt"
        url = presigned_content_url(store.place(), key, 60, disposition=disposition, content_type="text/x-told")
        answer = requests.get(url, headers={"Range": "bytes=5990-6003"}, timeout=10)
        assert answer.content == b"rst first seco"
        assert answer.headers["Content-Disposition"] == disposition
        assert answer.headers["Content-Type"] == "text/x-told"

    def test_an_address_ends(self, swift: S3Server) -> None:
        key = collected(swift).complete(MD5S).location
        url = presigned_content_url(swift.place(), key, 60, disposition="inline", content_type="text/plain")
        for spoiled in (url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"), url.replace(key, "tests/1/else.bin")):
            assert requests.get(spoiled, timeout=10).status_code == 403
