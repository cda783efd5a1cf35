"""How a job's progress is shown to an operator: a bar in a terminal, lines of text elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.table import Column

from sync.models import Job
from sync.models.job import JobState, Phase

LINE_SECONDS = 5.0
"""Between two lines that tell numbers."""
ROOM_FOR_BAR = 60
ROOM_FOR_ALL = 90
"""Columns of a terminal."""
_MINUTE, _HOUR = 60, 3600
_PHASES = {Phase.CASE: "looking up", Phase.COPYING: "copying", Phase.SYNCING: "syncing"}


class Display(Protocol):
    """Where a job's progress is shown."""

    def show(self, job: Job) -> None:
        """Show where the job stands."""

    def say(self, line: str) -> None:
        """Tell something besides."""

    def close(self) -> None:
        """Show nothing more, and leave the terminal as it was."""


class Bar:
    """Draws one bar on a terminal; what is said meanwhile appears above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(*_columns(console.width), console=console, expand=True, transient=True)
        self._task = self._progress.add_task("", total=None, share="", files="", size="", speed="", left="")
        self._progress.start()

    def show(self, job: Job) -> None:
        """Move the bar."""
        done, total = share(job)
        self._progress.update(
            self._task,
            description=doing(job),
            completed=done,
            total=total,
            share=f"{100 * done // total} %" if total else "",
            files=f"{job.files_done:,}/{job.files_total:,} files" if total else "",
            size=f"{decimal(job.bytes_done)}/{decimal(job.bytes_total)}" if total else "",
            speed=speed(job),
            left=left(job),
        )

    def say(self, line: str) -> None:
        """Print it above the bar."""
        self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()


class Lines:
    """Prints a line when something new begins, and one every few seconds in between."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._doing = ""
        self._told = 0.0

    def show(self, job: Job) -> None:
        """Print a line, if it is time for one."""
        now = time.monotonic()
        if doing(job) != self._doing or now - self._told >= LINE_SECONDS:
            self._doing, self._told = doing(job), now
            self.say(line(job))

    def say(self, line: str) -> None:
        """Print it."""
        self._write(line)

    def close(self) -> None:
        """There is nothing to close."""


def doing(job: Job) -> str:
    """What the job is at, in a word or two."""
    if job.state == JobState.RUNNING:
        return _PHASES[Phase(job.phase)]
    return job.state.replace("_", " ")


def line(job: Job) -> str:
    """All that is known of its progress."""
    if not job.files_total:
        return doing(job)
    done, total = share(job)
    numbers = [
        f"{job.files_done:,} of {job.files_total:,} files",
        f"{decimal(job.bytes_done)} of {decimal(job.bytes_total)}",
        *([f"{100 * done // total} %"] if total else []),
        *filter(None, [speed(job), left(job)]),
    ]
    return f"{doing(job)}: {', '.join(numbers)}"


def share(job: Job) -> tuple[int, int | None]:
    """How much is done of how much, in bytes where there are any to move, else in files; None: not known yet."""
    if job.bytes_total:
        return min(job.bytes_done, job.bytes_total), job.bytes_total
    return min(job.files_done, job.files_total), job.files_total or None


def speed(job: Job) -> str:
    """How fast it is; "" while nothing moves."""
    return f"{decimal(job.bytes_per_second)}/s" if job.bytes_per_second else ""


def left(job: Job) -> str:
    """How long the rest takes at this speed; "" where that cannot be told."""
    if not (job.bytes_per_second and job.bytes_total):
        return ""
    return f"{duration(max(0, job.bytes_total - job.bytes_done) / job.bytes_per_second)} left"


def duration(seconds: float) -> str:
    """So many seconds as a person says them."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def printable(name: str) -> str:
    """A path that any terminal can show, and none obeys."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)


def _columns(width: int) -> Iterator[ProgressColumn]:
    """What a terminal of so many columns has room for."""

    def text(field: str) -> ProgressColumn:
        return TextColumn(field, markup=False, table_column=Column(no_wrap=True, justify="right"))

    yield TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, min_width=10))
    if width >= ROOM_FOR_BAR:
        yield BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=6))
    yield text("{task.fields[share]}")
    yield text("{task.fields[files]}")
    if width >= ROOM_FOR_ALL:
        yield text("{task.fields[size]}")
    if width >= ROOM_FOR_BAR:
        yield text("{task.fields[speed]}")
    yield text("{task.fields[left]}")
