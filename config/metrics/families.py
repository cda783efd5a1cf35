"""Every number by name: what it means, where it comes from, and how Prometheus is told.

Labels are words of ours (views, states, error codes) and never anything that a client chose.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from config import presence
from config.health.checks import Room
from config.health.report import Report
from config.metrics.queues import Queue
from config.metrics.rows import RowNumbers
from transfers.tally import Counted

PREFIX = "carryon_"
COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "requests": ("Answers to HTTP requests.", ("view", "method", "status")),
    "bytes_moved": ("Bytes of files that were moved.", ("kind",)),
    "retries": ("Work that is tried again, by the error that made it necessary.", ("kind", "code")),
    "failures": ("Work that failed for good, by its error.", ("kind", "code")),
}
"""What is counted by `transfers.tally.add`: its help and its labels."""
DURATIONS = "request_seconds"
DURATION_LABELS = ("view", "method")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds; what took longer is in none of them."""
ABOVE = "+Inf"
_NAMES = (*map(str, BUCKETS), ABOVE)
MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Numbers:
    """All that is told at one moment; None for what could not be asked."""

    version: str
    report: Report
    totals: Mapping[Counted, int] | None
    processes: list[presence.Process] | None
    queues: Mapping[str, Queue] | None
    rows: RowNumbers | None


def text(numbers: Numbers) -> bytes:
    """The numbers in Prometheus's text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(numbers))
    return generate_latest(registry)


def bucket(seconds: float) -> str:
    """The bucket that a duration falls in."""
    return _NAMES[bisect.bisect_left(BUCKETS, seconds)]


class _Told(Collector):
    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        """All families; those that could not be asked for are left out, and `carryon_up` tells why."""
        numbers = self._numbers
        yield InfoMetricFamily(f"{PREFIX}build", "What runs.", value={"version": numbers.version})
        yield from _health(numbers.report)
        if numbers.totals is not None:
            yield from _counters(numbers.totals)
            yield _durations(numbers.totals)
        if numbers.processes is not None:
            yield from _processes(numbers.processes)
        if numbers.queues is not None:
            yield from _queues(numbers.queues)
        if numbers.rows is not None:
            yield from _rows(numbers.rows)


def _gauge(name: str, told: str, label: str, values: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(PREFIX + name, told, labels=[label])
    for value, number in values:
        family.add_metric([value], number)
    return family


def _health(report: Report) -> Iterator[Metric]:
    answers = report.answers.values()
    yield _gauge("up", "Whether a check found what it looked for.", "check", _states(report))
    yield _gauge("check_seconds", "How long a check took.", "check", ((each.name, each.seconds) for each in answers))
    rooms = {each.name.partition(":")[2]: each.value for each in answers if isinstance(each.value, Room)}
    yield _gauge(
        "storage_free_bytes",
        "Bytes free where a root lies.",
        "root",
        ((name, room.free) for name, room in rooms.items()),
    )
    yield _gauge(
        "storage_total_bytes", "Bytes there are in all.", "root", ((name, room.total) for name, room in rooms.items())
    )


def _states(report: Report) -> Iterator[tuple[str, float]]:
    return ((each.name, float(each.state == "ok")) for each in report.answers.values())


def _counters(totals: Mapping[Counted, int]) -> Iterator[Metric]:
    for name, (told, labels) in COUNTERS.items():
        family = CounterMetricFamily(PREFIX + name, told, labels=labels)
        for (counted, values), number in totals.items():
            if counted == name and tuple(label for label, _ in values) == tuple(sorted(labels)):
                by_label = dict(values)
                family.add_metric([by_label[label] for label in labels], number)
        yield family


def _durations(totals: Mapping[Counted, int]) -> Metric:
    """Seconds until an answer began; the counts of single buckets are added up as Prometheus wants them."""
    found: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    sums: dict[tuple[str, ...], int] = defaultdict(int)
    for (counted, values), number in totals.items():
        by_label = dict(values)
        key = tuple(by_label.get(label, "") for label in DURATION_LABELS)
        if counted == f"{DURATIONS}_bucket":
            found[key][by_label["le"]] = number
        elif counted == f"{DURATIONS}_sum":
            sums[key] = number
    family = HistogramMetricFamily(PREFIX + DURATIONS, "Seconds until an answer began.", labels=DURATION_LABELS)
    for key, counts in found.items():
        family.add_metric(key, _cumulative(counts), sums[key] / MICROSECONDS)
    return family


def _cumulative(counts: Mapping[str, int]) -> list[tuple[str, float]]:
    total, buckets = 0, []
    for limit in _NAMES:
        total += counts.get(limit, 0)
        buckets.append((limit, float(total)))
    return buckets


def _processes(present: list[presence.Process]) -> Iterator[Metric]:
    counted = presence.counted(present).items()
    yield _gauge("processes", "Processes that are there, on all hosts.", "kind", counted)
    yield GaugeMetricFamily(
        f"{PREFIX}websocket_clients", "WebSockets that are open.", value=sum(process.sockets for process in present)
    )


def _queues(queues: Mapping[str, Queue]) -> Iterator[Metric]:
    yield _gauge(
        "queue_length",
        "Messages that wait in the broker.",
        "queue",
        ((name, each.length) for name, each in queues.items()),
    )
    ages = ((name, each.oldest_seconds) for name, each in queues.items())
    yield _gauge("queue_oldest_seconds", "How long the next message has waited.", "queue", ages)


def _rows(rows: RowNumbers) -> Iterator[Metric]:
    states = GaugeMetricFamily(f"{PREFIX}transfers", "Rows of work, by state.", labels=["kind", "state"])
    for (kind, state), number in rows.by_state.items():
        states.add_metric([kind, state], number)
    yield states
    yield _gauge("leases", "Rows that a worker is at.", "kind", rows.leases.items())
    yield _gauge(
        "oldest_due_seconds",
        "How long the oldest work has waited for a worker.",
        "kind",
        rows.oldest_due_seconds.items(),
    )


def names() -> set[str]:
    """The names of all samples that there can be."""
    empty: dict[str, Any] = {"by_state": {}, "leases": {}, "oldest_due_seconds": {}}
    numbers = Numbers("", Report({}), {}, [], {}, RowNumbers(**empty))
    found = {family.name for family in _Told(numbers).collect()}
    counters = {f"{PREFIX}{name}_total" for name in COUNTERS}
    histogram = {f"{PREFIX}{DURATIONS}{part}" for part in ("_bucket", "_sum", "_count")}
    return found | counters | histogram | {f"{PREFIX}build_info"}
