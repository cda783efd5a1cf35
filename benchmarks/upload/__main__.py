"""Uploads beside @tus/server, tuspyserver and copyparty: one client, one disk, one run; prints Markdown tables.

The time of a file begins with its first part and ends with the answer after which it is whole; "on disk" ends when its
file system is synced too. CPU time and memory are those of the process that takes the bytes: ours takes the MD5 of each
and syncs each part before it answers. The best of the rounds counts. A file on the peers' disk, and ours as its owner
gets it, is compared with what was sent, once each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.upload.client import Lane, send_all
from benchmarks.upload.contenders import Contender, Load
from benchmarks.upload.report import Row, Run, print_completes, print_rates
from benchmarks.upload.servers import Meter, sync
from benchmarks.upload.source import MIB, Source
from benchmarks.upload.starting import started

WARM_UP_BYTES = 64 * MIB
COMPLETE_PART_BYTES = 16 * MIB
COMPLETE_BYTES = {"64 MiB": 64 * MIB + 1, "4 GiB": (4096 - 16) * MIB + 1}
"""Whole parts and a byte, so that the last part takes no time of its own; in no more chunks than copyparty's 256."""
JOINED = 4


def main() -> None:
    """Measure, and print the tables."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    options = arguments()
    size = (256 if options.quick else options.size_mib) * MIB
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder or Path.cwd()) as folder, ExitStack() as stack:
        root = Path(folder)
        source = Source(root / "source", size)
        stack.callback(source.close)
        contenders = stack.enter_context(started(root, options.peers or root / "peers", source))
        chosen = [contender for contender in contenders if any(text in contender.name for text in options.only)]
        print(f"{os.cpu_count()} cores; load before: {os.getloadavg()[0]:.1f}")
        for connections in options.connections:
            load = Load(size, min(options.part_mib * MIB, size), connections)
            print_rates(measure(root, chosen, load, options.rounds), load)
        if not options.no_complete:
            print_completes(complete_times(root, chosen, options.rounds, quick=options.quick))
        print(f"\nload after: {os.getloadavg()[0]:.1f}")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upload", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the best is told (default 3)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 4], help="at once (default 1 4)")
    parser.add_argument("--size-mib", type=int, default=1024, help="of the file (default 1024)")
    parser.add_argument("--part-mib", type=int, default=20, help="of a part (default 20)")
    parser.add_argument("--quick", action="store_true", help="a file of 256 MiB, and no file of 4 GiB")
    parser.add_argument("--no-complete", action="store_true", help="leave out the times of the last request")
    parser.add_argument("--only", metavar="TEXT", nargs="+", default=[""], help="contenders whose name contains it")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder here)")
    parser.add_argument("--peers", type=Path, help="where to install the peers, and keep them (default: nowhere)")
    return parser.parse_args()


def measure(root: Path, contenders: Sequence[Contender], load: Load, rounds: int) -> list[Row]:
    """Each contender's runs; they take turns, so that what disturbs the machine disturbs all."""
    rows = [Row(contender) for contender in contenders if load.connections > 1 or not contender.joins]
    for row in rows:
        upload(root, row.contender, replace(load, size=WARM_UP_BYTES))
    for number in range(rounds):
        for row in rows:
            print(f"{load.connections} connections, round {number + 1}: {row.contender.name}", file=sys.stderr)
            row.runs.append(upload(root, row.contender, load, check=number == 0))
    return rows


def upload(root: Path, contender: Contender, load: Load, *, check: bool = False) -> Run:
    """Upload one file, and remove it."""
    job = contender.begin(load)
    sync(root)  # what others left to be written shall not be written now
    meter = Meter(contender.pid)
    seconds = send_all(contender.port, contender.source, job.lanes, job.last)
    cost = meter.read()
    synced_seconds = seconds + sync(root)
    contender.settle()
    if check and contender.sha256(job) != contender.source.sha256(job.pieces):
        raise SystemExit(f"{contender.name} has stored something else than was sent")
    contender.forget(job)
    return Run(seconds, synced_seconds, cost)


def complete_times(
    root: Path, contenders: Sequence[Contender], rounds: int, *, quick: bool
) -> dict[str, dict[str, float]]:
    """The seconds of the request that makes a file whole, by contender and size; the large file only once."""
    times: dict[str, dict[str, float]] = {contender.name: {} for contender in contenders}
    for name, size in COMPLETE_BYTES.items():
        large = size > COMPLETE_BYTES["64 MiB"]
        if large and (quick or shutil.disk_usage(root).free < 4 * size):
            print(f"\n{name} was left out.")
            continue
        for number in range(1 if large else rounds):
            for contender in contenders:
                print(f"complete {name}, round {number + 1}: {contender.name}", file=sys.stderr)
                seconds = complete(root, contender, size)
                times[contender.name][name] = min(seconds, times[contender.name].get(name, seconds))
    return times


def complete(root: Path, contender: Contender, size: int) -> float:
    """Upload a file, and time the request that makes it whole."""
    job = contender.begin(Load(size, COMPLETE_PART_BYTES, JOINED if contender.joins else 1))
    last = job.last or job.lanes[0].pop()
    send_all(contender.port, contender.source, job.lanes, None)
    seconds = send_all(contender.port, contender.source, [Lane()], last)
    contender.settle()
    contender.forget(job)
    sync(root)
    return seconds


if __name__ == "__main__":
    main()
