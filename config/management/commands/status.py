"""`manage.py status`: what `/readyz` and `/metrics` tell, in a terminal; it works while parts are down."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.core.management.base import BaseCommand

from config.dashboard import throughput
from config.health import checks
from config.health.probe import Answer, Probe
from config.health.report import Health, Report
from config.metrics import queues, rows
from transfers import tally

WATCH_SECONDS = 2.0
CLEAR = "\033[H\033[2J"
"""Moves to the first place of the terminal, and empties it."""


class Command(BaseCommand):
    """Tell whether everything is there, and what is under way."""

    help = "Tell whether everything is there, and what is under way; exit code 1 when something is down."
    requires_system_checks: ClassVar[list[str]] = []  # type: ignore[misc]  # they could fail on what is down

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the form of the answer."""
        parser.add_argument("--json", action="store_true", help="tell it as JSON, in one line")
        parser.add_argument("--watch", action="store_true", help=f"tell it every {WATCH_SECONDS:.0f} s, until Ctrl-C")

    def handle(self, *_: str, **options: Any) -> None:
        """Tell it once, or until Ctrl-C; SystemExit(1) when something was down at last."""
        health = Health(
            Probe("web", lambda: checks.at_least_one("web")),
            Probe("queues", queues.queues),
            Probe("rows", rows.numbers),
            Probe("moved", tally.last_hour),
        )
        try:
            status = self._tell(health, options)
            while options["watch"]:
                time.sleep(WATCH_SECONDS)
                status = self._tell(health, options)
        except KeyboardInterrupt:
            pass
        if not status.is_ready:
            sys.exit(1)

    def _tell(self, health: Health, options: dict[str, Any]) -> Status:
        status = Status(health.report())
        if options["json"]:
            self.stdout.write(json.dumps(status.as_json()))
        else:
            begin = CLEAR if options["watch"] and self.stdout.isatty() else ""
            self.stdout.write(begin + status.as_table())
        self.stdout.flush()
        return status


class Status:
    """One look at the service: its checks, its queues, its work."""

    def __init__(self, report: Report) -> None:
        answers = dict(report.answers)
        self._queues: Answer[dict[str, queues.Queue]] = answers.pop("queues")
        self._rows: Answer[rows.RowNumbers] = answers.pop("rows")
        self._moved: Answer[Mapping[tally.Counted, list[int]]] = answers.pop("moved")
        self._report = Report(answers)

    @property
    def is_ready(self) -> bool:
        """Whether all checks found what they looked for."""
        return self._report.is_ready

    def as_json(self) -> dict[str, Any]:
        """It for machines; what could not be asked for is null."""
        waiting = self._queues.value
        return {
            **self._report.as_json(),
            "queues": waiting
            and {name: [each.length, round(each.oldest_seconds, 1)] for name, each in waiting.items()},
            "work": _work(self._rows.value),
            "moved": self._moved.value and throughput.sums(self._moved.value),
        }

    def as_table(self) -> str:
        """It for people."""
        checks_told = [
            (each.name, each.state, f"{each.seconds * 1000:.0f} ms", each.detail or _number(each.value))
            for each in self._report.answers.values()
        ]
        told = [*_lines(("check", "state", "took", ""), checks_told), ""]
        if self._queues.value is not None:
            waiting = [
                (name, str(each.length), f"{each.oldest_seconds:.0f} s") for name, each in self._queues.value.items()
            ]
            told += [*_lines(("queue", "waiting", "oldest"), waiting), ""]
        if (work := _work(self._rows.value)) is not None:
            under_way = [(kind, _counts(each["states"]), str(each["leases"])) for kind, each in work.items()]
            told += [*_lines(("work", "states", "workers at it"), under_way), ""]
        if self._moved.value is not None:
            moved = [(each.title, each.hour, each.now) for each in throughput.told(self._moved.value)]
            told += [*_lines(("in the last hour", "bytes", "in the last minute"), moved), ""]
        told.append("Everything is there." if self.is_ready else f"Down: {', '.join(self._report.down)}.")
        return "\n".join(told)


def _work(numbers: rows.RowNumbers | None) -> dict[str, Any] | None:
    """The rows by kind; kinds that have neither states nor holders are left out."""
    if numbers is None:
        return None
    work: dict[str, Any] = {}
    for (kind, state), count in numbers.by_state.items():
        work.setdefault(kind, {"states": {}, "leases": numbers.leases.get(kind, 0)})["states"][state] = count
    return work


def _counts(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states.items() if count) or "none"


def _number(value: object) -> str:
    if isinstance(value, checks.Room):
        return f"{value.free / 2**30:.1f} of {value.total / 2**30:.1f} GiB free"
    return str(value) if isinstance(value, int) else ""


def _lines(head: tuple[str, ...], body: Sequence[tuple[str, ...]]) -> list[str]:
    """The table's lines, each column as wide as its widest cell."""
    widths = [max(len(line[at]) for line in (head, *body)) for at in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *body)
    ]
