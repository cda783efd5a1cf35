"""Bytes on their way from a reader to a file: in any pieces, past the page cache or not, hashed here or beside."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from transfers.engine.base import Reader
from transfers.engine.local import pouring
from transfers.engine.local.disk import write_all
from transfers.engine.local.pouring import BLOCK_BYTES, BlockWriter, streaming
from transfers.errors import SourceInterruptedError

CONTENT = random.Random(7).randbytes(12 * BLOCK_BYTES)
SMALL_BYTES = BLOCK_BYTES
LARGE_BYTES = 2 * BLOCK_BYTES
DIRECT = getattr(os, "O_DIRECT", 0)


@pytest.fixture(autouse=True)
def _small_buffers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Buffers of which little content fills many; every place beside is free before and after."""
    monkeypatch.setattr(pouring, "SMALL_BYTES", SMALL_BYTES)
    monkeypatch.setattr(pouring, "LARGE_BYTES", LARGE_BYTES)
    assert places_beside() == pouring._MAX_BESIDE
    yield
    assert places_beside() == pouring._MAX_BESIDE
    assert hashing_threads() == []


class Pieces(Reader):
    """Content that comes in pieces of these sizes, again and again; it may break before its end."""

    def __init__(self, content: bytes, sizes: list[int], breaks_at: int | None = None) -> None:
        self._content, self._sizes, self._breaks_at = content, sizes, breaks_at
        self._turn = self._given = 0

    def readinto(self, buffer: memoryview) -> int:
        if self._given == self._breaks_at:
            raise SourceInterruptedError("cut")
        size = min(len(buffer), self._sizes[self._turn % len(self._sizes)])
        piece = self._content[self._given : min(self._given + size, self._breaks_at or len(self._content))]
        buffer[: len(piece)] = piece
        self._turn += 1
        self._given += len(piece)
        return len(piece)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fileno = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
    try:
        yield fileno
    finally:
        os.close(fileno)


def poured(path: Path, reader: Reader, offset: int = 0) -> str:
    """Let all of it stream into the file at the offset; its MD5."""
    with opened(path) as fileno, streaming(reader) as stream:
        writer = BlockWriter(fileno, offset)
        for chunk in stream:
            writer.write(chunk)
        return stream.md5().hex()


def check(path: Path, content: bytes, md5: str, offset: int = 0) -> None:
    assert path.read_bytes() == (bytes(offset) + content if content else b"")
    assert md5 == hashlib.md5(content, usedforsecurity=False).hexdigest()


def is_direct(fileno: int) -> bool:
    return bool(DIRECT and fcntl.fcntl(fileno, fcntl.F_GETFL) & DIRECT)


def hashing_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("md5")]


def places_beside() -> int:
    """How many streams may be hashed beside now."""
    taken = [pouring._places_beside.acquire(blocking=False) for _ in range(pouring._MAX_BESIDE + 1)].count(True)
    for _ in range(taken):
        pouring._places_beside.release()
    return taken


@contextmanager
def all_places_taken() -> Iterator[None]:
    with ExitStack() as others:
        for _ in range(pouring._MAX_BESIDE):
            others.enter_context(streaming(Pieces(b"", [1])))
        assert places_beside() == 0
        yield


sizes_about_buffers = st.integers(0, len(CONTENT)) | st.builds(
    lambda blocks, more: max(0, min(blocks * BLOCK_BYTES + more, len(CONTENT))), st.integers(0, 12), st.integers(-2, 2)
)
offsets = st.integers(0, 3 * BLOCK_BYTES) | st.sampled_from([0, BLOCK_BYTES, 512, BLOCK_BYTES - 1])
pieces = st.lists(st.integers(1, 3 * BLOCK_BYTES), min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=sizes_about_buffers, offset=offsets, sizes=pieces, beside=st.booleans())
@example(size=len(CONTENT), offset=0, sizes=[1], beside=True)
def test_whatever_comes_is_what_the_file_has(
    tmp_path: Path, size: int, offset: int, sizes: list[int], *, beside: bool
) -> None:
    with ExitStack() as closing:
        if not beside:
            closing.enter_context(all_places_taken())
        md5 = poured(tmp_path / "file", Pieces(CONTENT[:size], sizes), offset)
    check(tmp_path / "file", CONTENT[:size], md5, offset)


@pytest.mark.parametrize("tail", [0, 1, 2, 511, 512])
@pytest.mark.parametrize("blocks", [0, 1, 2, 5], ids=lambda blocks: f"{blocks} blocks")
def test_a_tail_follows_whole_blocks(tmp_path: Path, blocks: int, tail: int) -> None:
    content = CONTENT[: blocks * BLOCK_BYTES + tail]
    check(tmp_path / "file", content, poured(tmp_path / "file", Pieces(content, [BLOCK_BYTES])))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.integers(0, 2 * BLOCK_BYTES) | st.just(BLOCK_BYTES), max_size=6), offset=offsets)
def test_chunks_of_any_size_stand_one_behind_the_other(tmp_path: Path, chunks: list[int], offset: int) -> None:
    begin = 0
    with opened(tmp_path / "file") as fileno:
        writer = BlockWriter(fileno, offset)
        for size in chunks:
            buffer = pouring._aligned(2 * BLOCK_BYTES)
            buffer[:size] = CONTENT[begin : begin + size]
            writer.write(buffer[:size])
            begin += size
    assert (tmp_path / "file").read_bytes() == (bytes(offset) + CONTENT[:begin] if begin else b"")


def test_what_stands_before_and_behind_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 4 * BLOCK_BYTES)
    fileno = os.open(path, os.O_RDWR)
    try:
        writer = BlockWriter(fileno, BLOCK_BYTES)
        writer.write(pouring._aligned(BLOCK_BYTES))
        writer.write(memoryview(b"ab"))
    finally:
        os.close(fileno)
    kept = b"x" * BLOCK_BYTES + bytes(BLOCK_BYTES) + b"ab" + b"x" * (2 * BLOCK_BYTES - 2)
    assert path.read_bytes() == kept


# Past the page cache, and where that cannot be ----------------------------------------------------------------------


@pytest.mark.skipif(not DIRECT, reason="this system knows no way past the page cache")
def test_blocks_go_past_the_page_cache_only_from_a_block_on(tmp_path: Path) -> None:
    with opened(tmp_path / "file") as fileno:
        writer = BlockWriter(fileno, BLOCK_BYTES - 1)
        assert not is_direct(fileno)
        writer = BlockWriter(fileno, 2 * BLOCK_BYTES)
        if not is_direct(fileno):
            pytest.skip("this file system has no way past the page cache")
        writer.write(pouring._aligned(BLOCK_BYTES))
        assert is_direct(fileno)
        writer.write(memoryview(b"a tail"))
        assert not is_direct(fileno)


def a_disk_that_takes(count: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a direct write of blocks fail after so many bytes of them."""

    def write(fileno: int, chunk: memoryview, offset: int) -> None:
        if is_direct(fileno):
            assert len(chunk) % BLOCK_BYTES == offset % BLOCK_BYTES == 0
            write_all(fileno, chunk[:count], offset)
            raise OSError(number, os.strerror(number))
        write_all(fileno, chunk, offset)

    monkeypatch.setattr(pouring, "write_all", write)


@pytest.mark.parametrize("count", [0, BLOCK_BYTES], ids=["none of them", "some of them"])
@pytest.mark.parametrize("tail", [0, 2], ids=["no tail", "a tail"])
def test_blocks_that_the_disk_does_not_take_as_such_are_written_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, tail: int
) -> None:
    a_disk_that_takes(count, errno.EINVAL, monkeypatch)
    content = CONTENT[: 5 * BLOCK_BYTES + tail]
    check(tmp_path / "file", content, poured(tmp_path / "file", Pieces(content, [3000]), BLOCK_BYTES), BLOCK_BYTES)


@pytest.mark.skipif(not DIRECT, reason="this system knows no way past the page cache")
def test_a_disk_that_is_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "probe") as fileno:
        BlockWriter(fileno, 0)
        if not is_direct(fileno):
            pytest.skip("this file system has no way past the page cache")
    a_disk_that_takes(BLOCK_BYTES, errno.ENOSPC, monkeypatch)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        poured(tmp_path / "file", Pieces(CONTENT, [BLOCK_BYTES]))


def _no_flag(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pouring, "_O_DIRECT", 0)


def _refused_flag(patch: pytest.MonkeyPatch) -> None:
    real = fcntl.fcntl

    def refuse(fileno: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETFL and argument & DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(fileno, command, argument)

    patch.setattr(fcntl, "fcntl", refuse)


@pytest.mark.parametrize("without", [_no_flag, _refused_flag], ids=["the system", "the file system"])
@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, len(CONTENT) - 1])
def test_where_there_is_only_the_page_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: Callable[[pytest.MonkeyPatch], None], size: int
) -> None:
    without(monkeypatch)
    with opened(tmp_path / "probe") as fileno:
        BlockWriter(fileno, 0)
        assert not is_direct(fileno)
    check(tmp_path / "file", CONTENT[:size], poured(tmp_path / "file", Pieces(CONTENT[:size], [700])))


# Hashed beside, and where no place is free --------------------------------------------------------------------------


def test_a_chunk_stays_as_it_is_until_the_next_one_is_asked_for() -> None:
    with streaming(Pieces(CONTENT, [BLOCK_BYTES])) as stream:
        assert b"".join(bytes(chunk) for chunk in stream) == CONTENT


def test_the_first_streams_are_hashed_beside_and_the_ninth_is_not() -> None:
    with ExitStack() as closing:
        for nth in range(1, pouring._MAX_BESIDE + 3):
            stream = closing.enter_context(streaming(Pieces(CONTENT, [BLOCK_BYTES])))
            chunk = next(iter(stream))
            beside = min(nth, pouring._MAX_BESIDE)
            assert len(chunk) == (LARGE_BYTES if nth == beside else SMALL_BYTES)
            assert len(hashing_threads()) == beside
    with streaming(Pieces(CONTENT, [BLOCK_BYTES])) as stream:
        assert len(next(iter(stream))) == LARGE_BYTES, "its place was not given back"


@pytest.mark.parametrize("breaks_at", [1, LARGE_BYTES, 3 * LARGE_BYTES + 5])
@pytest.mark.parametrize("taken", [False, True], ids=["beside", "no place beside"])
def test_a_reader_that_fails_leaves_no_thread_and_takes_no_place(
    tmp_path: Path, breaks_at: int, *, taken: bool
) -> None:
    with all_places_taken() if taken else ExitStack():
        for _ in range(pouring._MAX_BESIDE + 1):
            with pytest.raises(SourceInterruptedError):
                poured(tmp_path / "file", Pieces(CONTENT, [1000], breaks_at))
            assert hashing_threads() == []
        content = CONTENT[: 3 * BLOCK_BYTES]
        check(tmp_path / "file", content, poured(tmp_path / "file", Pieces(content, [1000])))


def test_a_writer_that_fails_leaves_no_thread_and_takes_no_place() -> None:
    for _ in range(pouring._MAX_BESIDE + 1):
        with pytest.raises(OSError, match="full"):
            _break_in_mid_stream()
        assert hashing_threads() == []


def _break_in_mid_stream() -> None:
    with streaming(Pieces(CONTENT, [1000])) as stream:
        for _ in stream:
            raise OSError(errno.ENOSPC, "full")


def test_many_streams_at_once_all_have_the_right_md5s(tmp_path: Path) -> None:
    contents = [random.Random(seed).randbytes(9 * BLOCK_BYTES + seed) for seed in range(2 * pouring._MAX_BESIDE)]
    md5s: dict[int, str] = {}

    def pour(number: int) -> None:
        md5s[number] = poured(tmp_path / str(number), Pieces(contents[number], [1000, BLOCK_BYTES]))

    threads = [threading.Thread(target=pour, args=(number,)) for number in range(len(contents))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, content in enumerate(contents):
        check(tmp_path / str(number), content, md5s[number])
