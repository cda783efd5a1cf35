"""How far a backup is: one line that is written over in a terminal, a line now and then elsewhere, never a name."""

from __future__ import annotations

import io

import pytest

from config.backup import display
from config.backup.display import Counter, amount


class Terminal(io.StringIO):
    """Somebody looks."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "TERMINAL_SECONDS", 0)
    monkeypatch.setattr(display, "LOG_SECONDS", 0)


def test_in_a_terminal_the_line_is_written_over_and_gone_in_the_end() -> None:
    output = Terminal()
    with Counter(output) as counter:
        counter(1, 512)
        counter(2, 2048)
    assert output.getvalue() == "\r\033[K1 files, 512 bytes\r\033[K2 files, 2.0 KiB\r\033[K"


def test_elsewhere_there_are_lines() -> None:
    output = io.StringIO()
    with Counter(output) as counter:
        counter(3, 5 * 2**30)
        counter.say("copying the database")
    assert output.getvalue() == "3 files, 5.0 GiB\ncopying the database\n"


def test_not_more_often_than_anybody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "LOG_SECONDS", 1000)
    output = io.StringIO()
    with Counter(output) as counter:
        counter(1, 1)
    assert output.getvalue() == ""


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (2**50, "1024.0 TiB")]
)
def test_amounts(count: int, text: str) -> None:
    assert amount(count) == text
