from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator

import pytest

from config.supervisor.console import MAX_LINE_BYTES, Console, JsonLines, LinePrefixer


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        pytest.param([b"one\n"], b"web | one\n", id="a line"),
        pytest.param([b"o", b"ne", b"\n"], b"web | one\n", id="a line in pieces"),
        pytest.param([b"one\ntwo\n"], b"web | one\nweb | two\n", id="two at once"),
        pytest.param([b"one\r\n"], b"web | one\n", id="carriage return"),
        pytest.param([b"\n"], b"web | \n", id="an empty one"),
        pytest.param([b"one"], b"", id="not yet a line"),
        pytest.param([b""], b"", id="nothing"),
    ],
)
def test_lines_get_the_name(pieces: list[bytes], lines: bytes) -> None:
    prefixer = LinePrefixer("web")
    assert b"".join(prefixer.feed(piece) for piece in pieces) == lines


def test_names_are_padded_to_one_width() -> None:
    assert LinePrefixer("web", 8).feed(b"one\n") == b"web      | one\n"


def test_the_rest_is_flushed_once() -> None:
    prefixer = LinePrefixer("web")
    prefixer.feed(b"one\ntw")
    assert prefixer.flush() == b"web | tw\n"
    assert prefixer.flush() == b""


def test_a_line_without_end_costs_no_memory() -> None:
    prefixer = LinePrefixer("web")
    passed = sum(len(prefixer.feed(b"x" * 1000)) for _ in range(1000))
    assert passed >= 1_000_000 - MAX_LINE_BYTES - 1000


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_the_console_writes_in_order(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    console = Console(writing)
    for number in range(100):
        console.write(b"%d\n" % number)
    console.flush(5)
    assert os.read(reading, 4096) == b"".join(b"%d\n" % number for number in range(100))
    assert not console.broken


def test_a_reader_that_takes_nothing_blocks_nobody(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    console = Console(writing)
    for _ in range(1000):
        console.write(b"x" * 1000)
    assert console.behind
    written = console.mark()
    assert not written.wait(0.1)
    taken = 0
    while taken < 1_000_000:
        taken += len(os.read(reading, 65536))
    assert written.wait(5)
    assert not console.behind


def test_a_reader_that_went_away_ends_nothing(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.close(reading)
    console = Console(writing)
    console.write(b"one\n")
    console.flush(5)
    assert console.broken
    console.write(b"two\n")
    assert console.mark().wait(5)
    assert any(thread.name == "console" for thread in threading.enumerate())


def test_json_lines_name_their_process() -> None:
    lines = JsonLines("web")

    told = lines.feed(b'{"event": "x", "level": "info"}\nplain "text"\r\n{broken\n\xff\n{}\nun') + lines.flush()

    assert [json.loads(line) for line in told.splitlines()] == [
        {"program": "web", "event": "x", "level": "info"},
        {"program": "web", "event": 'plain "text"'},
        {"program": "web", "event": "{broken"},
        {"program": "web", "event": "\ufffd"},
        {"program": "web", "event": "{}"},
        {"program": "web", "event": "un"},
    ]
