"""Bars in a terminal: what a person sees of a file on its way."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from carryon import display, lines
from carryon.bars import Bars
from carryon.display import Once, Phase
from carryon.lines import Lines


class Screen:
    """A terminal of so many columns, and what was written on it."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.written = io.StringIO()
        self.bars = Bars(Console(file=self.written, force_terminal=True, width=width))

    def shown(self) -> list[str]:
        """The bars as they look now."""
        picture = Console(file=io.StringIO(), width=self.width)
        picture.print(self.bars._progress.get_renderable())
        return [line.rstrip() for line in picture.file.getvalue().splitlines() if line.strip()]


@pytest.fixture(params=[30, 50, 80, 200])
def screen(request: pytest.FixtureRequest) -> Iterator[Screen]:
    made = Screen(request.param)
    yield made
    made.bars.close()


def test_a_bar(screen: Screen) -> None:
    track = screen.bars.track("holiday.mov", 200_000_000)
    assert screen.shown() == [], "not before something happens to it"
    track.phase(Phase.SENDING, 100_000_000)
    for _ in range(2):
        time.sleep(0.01)
        track.advance(10_000_000)
    (line,) = screen.shown()
    assert re.match(r"holi.* sending .* 60%", line)
    assert ("120.0/200.0 MB" in line) == (screen.width >= 80)
    assert ("MB/s" in line) == (screen.width >= 50)
    track.advance(-20_000_000)
    assert " 50%" in screen.shown()[0]
    track.end()
    assert screen.shown() == []


def test_waiting(screen: Screen) -> None:
    track = screen.bars.track("a", 100)
    track.phase(Phase.SENDING)
    track.waits("cannot reach it")
    track.waits("cannot reach it")
    assert "waiting" in screen.shown()[-1]
    assert screen.written.getvalue().count("a: cannot reach it; trying again") == 1
    track.advance(-5)
    assert "waiting" in screen.shown()[-1]
    track.advance(5)
    assert "sending" in screen.shown()[-1]


def test_a_bar_for_each_file(screen: Screen) -> None:
    for name in ("[bold]a", "b\n\x1b[31m", "n" * 200):
        screen.bars.track(name, 0).phase(Phase.READING)
    shown = screen.shown()
    assert len(shown) == 3
    assert shown[0].startswith("[bol")
    assert max(map(len, shown)) <= screen.width


def test_lines_tell_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(lines.time, "monotonic", lambda: now)
    track = Lines().track("a", 215_000_000)
    track.phase(Phase.SENDING, 100_000_000)
    for _ in range(60):
        now += 1
        track.advance(1_000_000)
    printed = capsys.readouterr()
    assert printed.out == ""
    told = printed.err.splitlines()
    assert told[:2] == [
        "a: sending 215.0 MB, 100.0 MB are there",
        "a: sending 48 %, 105.0 MB of 215.0 MB, 1.0 MB/s, 1 min 50 s left",
    ]
    assert len(told) == 1 + 60 / lines.EVERY_SECONDS


def test_trouble_is_told_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = 1000.0, []
    monkeypatch.setattr(display.time, "monotonic", lambda: now)
    once = Once(told.append)
    for text in ("a", "a", "b", "a", "b"):
        once(text)
    now += display.SAY_AGAIN_SECONDS
    once("b")
    assert told == ["a", "b", "b"]
