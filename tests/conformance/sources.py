"""What every source must do, as one suite: an adapter's test class inherits the parts that its place can show.

class TestMemorySource(SourceSuite):
    @pytest.fixture
    def place(self) -> MemoryPlace: ...
"""

from __future__ import annotations

import itertools
import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import pytest

from transfers.engine.base import Abortable, Moving, Reader, Source
from transfers.errors import SourceChangedError, SourceError, SourceInterruptedError, SourceRefusedError

CONTENT = random.Random(1).randbytes(300_007)
OTHER = random.Random(2).randbytes(len(CONTENT))
SIZE = len(CONTENT)


class SourcePlace(Protocol):
    """Where the one file lies that the suite reads."""

    def put(self, content: bytes) -> None:
        """Make these the file's bytes, in place of what was there."""

    def source(self) -> Source:
        """A new source for the file."""


class ShorteningPlace(SourcePlace, Protocol):
    """A place that can promise more than it gives."""

    def shorten(self, size: int) -> Callable[[], None]:
        """Give only the file's first `size` bytes to whoever has it open when the function is called."""


class VanishingPlace(SourcePlace, Protocol):
    """A place that a file can be removed from."""

    def remove(self) -> None:
        """Have no file any more."""


class UnknownSizePlace(SourcePlace, Protocol):
    """A place that need not tell a size."""

    def hide_size(self) -> None:
        """Tell no size from now on."""


class HoldingPlace(SourcePlace, Protocol):
    """A place that can make its readers wait."""

    def source(self) -> AbortableSource:
        """A new source for the file."""

    def hold(self, at: int) -> Callable[[], None]:
        """Give no byte from this offset on; the function returns once a reader waits there."""


class AbortableSource(Source, Abortable, Protocol):
    """A source whose blocked reads can be ended."""


def read_all(reader: Reader, buffer_bytes: int = 65_536) -> bytes:
    """Everything until the end, through one buffer."""
    buffer = memoryview(bytearray(buffer_bytes))
    content = bytearray()
    while count := reader.readinto(buffer):
        content += buffer[:count]
    return bytes(content)


def fetch(source: Source, offset: int = 0, end: int | None = None) -> bytes:
    """Open and read all of a range."""
    with source.open(offset, end) as reader:
        return read_all(reader)


def ready(place: SourcePlace, content: bytes = CONTENT) -> Source:
    """A source that has looked at this content."""
    place.put(content)
    source = place.source()
    assert source.stat().size == len(content)
    return source


def refuses_as_changed(source: Source, offset: int, end: int | None) -> None:
    """Not one byte of another file is given out."""
    with pytest.raises(SourceChangedError), source.open(offset, end):
        pytest.fail("a changed file was opened")


class ReadingSuite:
    """For every source; `place` is the adapter's fixture."""

    whole = CONTENT
    """What the file's bytes are when the place is given `CONTENT`; at least as many."""
    empty = b""
    """What they are when it is given none."""

    def ready(self, place: SourcePlace) -> Source:
        """A source that has looked at the whole."""
        place.put(CONTENT)
        source = place.source()
        assert source.stat().size == len(self.whole)
        return source

    def test_stat_tells_size_and_a_strong_validator(self, place: SourcePlace) -> None:
        place.put(CONTENT)
        info = place.source().stat()
        assert (info.size, info.ranges, info.resumable) == (len(self.whole), True, True)

    def test_an_unchanged_file_has_the_same_validator_for_everybody(self, place: SourcePlace) -> None:
        place.put(CONTENT)
        source = place.source()
        assert source.stat() == source.stat() == place.source().stat()

    def test_another_content_of_the_same_size_has_another_validator(self, place: SourcePlace) -> None:
        def validator(content: bytes) -> object:
            place.put(content)
            return place.source().stat().validator

        assert validator(CONTENT) != validator(OTHER)

    @pytest.mark.parametrize("is_told", [False, True])
    def test_the_whole(self, place: SourcePlace, *, is_told: bool) -> None:
        assert fetch(self.ready(place), 0, len(self.whole) if is_told else None) == self.whole

    @pytest.mark.parametrize(
        ("offset", "end"),
        [(0, 1), (0, 65_536), (1, 2), (70_000, 200_001), (SIZE - 1, SIZE), (12_345, None), (SIZE - 1, None)],
    )
    def test_ranges(self, place: SourcePlace, offset: int, end: int | None) -> None:
        assert fetch(self.ready(place), offset, end) == self.whole[offset:end]

    @pytest.mark.parametrize("offset", [0, 1000, SIZE])
    def test_an_empty_range_is_empty(self, place: SourcePlace, offset: int) -> None:
        assert fetch(self.ready(place), offset, offset) == b""

    @pytest.mark.parametrize("buffer_bytes", [1, 7, 4096, SIZE + 1])
    def test_buffers_of_any_size(self, place: SourcePlace, buffer_bytes: int) -> None:
        with self.ready(place).open(1000, 3000) as reader:
            assert read_all(reader, buffer_bytes) == self.whole[1000:3000]

    def test_an_ended_reader_stays_at_its_end(self, place: SourcePlace) -> None:
        buffer = memoryview(bytearray(10))
        with self.ready(place).open(0, 100) as reader:
            read_all(reader)
            assert [reader.readinto(buffer), reader.readinto(buffer)] == [0, 0]

    @pytest.mark.parametrize("is_told", [False, True])
    def test_an_empty_file(self, place: SourcePlace, *, is_told: bool) -> None:
        place.put(b"")
        source = place.source()
        assert source.stat().size == len(self.empty)
        assert fetch(source, 0, len(self.empty) if is_told else None) == self.empty

    def test_a_reader_that_was_left_early_disturbs_nobody(self, place: SourcePlace) -> None:
        source = self.ready(place)
        for _ in range(3):
            with source.open(0, None) as reader:
                assert reader.readinto(memoryview(bytearray(10))) > 0
        assert fetch(source) == self.whole

    def test_ranges_are_read_side_by_side(self, place: SourcePlace) -> None:
        source = self.ready(place)
        cuts = [0, 1, 100_000, 100_001, 222_222, len(self.whole)]
        with ThreadPoolExecutor(5) as pool:
            pieces = pool.map(lambda ends: fetch(source, *ends), itertools.pairwise(cuts))
        assert b"".join(pieces) == self.whole

    def test_a_range_past_the_end_never_ends_quietly(self, place: SourcePlace) -> None:
        with pytest.raises(SourceError):
            fetch(self.ready(place), len(self.whole) - 10, len(self.whole) + 10)


class SourceSuite(ReadingSuite):
    """For a source whose file can get other bytes, as all can but those that are named by their content."""

    def test_a_change_between_stat_and_open(self, place: SourcePlace) -> None:
        source = ready(place)
        place.put(OTHER)
        refuses_as_changed(source, 10, 20)

    def test_a_change_between_two_opens(self, place: SourcePlace) -> None:
        source = ready(place)
        fetch(source, 0, 10)
        place.put(OTHER)
        refuses_as_changed(source, 10, None)

    @pytest.mark.parametrize("size", [0, SIZE - 1, SIZE + 1])
    def test_a_change_of_the_size_too(self, place: SourcePlace, size: int) -> None:
        source = ready(place)
        place.put((CONTENT + b"more")[:size])
        refuses_as_changed(source, 1, SIZE)

    def test_a_change_shows_from_the_first_byte_or_not_at_all(self, place: SourcePlace) -> None:
        source = ready(place)
        place.put(OTHER)
        try:
            assert fetch(source) == CONTENT  # what stat had opened already may be read to its end
        except SourceChangedError:
            assert fetch(place.source()) == OTHER

    def test_stat_begins_anew_with_what_is_there(self, place: SourcePlace) -> None:
        source = ready(place)
        place.put(OTHER)
        source.stat()
        assert fetch(source, 10, 20) == OTHER[10:20]


class ShorteningSuite:
    """For a source whose place can give less than it promised."""

    @pytest.mark.parametrize(("offset", "end"), [(0, None), (0, SIZE), (1000, 250_000)])
    def test_fewer_bytes_than_promised_are_an_interruption(
        self, place: ShorteningPlace, offset: int, end: int | None
    ) -> None:
        place.put(CONTENT)
        end_it = place.shorten(60_000)
        source = place.source()
        source.stat()
        got = bytearray()
        with pytest.raises(SourceInterruptedError), source.open(offset, end) as reader:  # noqa: PT012
            end_it()
            buffer = memoryview(bytearray(5000))
            while count := reader.readinto(buffer):
                got += buffer[:count]
        assert got == CONTENT[offset:60_000]


class VanishingSuite:
    """For a source whose file can be removed."""

    def test_a_file_that_is_not_there(self, place: VanishingPlace) -> None:
        place.remove()
        with pytest.raises(SourceRefusedError):
            place.source().stat()

    def test_a_file_that_vanished_after_stat(self, place: VanishingPlace) -> None:
        source = ready(place)
        place.remove()
        with pytest.raises(SourceRefusedError):
            fetch(source, 10, 20)


class UnknownSizeSuite:
    """For a source whose place need not tell a size."""

    def test_a_file_of_unknown_size(self, place: UnknownSizePlace) -> None:
        place.put(CONTENT)
        place.hide_size()
        source = place.source()
        assert source.stat().size is None
        assert fetch(source) == CONTENT


class AbortSuite:
    """For a source whose blocked reads another thread can end."""

    whole = CONTENT

    def test_abort_ends_a_read_that_waits(self, place: HoldingPlace) -> None:
        place.put(CONTENT)
        wait_until_held = place.hold(at=1000)
        source = place.source()
        failures: list[BaseException] = []

        def read() -> None:
            try:
                source.stat()
                fetch(source)
            except SourceError as error:
                failures.append(error)

        reading = threading.Thread(target=read)
        reading.start()
        wait_until_held()
        source.abort()
        reading.join(timeout=2)
        assert not reading.is_alive()
        assert [type(each) for each in failures] == [SourceInterruptedError]

    def test_after_abort_nothing_opens(self, place: HoldingPlace) -> None:
        place.put(CONTENT)
        source = place.source()
        source.stat()
        source.abort()
        source.abort()
        with pytest.raises(SourceInterruptedError):
            fetch(source)

    def test_abort_of_one_source_leaves_others_alone(self, place: HoldingPlace) -> None:
        place.put(CONTENT)
        one, other = place.source(), place.source()
        other.stat()
        one.abort()
        assert fetch(other) == self.whole


class MovingSuite:
    """For a source whose readers can move their bytes into a file without passing through memory."""

    whole = CONTENT

    @pytest.mark.parametrize("most", [1, 4096, 100_000, 2**40])
    @pytest.mark.parametrize(("offset", "length"), [(0, 3000), (70_000, 0), (12_345, 2999), (SIZE - 3000, 3000)])
    def test_a_moved_range(self, place: SourcePlace, tmp_path: Path, most: int, offset: int, length: int) -> None:
        place.put(CONTENT)
        with (tmp_path / "moved").open("w+b") as file:
            file.write(b"x" * 9000)
            file.flush()
            move_all(place.source(), file.fileno(), offset, offset + length, most)
            file.seek(0)
            assert file.read() == b"x" * 1000 + self.whole[offset : offset + length] + b"x" * (8000 - length)

    def test_the_whole_is_moved(self, place: SourcePlace, tmp_path: Path) -> None:
        place.put(CONTENT)
        with (tmp_path / "moved").open("w+b") as file:
            move_all(place.source(), file.fileno(), 0, None, 2**40)
            assert file.read() == bytes(1000) + self.whole

    def test_moving_and_reading_in_turns(self, place: SourcePlace, tmp_path: Path) -> None:
        place.put(CONTENT)
        source = place.source()
        source.stat()
        got = bytearray()
        buffer = memoryview(bytearray(30_000))
        with (tmp_path / "moved").open("w+b") as file, source.open(0, None) as reader:
            assert isinstance(reader, Moving)
            while True:
                got += buffer[: (count := reader.readinto(buffer))]
                moved = reader.move(file.fileno(), 0, 50_000)
                got += os.pread(file.fileno(), moved, 0)
                if not count + moved:
                    break
        assert got == self.whole


def move_all(source: Source, fileno: int, offset: int, end: int | None, most: int) -> None:
    """Move the range into the file, from its byte 1000 on."""
    source.stat()
    to = 1000
    with source.open(offset, end) as reader:
        assert isinstance(reader, Moving)
        while count := reader.move(fileno, to, most):
            assert count <= most
            to += count
        assert reader.move(fileno, to, most) == 0
