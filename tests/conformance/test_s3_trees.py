from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.conformance.sinks import SinkSuite
from tests.conformance.sources import ReadingSuite, fetch
from tests.conformance.trees import MTIME_NS, MarkedFoldersSuite, NewTree, TreeSuite, put
from tests.s3 import BUCKET, S3Server
from transfers.engine.base import Source
from transfers.engine.s3 import S3Place, S3Tree
from transfers.engine.s3.conditions import forget_stores
from transfers.engine.tree.base import Description, Tree, TreeSink


def new_s3_tree(server: S3Server) -> NewTree:
    """Makes one empty tree after the other in the server's bucket."""
    numbers = itertools.count(1)
    folder = server.new_key().removesuffix("/file.bin")
    return lambda: S3Tree(S3Place(BUCKET, f"{folder}/tree+%41 é/{next(numbers)}", server.url))


@pytest.fixture(autouse=True)
def _new_stores() -> Iterator[None]:
    """Every test finds out anew what the store does with conditions."""
    forget_stores()
    yield
    forget_stores()


class TestS3TreeAtSwift(TreeSuite, MarkedFoldersSuite):
    @pytest.fixture
    def new_tree(self, swift: S3Server) -> NewTree:
        return new_s3_tree(swift)


class TestS3TreeAtRclone(TreeSuite):
    @pytest.fixture
    def new_tree(self, rclone: S3Server) -> NewTree:
        return new_s3_tree(rclone)

    # It has no objects whose keys end in "/", and takes two Unicode forms of a name for the same.
    test_names_in_two_unicode_forms_are_two_files = None
    test_an_empty_folder_that_was_made = None
    test_a_folder_that_is_made_twice = None
    test_a_folder_with_something_in_it = None
    test_folders_in_folders = None
    test_a_folder_is_set_aside_with_all_that_is_in_it = None
    test_an_empty_folder = None
    test_a_folder_with_something_in_it_stays = None
    # It takes no other bytes for a part (501), and gives an object that was made of parts the MD5 of all its bytes.
    test_parts_of_another_version_are_not_trusted = None
    test_a_large_file = None


class FileInTree:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def put(self, content: bytes) -> None:
        put(self._tree, "file.bin", content)

    def source(self) -> Source:
        entry = self._tree.find("file.bin")
        assert entry is not None
        return self._tree.source(entry)

    def sink(self) -> TreeSink:
        return self._tree.sink("file.bin", "first", Description(MTIME_NS, None), self._tree.find("file.bin"))

    def content(self) -> bytes | None:
        found = self._tree.find("file.bin")
        return None if found is None else fetch(self._tree.source(found))


class TestS3TreeSource(ReadingSuite):
    @pytest.fixture
    def place(self, swift: S3Server) -> FileInTree:
        return FileInTree(new_s3_tree(swift)())


class TestS3TreeSink(SinkSuite):
    @pytest.fixture
    def new_place(self, swift: S3Server) -> Callable[[], FileInTree]:
        new_tree = new_s3_tree(swift)
        return lambda: FileInTree(new_tree())

    @pytest.mark.long
    def test_any_course_of_failures_ends_in_the_right_bytes(self, new_place: Callable[[], FileInTree]) -> None:
        super().test_any_course_of_failures_ends_in_the_right_bytes(new_place)
