from __future__ import annotations

import functools
import gzip
import http.client
import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from transfers.engine.http.body import Body, ChunkedBody, LengthBody, UnpackedBody, body_of
from transfers.errors import SourceProtocolError

packed = functools.partial(gzip.compress, mtime=0)  # the same bytes whenever it is called


class Wire(io.RawIOBase):
    """Gives its pieces one a read, as a connection does; a read too many is the test's fault."""

    def __init__(self, *pieces: bytes, ends: bool = True) -> None:
        self.pieces = [each for each in pieces if each]
        self._ends = ends

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        if not self.pieces:
            assert self._ends, "this read would wait"
            return 0
        piece = self.pieces.pop(0)
        count = min(len(piece), len(buffer))
        buffer[:count] = piece[:count]
        if count < len(piece):
            self.pieces.insert(0, piece[count:])
        return count


def stream(*pieces: bytes, ends: bool = True) -> io.BufferedReader:
    return io.BufferedReader(Wire(*pieces, ends=ends), 65536)


def cut(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


def read_all(body: Body, buffer_bytes: int = 1000) -> bytes:
    buffer = memoryview(bytearray(buffer_bytes))
    content = b""
    while count := body.readinto(buffer):
        content += buffer[:count]
    assert body.readinto(buffer) == 0
    return content


def chunked(content: bytes, size: int, trailer: bytes = b"") -> bytes:
    chunks = b"".join(b"%x;note=1\r\n%b\r\n" % (len(each), each) for each in cut(content, size))
    return chunks + b"0\r\n" + trailer + b"\r\n"


class TestLengthBody:
    def test_ends_at_its_length_and_leaves_the_rest(self) -> None:
        wire = stream(b"0123456789HTTP/1.1 200 OK", ends=False)
        body = LengthBody(wire, 10)
        assert (body.ended, read_all(body), body.ended) == (False, b"0123456789", True)
        assert wire.peek().startswith(b"HTTP")

    def test_gives_what_came_with_the_head_without_waiting_for_more(self) -> None:
        wire = stream(b"\r\nbeginning", ends=False)
        wire.readline()
        buffer = memoryview(bytearray(2**20))
        assert LengthBody(wire, 2**20).readinto(buffer) == len(b"beginning")

    def test_gives_what_is_there_without_waiting_for_more(self) -> None:
        body = LengthBody(stream(b"one", b"three", ends=False), 100)
        buffer = memoryview(bytearray(2**20))
        assert [body.readinto(buffer), body.readinto(buffer)] == [3, 5]

    def test_a_short_one_fails(self) -> None:
        with pytest.raises(http.client.IncompleteRead):
            read_all(LengthBody(stream(b"012"), 4))

    def test_without_a_length_it_ends_with_the_connection_and_proves_nothing(self) -> None:
        body = LengthBody(stream(b"012", b"345"), None)
        assert (read_all(body), body.ended) == (b"012345", False)

    def test_an_empty_one_reads_nothing(self) -> None:
        body = LengthBody(stream(ends=False), 0)
        assert (read_all(body), body.ended) == (b"", True)


class TestChunkedBody:
    @given(st.binary(max_size=3000), st.integers(1, 700), st.integers(1, 900), st.integers(1, 900))
    def test_gives_its_content(self, content: bytes, chunk: int, piece: int, buffer_bytes: int) -> None:
        wire = stream(*cut(chunked(content, chunk), piece), ends=False)
        body = ChunkedBody(wire)
        assert read_all(body, buffer_bytes) == content
        assert body.ended

    def test_chunks_larger_than_the_stream_holds(self) -> None:
        content = bytes(range(256)) * 2000
        wire = stream(*cut(chunked(content, 200_000), 70_001), ends=False)
        assert read_all(ChunkedBody(wire), 2**20) == content

    def test_gives_what_came_with_the_chunk_without_waiting_for_more(self) -> None:
        body = ChunkedBody(stream(b"fffff\r\nbeginning", ends=False))
        assert body.readinto(memoryview(bytearray(2**20))) == len(b"beginning")

    def test_stops_at_its_end(self) -> None:
        wire = stream(chunked(b"content", 3, b"Trailer: x\r\n") + b"HTTP/1.1", ends=False)
        assert read_all(ChunkedBody(wire)) == b"content"
        assert wire.peek() == b"HTTP/1.1"

    @given(st.data())
    def test_no_beginning_of_it_passes_for_the_whole(self, data: st.DataObject) -> None:
        whole = chunked(b"0123456789" * 3, 7, b"Trailer: x\r\n")
        at = data.draw(st.integers(0, len(whole) - 1))
        with pytest.raises(http.client.IncompleteRead):
            read_all(ChunkedBody(stream(whole[:at])))

    @pytest.mark.parametrize("padded", [b"0003\r\nabc\r\n0000\r\n\r\n", b"3  \r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n"])
    def test_other_spellings(self, padded: bytes) -> None:
        assert read_all(ChunkedBody(stream(padded))) == b"abc"

    @pytest.mark.parametrize("end", range(1, 5))
    def test_padding_that_is_cut_is_no_end(self, end: int) -> None:
        with pytest.raises(http.client.IncompleteRead):
            read_all(ChunkedBody(stream(b"0003"[:end])))

    @pytest.mark.parametrize(
        "nonsense",
        [
            b"\r\n",
            b"-3\r\nabc\r\n",
            b"+3\r\nabc\r\n",
            b"0x3\r\nabc\r\n",
            b"three\r\nabc\r\n",
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"ffffffffffffffffffff\r\n",
            b"0\r\n" + b"Trailer: x\r\n" * 200 + b"\r\n",
            b"3;" + b"x" * 70_000 + b"\r\nabc\r\n0\r\n\r\n",
        ],
        ids=range(9),
    )
    def test_nonsense(self, nonsense: bytes) -> None:
        with pytest.raises(http.client.HTTPException):
            read_all(ChunkedBody(stream(nonsense)))


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


PACKERS = {
    "gzip": ("gzip", packed),
    "gzip in members": ("gzip", lambda content: packed(content[:5]) + packed(content[5:])),
    "gzip with an empty member": ("gzip", lambda content: packed(b"") + packed(content)),
    "deflate": ("deflate", zlib.compress),
    "deflate without a head": ("deflate", raw_deflate),
}


@pytest.mark.parametrize(("coding", "pack"), PACKERS.values(), ids=PACKERS)
class TestUnpackedBody:
    @pytest.mark.parametrize(
        "content", [b"", b"x", b"some content " * 10, bytes(300_000)], ids=["empty", "one", "some", "large"]
    )
    @pytest.mark.parametrize("piece", [1, 7, 100_000])
    @pytest.mark.parametrize("buffer_bytes", [1000, 100_000])
    def test_gives_its_content(self, coding: str, pack: object, content: bytes, piece: int, buffer_bytes: int) -> None:
        assert callable(pack)
        packed = pack(content)
        body = UnpackedBody(LengthBody(stream(*cut(packed, piece), ends=False), len(packed)), coding)
        assert read_all(body, buffer_bytes) == content
        assert body.ended

    def test_no_beginning_of_it_passes_for_the_whole(self, coding: str, pack: object) -> None:
        assert callable(pack)
        whole = pack(b"some content " * 10)
        ends_of_members = {0, len(packed(b"")), len(packed(b"some "))} if "gzip" in coding else {0}
        for at in set(range(len(whole))) - ends_of_members:
            with pytest.raises(http.client.IncompleteRead):
                read_all(UnpackedBody(LengthBody(stream(whole[:at]), None), coding))


class TestWrongPacking:
    @pytest.mark.parametrize(
        ("coding", "packed"),
        [
            ("gzip", b"plain text, after all"),
            ("gzip", packed(b"content") + b"rest"),
            ("gzip", packed(b"content")[:-8] + bytes(8)),
            ("deflate", zlib.compress(b"content") + b"rest"),
        ],
    )
    def test_fails(self, coding: str, packed: bytes) -> None:
        with pytest.raises(zlib.error):
            read_all(UnpackedBody(LengthBody(stream(packed), len(packed)), coding))


class TestBodyOf:
    @pytest.mark.parametrize(
        ("headers", "wire", "expected"),
        [
            ({"Content-Length": "3"}, b"abcdef", b"abc"),
            ({"Content-Length": "3, 3"}, b"abcdef", b"abc"),
            ({}, b"abcdef", b"abcdef"),
            ({"Transfer-Encoding": "identity", "Content-Length": "3"}, b"abcdef", b"abc"),
            ({"Transfer-Encoding": "Chunked"}, chunked(b"abc", 2), b"abc"),
            ({"Transfer-Encoding": "chunked ", "Content-Length": "2"}, chunked(b"abc", 2), b"abc"),
            ({"Content-Encoding": "gzip"}, packed(b"abc"), b"abc"),
            ({"Content-Encoding": "gzip", "Content-Type": "application/gzip"}, b"packed", b"packed"),
        ],
    )
    def test_framing(self, headers: dict[str, str], wire: bytes, expected: bytes) -> None:
        assert read_all(body_of(stream(wire), CaseInsensitiveDict(headers))) == expected

    @pytest.mark.parametrize(
        "headers",
        [
            {"Transfer-Encoding": "gzip, chunked"},
            {"Transfer-Encoding": "chunked, chunked"},
            {"Content-Encoding": "br"},
            {"Content-Encoding": "gzip, gzip"},
            {"Content-Length": "3, 4"},
        ],
    )
    def test_what_cannot_be_read(self, headers: dict[str, str]) -> None:
        with pytest.raises(SourceProtocolError):
            body_of(stream(b"abc"), CaseInsensitiveDict(headers))
