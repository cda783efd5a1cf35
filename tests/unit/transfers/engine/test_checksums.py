"""The checksums of a file that is still being written are those of the file."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfers.engine import checksums
from transfers.engine.base import CHUNK_BYTES
from transfers.engine.checksums import INLINE_BYTES, Checksums, FileHasher
from transfers.errors import ChecksumMismatchError, SinkError

WAIT_SECONDS = 10
CONTENT = random.Random(2).randbytes(INLINE_BYTES + 3 * CHUNK_BYTES + 5)


def expected(content: bytes) -> Checksums:
    return Checksums(
        hashlib.md5(content, usedforsecurity=False).hexdigest(),
        hashlib.sha256(content).hexdigest(),
        f"{zlib.crc32(content):08x}",
    )


def hashing_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "hasher"]


class OpenFile:
    """A file that is open for reading and writing, and counts who asks for its descriptor."""

    def __init__(self, path: Path, content: bytes = b"") -> None:
        path.write_bytes(content)
        self._number = os.open(path, os.O_RDWR)
        self.reads = 0

    def fileno(self) -> int:
        self.reads += 1
        return self._number

    def write(self, content: bytes, offset: int) -> None:
        os.pwrite(self._number, content, offset)

    def close(self) -> None:
        os.close(self._number)


@pytest.fixture
def new_file(tmp_path: Path) -> Iterator[Callable[[bytes], OpenFile]]:
    files: list[OpenFile] = []

    def new(content: bytes = b"") -> OpenFile:
        files.append(OpenFile(tmp_path / f"file-{len(files)}", content))
        return files[-1]

    yield new
    for file in files:
        file.close()
    assert hashing_threads() == [], "every test ends its hasher"


NewFile = Callable[..., OpenFile]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


SIZES = [0, 1, 63, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, INLINE_BYTES - 1, INLINE_BYTES, len(CONTENT)]


@pytest.mark.parametrize("size", SIZES)
def test_a_file_that_is_there_already(new_file: NewFile, size: int) -> None:
    file = new_file(CONTENT[:size])
    assert FileHasher(file.fileno).finish(size) == expected(CONTENT[:size])


@pytest.mark.parametrize("size", SIZES)
def test_a_file_that_grows(new_file: NewFile, size: int) -> None:
    file = new_file()
    hasher = FileHasher(file.fileno)
    for offset in range(0, size, 300_000):
        file.write(CONTENT[offset : min(offset + 300_000, size)], offset)
        hasher.advance(min(offset + 300_000, size))
    assert hasher.finish(size) == expected(CONTENT[:size])


def test_it_follows_the_writer_instead_of_waiting_for_the_end(new_file: NewFile) -> None:
    file = new_file(CONTENT)
    hasher = FileHasher(file.fileno)
    hasher.advance(INLINE_BYTES)
    wait_until(lambda: file.reads >= 2 * INLINE_BYTES // CHUNK_BYTES)  # two threads, each a chunk a read
    assert len(hashing_threads()) == 2
    assert hasher.finish(len(CONTENT)) == expected(CONTENT)


def test_it_never_reads_beyond_the_frontier(new_file: NewFile) -> None:
    # Behind the frontier there is something else until the moment before the frontier gets there.
    size = INLINE_BYTES + 2 * CHUNK_BYTES
    file = new_file(bytes(size))
    hasher = FileHasher(file.fileno)
    for frontier in (INLINE_BYTES + 10, INLINE_BYTES + CHUNK_BYTES + 20, size):
        file.write(CONTENT[:frontier], 0)
        hasher.advance(frontier)
        deadline = time.monotonic() + WAIT_SECONDS
        while file.reads < 2 * frontier // CHUNK_BYTES:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(0.02)
    assert hasher.finish(size) == expected(CONTENT[:size])


def test_a_small_file_costs_no_thread(new_file: NewFile) -> None:
    file = new_file(CONTENT[: INLINE_BYTES - 1])
    hasher = FileHasher(file.fileno)
    hasher.advance(INLINE_BYTES - 1)
    assert hashing_threads() == []
    hasher.finish(INLINE_BYTES - 1)
    assert file.reads == 4, "a chunk a read, each read once for all three"


def test_a_frontier_that_goes_back_is_no_matter(new_file: NewFile) -> None:
    file = new_file(CONTENT)
    hasher = FileHasher(file.fileno)
    for frontier in (INLINE_BYTES, 0, CHUNK_BYTES, len(CONTENT), 5):
        hasher.advance(frontier)
    assert hasher.finish(len(CONTENT)) == expected(CONTENT)


# Ending early --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frontier", [0, CHUNK_BYTES, INLINE_BYTES, len(CONTENT)])
def test_a_cancelled_hasher_has_no_result_and_no_thread(new_file: NewFile, frontier: int) -> None:
    file = new_file(CONTENT)
    hasher = FileHasher(file.fileno)
    hasher.advance(frontier)
    hasher.cancel()
    assert hasher.finish(len(CONTENT)) is None
    assert hashing_threads() == []


@pytest.mark.parametrize("frontier", [0, INLINE_BYTES])
def test_close_ends_the_threads_and_may_be_repeated(new_file: NewFile, frontier: int) -> None:
    hasher = FileHasher(new_file(CONTENT).fileno)
    hasher.advance(frontier)
    hasher.close()
    assert hashing_threads() == []
    hasher.close()


def test_close_after_the_end_leaves_the_result_alone(new_file: NewFile) -> None:
    hasher = FileHasher(new_file(CONTENT).fileno)
    hasher.advance(len(CONTENT))
    assert hasher.finish(len(CONTENT)) == expected(CONTENT)
    hasher.close()


@pytest.mark.parametrize("size", [INLINE_BYTES - 1, INLINE_BYTES], ids=["in-place", "in-threads"])
def test_it_can_be_cancelled_while_it_finishes(new_file: NewFile, size: int) -> None:
    file = new_file(CONTENT)
    reading, go_on = threading.Event(), threading.Event()

    def fileno() -> int:
        reading.set()
        assert go_on.wait(WAIT_SECONDS)
        return file.fileno()

    hasher = FileHasher(fileno)
    results: list[Checksums | None] = []
    finishing = threading.Thread(target=lambda: results.append(hasher.finish(size)))
    finishing.start()
    assert reading.wait(WAIT_SECONDS)
    hasher.cancel()
    go_on.set()
    finishing.join(WAIT_SECONDS)
    assert results == [None]
    assert file.reads <= 2, "it read on after it was cancelled"


# Failing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, len(CONTENT)], ids=["in-place", "in-threads"])
def test_a_file_that_was_cut_is_told_and_never_hashed_as_it_is(new_file: NewFile, size: int) -> None:
    hasher = FileHasher(new_file(CONTENT[: size - 1]).fileno)
    with pytest.raises(SinkError, match="cut to"):
        hasher.finish(size)


@pytest.mark.parametrize("size", [1000, len(CONTENT)], ids=["in-place", "in-threads"])
def test_a_file_that_cannot_be_read_back_is_a_failure_of_the_sink(tmp_path: Path, size: int) -> None:
    with (tmp_path / "file").open("wb") as write_only:
        write_only.truncate(len(CONTENT))
        with pytest.raises(SinkError, match="read back"):
            FileHasher(write_only.fileno).finish(size)


@pytest.mark.parametrize("size", [1000, len(CONTENT)], ids=["in-place", "in-threads"])
def test_any_other_failure_of_its_threads_comes_out_too(size: int) -> None:
    failure = SinkError("the file is not open")

    def fileno() -> int:
        raise failure

    with pytest.raises(SinkError) as raised:
        FileHasher(fileno).finish(size)
    assert raised.value is failure


# Promises ------------------------------------------------------------------------------------------------------------

OURS = expected(b"abc")


@pytest.mark.parametrize(
    "promised",
    [{}, {"md5": OURS.md5}, {"sha256": OURS.sha256}, {"md5": OURS.md5, "sha256": OURS.sha256, "crc32": OURS.crc32}],
)
def test_promises_that_were_kept(promised: dict[str, str]) -> None:
    OURS.verify(promised)


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "crc32"])
def test_a_promise_that_was_broken(algorithm: str) -> None:
    kept = {"md5": OURS.md5, "sha256": OURS.sha256, "crc32": OURS.crc32}
    with pytest.raises(ChecksumMismatchError, match=algorithm) as raised:
        OURS.verify(kept | {algorithm: "0" * len(kept[algorithm])})
    assert kept[algorithm] in raised.value.message


# Any writer ----------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=500), frontiers=st.lists(st.integers(0, 500), max_size=8))
def test_any_file_and_any_course_of_its_frontier(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, frontiers: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checksums, "CHUNK_BYTES", 16)
        patch.setattr(checksums, "INLINE_BYTES", 64)
        file = OpenFile(tmp_path_factory.mktemp("any") / "file", content)
        hasher = FileHasher(file.fileno)
        for frontier in frontiers:
            hasher.advance(min(frontier, len(content)))
        assert hasher.finish(len(content)) == expected(content)
        file.close()
    assert hashing_threads() == []
