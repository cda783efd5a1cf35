from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import battery
from tests.conformance.collections import PART_BYTES, CollectionSuite, ExactSizeSuite, UnknownSizeSuite
from tests.s3 import S3Server
from transfers.engine.local import LocalCollection
from transfers.engine.s3 import S3Collection


class LocalFolder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collection(self) -> LocalCollection:
        collection = LocalCollection(self._folder / "upload", PART_BYTES, self._folder / "files" / "film.mov")
        collection.begin(None)
        return collection

    def content(self) -> bytes | None:
        files = list((self._folder / "files").glob("*"))
        assert len(files) <= 1
        return files[0].read_bytes() if files else None


class TestLocalCollection(CollectionSuite, UnknownSizeSuite):
    @pytest.fixture
    def new_place(self, tmp_path: Path) -> Callable[[], LocalFolder]:
        numbers = itertools.count()
        return lambda: LocalFolder(tmp_path / str(next(numbers)))


class S3Bucket:
    """Notes the collection's name, as its owner does."""

    def __init__(self, store: S3Server) -> None:
        self._store = store
        self._key = store.new_key()
        self._name = ""

    def collection(self) -> S3Collection:
        collection = S3Collection(self._store.place(), self._key, self._name)
        self._name = collection.begin(None)
        return collection

    def content(self) -> bytes | None:
        return self._store.content(self._key)


class TestS3CollectionAtSwift(CollectionSuite, ExactSizeSuite):
    courses = battery.rounds(3, 100)

    @pytest.fixture
    def new_place(self, swift: S3Server) -> Callable[[], S3Bucket]:
        return lambda: S3Bucket(swift)


class TestS3CollectionAtRclone(CollectionSuite):
    @pytest.fixture
    def new_place(self, rclone: S3Server) -> Callable[[], S3Bucket]:
        return lambda: S3Bucket(rclone)

    # Of a part that it has written to its file, be it the beginning only, it takes no other bytes any more (501).
    test_the_part_that_was_stored_last_counts = None
    test_a_part_is_replaced_by_a_shorter_and_by_a_longer_one = None
    test_of_two_senders_of_one_part_one_counts_whole = None
    test_bytes_of_another_md5_leave_the_part_as_it_was = None
    test_a_reader_that_fails_leaves_the_part_as_it_was = None
    test_any_course_of_sendings_ends_in_the_right_bytes = None
    # Its objects' ETags do not tell of what parts they were made.
    test_complete_again = None
