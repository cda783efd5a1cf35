"""How far a backup is, on a terminal or in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self, TextIO

TERMINAL_SECONDS, LOG_SECONDS = 0.5, 30.0
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


class Counter:
    """Counts files and bytes in one line of a terminal, or, elsewhere, in a line now and then; never with names."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._is_terminal = output.isatty()
        self._told_at = time.monotonic()
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def __call__(self, files: int, count: int) -> None:
        """So many files and bytes are done."""
        now = time.monotonic()
        if now - self._told_at < (TERMINAL_SECONDS if self._is_terminal else LOG_SECONDS):
            return
        self._told_at = now
        if self._is_terminal:
            self._output.write(f"\r\033[K{files} files, {amount(count)}")
            self._output.flush()
            self._shown = True
        else:
            self.say(f"{files} files, {amount(count)}")

    def say(self, text: str) -> None:
        """Tell a step."""
        self._clear()
        self._output.write(f"{text}\n")
        self._output.flush()

    def _clear(self) -> None:
        if self._shown:
            self._output.write("\r\033[K")
            self._shown = False


def amount(count: int) -> str:
    """Bytes for people."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:  # noqa: PLR2004
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{count} bytes"
