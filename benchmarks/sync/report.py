"""The tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.sync.contenders import DOWN, EDITED, FIRST, UNCHANGED, UP
from benchmarks.sync.files import MIB
from benchmarks.sync.measuring import Killed, Row, best_rows
from benchmarks.sync.proxy import Counts

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")


class Titles:
    """What the cases are called, and what they move."""

    def __init__(self, files: int, size: int) -> None:
        edited = max(1, files // 100)
        gib = f"{size / MIB / 1024:g} GiB" if size >= 1024 * MIB else f"{size / MIB:g} MiB"
        self.by_case = {
            FIRST: f"{files:,} x 4 KiB, first sync up",
            UNCHANGED: f"{files:,} files, nothing changed",
            EDITED: f"{files:,} files, {edited:,} edited",
            UP: f"one file of {gib} up",
            DOWN: f"one file of {gib} down",
        }
        self.large = gib
        self._amounts = {
            case: (size / MIB, "MiB/s") if case in (UP, DOWN) else (files, "files/s") for case in self.by_case
        }

    def amount(self, case: int) -> tuple[float, str]:
        """How much, and the unit of its speed."""
        return self._amounts[case]


def print_case(case: int, titles: Titles, rows: Sequence[Row]) -> None:
    """Speed, CPU time and memory, each tool at its best beside the first."""
    best = best_rows(rows, case)
    if not best:
        return
    amount, unit = titles.amount(case)
    first = best[0].best(case)
    ratio = f"of {best[0].contender.name}"
    print(
        f"\n| {titles.by_case[case]} | s | {unit} | {ratio} | on disk, s "
        "| CPU s | CPU s of the store | peak MiB | growth MiB |"
    )
    print(f"|---|{'---:|' * 8}")
    for row in best:
        spent = row.best(case)
        if spent is None:
            print(f"| {row.contender.name} | failed |{' |' * 7}")
            continue
        cells = [
            row.contender.name,
            f"{spent.seconds:.2f}",
            f"{amount / spent.seconds:,.0f}",
            f"{first.seconds / spent.seconds:.2f}" if first else "",
            f"{spent.synced_seconds:.2f}",
            f"{spent.cpu_seconds:.2f}",
            f"{spent.store_cpu_seconds:.2f}",
            f"{max(run.peak_mib for run in row.runs[case]):,.0f}",
            f"{max(run.growth_mib for run in row.runs[case]):,.0f}",
        ]
        print(f"| {' | '.join(cells)} |")


def print_notes(cases: Sequence[int], titles: Titles, rows: Sequence[Row]) -> None:
    """The seconds of the settings that were not the best, the CPU time of our processes, and what failed."""
    for case in cases:
        chosen = best_rows(rows, case)
        others = [row for row in rows if row not in chosen]
        told = [f"{row.contender.name} {best.seconds:.2f} s" for row in others if (best := row.best(case))]
        if told:
            print(f"\nSlower in “{titles.by_case[case]}”: {'; '.join(told)}.")
        for row in rows:
            if (best := row.best(case)) and best.by_process:
                parts = [f"{name} {cpu:.2f} ({mib:.0f} MiB)" for name, (cpu, mib) in sorted(best.by_process.items())]
                print(f"\nCPU s of {row.contender.name} in “{titles.by_case[case]}”: {', '.join(parts)}.")
            if case in row.failures:
                print(f"\n{row.contender.name} failed in “{titles.by_case[case]}”: {row.failures[case]}")


def print_counts(cases: Sequence[int], titles: Titles, counted: Mapping[str, Mapping[int, Counts]]) -> None:
    """What the store saw of each tool."""
    if not any(counts for counts in counted.values()):
        return
    print(f"\n| requests at the store | {' | '.join(METHODS)} | all | MiB to it | MiB from it |")
    print(f"|---|{'---:|' * (len(METHODS) + 3)}")
    for case in cases:
        for tool, by_case in counted.items():
            if case in by_case:
                cells = [f"{titles.by_case[case]}: {tool}", *_requests(by_case[case]), *_mib(by_case[case])]
                print(f"| {' | '.join(cells)} |")


def print_killed(way: str, titles: Titles, killed: Mapping[str, Killed | str]) -> None:
    """What a crash costs."""
    if not killed:
        return
    print(
        f"\n| {titles.large} {way}, `kill -9` at half | MiB sent again | s until whole | requests | MiB left behind |"
    )
    print(f"|---|{'---:|' * 4}")
    for tool, told in killed.items():
        if isinstance(told, str):
            print(f"| {tool} | failed |{' |' * 3}")
            continue
        cells = [
            tool,
            f"{max(0, told.resent) / MIB:,.0f}",
            f"{told.seconds:.1f}",
            f"{sum(told.counts.requests.values()):,}",
            f"{told.left_behind / MIB:,.0f}",
        ]
        print(f"| {' | '.join(cells)} |")
    for told in killed.values():
        if isinstance(told, str):
            print(f"\nFailed: {told}")


def _requests(counts: Counts) -> list[str]:
    by_method = [counts.requests.get(method, 0) for method in METHODS]
    return [f"{count:,}" for count in (*by_method, sum(counts.requests.values()))]


def _mib(counts: Counts) -> list[str]:
    return [f"{size / MIB:,.1f}" for size in (counts.up, counts.down)]
