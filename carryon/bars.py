"""A progress bar for each file that is on its way, in a terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column

from carryon.display import Once, Phase, Track
from carryon.wording import printable

ROOM_FOR_BARS = 50
ROOM_FOR_ALL = 72
"""Columns of a terminal."""


class Bars:
    """Draws on stderr; what is printed meanwhile appears above the bars."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._progress = Progress(
            *_columns(self._console.width),
            console=self._console,
            expand=True,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._once = Once(self.complain)
        self._progress.start()

    def track(self, name: str, size: int) -> Track:
        """Show a file of so many bytes."""
        task = self._progress.add_task(printable(name), total=size, phase="", visible=False)
        return _BarTrack(self._progress, self._once, printable(name), task)

    def result(self, line: str) -> None:
        """Print it on stdout; where that is the same terminal, above the bars."""
        if sys.stdout.isatty():
            self._print(line)
        else:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    def complain(self, line: str) -> None:
        """Print it above the bars."""
        self._print(line, "red")

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()

    def _print(self, line: str, style: str | None = None) -> None:
        self._console.print(line, style=style, markup=False, highlight=False, emoji=False, soft_wrap=True)


def _columns(width: int) -> Iterator[ProgressColumn]:
    """What a terminal of so many columns has room for."""
    yield TextColumn(
        "{task.description}",
        markup=False,
        table_column=Column(ratio=1, min_width=6, no_wrap=True, overflow="ellipsis"),
    )
    yield TextColumn("{task.fields[phase]}", markup=False, table_column=Column(min_width=8, no_wrap=True))
    if width >= ROOM_FOR_BARS:
        yield BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=6))
    yield TaskProgressColumn(table_column=Column(no_wrap=True))
    if width >= ROOM_FOR_ALL:
        yield DownloadColumn(table_column=Column(no_wrap=True, justify="right"))
    if width >= ROOM_FOR_BARS:
        yield TransferSpeedColumn(table_column=Column(no_wrap=True, justify="right"))
    yield TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True))


class _BarTrack:
    """One file's bar."""

    def __init__(self, progress: Progress, once: Once, name: str, task: TaskID) -> None:
        self._progress, self._once, self._name, self._task = progress, once, name, task
        self._lock = threading.Lock()
        self._phase = Phase.READING
        self._waits = False

    def phase(self, phase: Phase, done: int = 0) -> None:
        with self._lock:
            self._phase, self._waits = phase, False
            self._progress.reset(self._task, completed=done, visible=True, phase=phase)

    def advance(self, count: int) -> None:
        if self._waits and count > 0:
            self._show(waits=False)
        self._progress.advance(self._task, count)

    def waits(self, reason: str) -> None:
        self._show(waits=True)
        self._once(f"{self._name}: {reason}; trying again")

    def end(self) -> None:
        self._progress.remove_task(self._task)
        self._progress.refresh()

    def _show(self, *, waits: bool) -> None:
        with self._lock:
            self._waits = waits
            self._progress.update(self._task, phase=Phase.WAITING if waits else self._phase)
