from __future__ import annotations

import random
import zlib

import pytest

from tests.conformance.sources import fetch, read_all
from tests.unit.transfers.engine.fickle import FickleSource
from transfers.engine.archive import DeflatedSource
from transfers.engine.memory import MemorySource
from transfers.errors import SourceChangedError, SourceInterruptedError, SourceProtocolError

CONTENTS = {
    "empty": b"",
    "text": b"the same again and again\n" * 200_000,
    "noise": random.Random(1).randbytes(3_000_000),
}


@pytest.fixture(params=CONTENTS.values(), ids=CONTENTS)
def content(request: pytest.FixtureRequest) -> bytes:
    made: bytes = request.param
    return made


@pytest.mark.parametrize("buffer_bytes", [1000, 2**20])
def test_it_is_a_raw_deflate_stream_that_tells_what_went_in(content: bytes, buffer_bytes: int) -> None:
    source = DeflatedSource(MemorySource(content), size=len(content), crc32=zlib.crc32(content))
    info = source.stat()
    assert (info.size, info.validator, info.ranges) == (None, None, False)
    with source.open(0, None) as reader:
        stream = read_all(reader, buffer_bytes)
        assert reader.readinto(memoryview(bytearray(1))) == 0
    assert zlib.decompress(stream, wbits=-zlib.MAX_WBITS) == content
    assert (source.size, source.crc32) == (len(content), zlib.crc32(content))


def test_text_becomes_small() -> None:
    assert len(fetch(DeflatedSource(MemorySource(CONTENTS["text"])))) < len(CONTENTS["text"]) / 50


@pytest.mark.parametrize(("size", "crc32"), [(1, None), (None, 1), (len(CONTENTS["text"]) + 1, 1)])
def test_another_file_than_was_expected_shows_at_its_end(size: int | None, crc32: int | None) -> None:
    source = DeflatedSource(MemorySource(CONTENTS["text"]), size=size, crc32=crc32)
    with pytest.raises(SourceChangedError):
        fetch(source)
    assert (source.size, source.crc32) == (None, None)


@pytest.mark.parametrize(("offset", "end"), [(1, None), (0, 10), (0, 0)])
def test_it_has_no_ranges(offset: int, end: int | None) -> None:
    with pytest.raises(SourceProtocolError), DeflatedSource(MemorySource(b"abc")).open(offset, end):
        pytest.fail("a range was opened")


def test_what_fails_beneath_fails_here() -> None:
    source = DeflatedSource(FickleSource(b"x" * 9000, failures={5000: SourceInterruptedError("cut")}))
    with pytest.raises(SourceInterruptedError, match="cut"):
        fetch(source)
    assert source.size is None


def test_abort_reaches_what_is_beneath() -> None:
    source = DeflatedSource(FickleSource(b"abc"))
    source.abort()
    with pytest.raises(SourceInterruptedError):
        fetch(source)
    DeflatedSource(MemorySource(b"abc")).abort()
