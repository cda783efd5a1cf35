"""The tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.upload.contenders import Contender, Load
from benchmarks.upload.servers import Cost
from benchmarks.upload.source import MIB


@dataclass(frozen=True)
class Run:
    """What one upload needed."""

    seconds: float
    synced_seconds: float
    cost: Cost


@dataclass
class Row:
    """A contender and its runs, of which the best counts."""

    contender: Contender
    runs: list[Run] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Until the last answer."""
        return min(run.seconds for run in self.runs)

    @property
    def synced_seconds(self) -> float:
        """Until all is on the disk."""
        return min(run.synced_seconds for run in self.runs)

    @property
    def cpu_seconds(self) -> float:
        """Of the server."""
        return min(run.cost.cpu_seconds for run in self.runs)


def print_rates(rows: Sequence[Row], load: Load) -> None:
    """Speed, CPU time and memory, each contender beside the first."""
    if not rows:
        return
    first = rows[0]
    over = f"{load.connections} connection" + ("s" if load.connections > 1 else "")
    ratio = f"of {first.contender.name}"
    title = f"{load.size // MIB:,} MiB in parts of {load.part_bytes // MIB} MiB, {over}"
    print(
        f"\n| {title} | MiB/s | {ratio} | on disk, MiB/s | {ratio} "
        "| CPU s/GiB | peak MiB | growth MiB | hashes | synced when answered |"
    )
    print(f"|---|{'---:|' * 7}---|---|")
    for row in rows:
        cells = [
            _name(row.contender, load.connections),
            *_speed(load.size, row.seconds, first.seconds),
            *_speed(load.size, row.synced_seconds, first.synced_seconds),
            f"{row.cpu_seconds / load.size * 1024 * MIB:.2f}",
            f"{max(run.cost.peak_mib for run in row.runs):,.0f}",
            f"{max(run.cost.growth_mib for run in row.runs):,.0f}",
            row.contender.hashes,
            row.contender.syncs,
        ]
        print(f"| {' | '.join(cells)} |")


def _name(contender: Contender, connections: int) -> str:
    files = f", {connections} files" if contender.files_each and connections > 1 else ""
    return f"{contender.name}{files}"


def _speed(size: int, seconds: float, first: float) -> tuple[str, str]:
    return f"{size / MIB / seconds:,.0f}", f"{first / seconds:.2f}"


def print_completes(times: Mapping[str, Mapping[str, float]]) -> None:
    """The time of the request that makes a file whole."""
    sizes = list(dict.fromkeys(size for each in times.values() for size in each))
    print(f"\n| the request that makes the file whole, ms | {' | '.join(sizes)} |")
    print(f"|---|{'---:|' * len(sizes)}")
    for name, each in times.items():
        print(f"| {name} | {' | '.join(f'{each[size] * 1000:,.0f}' for size in sizes)} |")
