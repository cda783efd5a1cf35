"""Case sync beside `aws s3 sync`, `rclone sync` and s5cmd: one swift, one disk, one run; prints Markdown tables.

A tool's time begins with its start and ends with its end; ours begins with the POST and ends when a poll (one every 50
ms, in long runs one every half a second) says that the job is completed. "On disk" ends when its file system is synced
too. Our CPU time and memory are those of all processes of the service, its answers to the polls included. The best of
the rounds counts, of each tool with the settings that are best in the case. After each case both sides are compared,
sizes and MD5s. Requests and bytes are counted in runs of their own, by a proxy before the store.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.sync import contenders as tools
from benchmarks.sync import peers
from benchmarks.sync.contenders import DOWN, UP, Carryon, Contender
from benchmarks.sync.files import MIB, make_large, make_small
from benchmarks.sync.measuring import LARGE_CASES, SMALL_CASES, Bench, Row, best_rows
from benchmarks.sync.proxy import counting_proxy
from benchmarks.sync.report import Titles, print_case, print_counts, print_killed, print_notes
from benchmarks.sync.store import REGION, running_store
from benchmarks.upload.servers import wait_until_idle
from tests.s3 import BUCKET
from tests.service import running_service

GROUPS = SMALL, LARGE, KILLED = "small", "large", "killed"

Programs = Mapping[str, Path]
"""The peers' programs by their names."""


def main() -> None:
    """Measure, and print the tables."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder or Path.cwd()) as folder, ExitStack() as stack:
        root = Path(folder)
        programs = peers.installed(options.peers)
        tempfile.tempdir = folder  # the store's files belong on this disk, too
        stack.callback(setattr, tempfile, "tempdir", None)
        bench = Bench(root, stack.enter_context(running_store()), root / "small", root / "large")
        make_small(bench.small, options.files)
        make_large(bench.large, options.size * MIB)
        titles = Titles(options.files, options.size * MIB)
        print(f"{os.cpu_count()} cores; load before: {os.getloadavg()[0]:.1f}")
        rows = time_all(bench, programs, titles, options)
        if not options.no_counts:
            count_all(bench, programs, titles, options, rows)
        print(f"\nload after: {os.getloadavg()[0]:.1f}")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sync", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the best is told (default 3)")
    parser.add_argument("--files", type=int, default=10_000, help="of 4 KiB (default 10000)")
    parser.add_argument("--size", type=int, default=2048, metavar="MIB", help="of the large file (default 2048)")
    parser.add_argument("--only", metavar="TEXT", nargs="+", default=[""], help="contenders whose name contains it")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=GROUPS, help="of cases (default all)")
    parser.add_argument("--no-counts", action="store_true", help="only take the times: count nothing, kill nothing")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder here)")
    parser.add_argument("--peers", type=Path, default=peers.FOLDER, help="where the peers are installed, and kept")
    return parser.parse_args()


def time_all(bench: Bench, programs: Programs, titles: Titles, options: argparse.Namespace) -> list[Row]:
    """The timed rounds, and their tables."""
    measured: list[Row] = []
    endpoint = f"http://127.0.0.1:{bench.store.port}"
    with running_contenders(bench.root / "timed", programs, endpoint, options.only) as contenders:
        able = bench.warm_up(contenders)
        for cases in asked(options):
            rows = bench.measure(able, cases, options.rounds)
            for case in cases:
                print_case(case, titles, rows)
            print_notes(cases, titles, rows)
            measured += rows
    return measured


def count_all(
    bench: Bench, programs: Programs, titles: Titles, options: argparse.Namespace, measured: Sequence[Row]
) -> None:
    """What the store sees of each tool at its best, in runs through a proxy; and what a crash costs."""
    with (
        counting_proxy(bench.store.port) as proxy,
        running_contenders(
            bench.root / "counted", programs, f"http://127.0.0.1:{proxy.port}", options.only
        ) as contenders,
    ):
        able = bench.warm_up(contenders)
        for cases in asked(options):
            best = at_best(able, cases, measured)
            print_counts(cases, titles, {tool: bench.count(by_case, proxy) for tool, by_case in best.items()})
        if KILLED in options.groups:
            best = at_best([each for each in able if not each.only_first], (UP, DOWN), measured)
            for case in (UP, DOWN):
                killed = {tool: bench.kill(by_case[case], proxy, up=case == UP) for tool, by_case in best.items()}
                print_killed("up" if case == UP else "down", titles, killed)


def asked(options: argparse.Namespace) -> list[Sequence[int]]:
    """The cases to be measured, in the groups that share a tree."""
    return [cases for name, cases in ((SMALL, SMALL_CASES), (LARGE, LARGE_CASES)) if name in options.groups]


def at_best(
    contenders: Sequence[Contender], cases: Sequence[int], measured: Sequence[Row]
) -> dict[str, dict[int, Contender]]:
    """Each tool by case, with the settings that were best in it; with its first ones where it was not measured."""
    found: dict[str, dict[int, Contender]] = {}
    for case in cases:
        best = {row.contender.name for row in best_rows(measured, case)}
        for contender in contenders:
            by_case = found.setdefault(contender.kind, {})
            if contender.name in best or case not in by_case:
                by_case[case] = contender
    made = {kind: {case: each for case, each in by_case.items() if each.does(case)} for kind, by_case in found.items()}
    return {kind: by_case for kind, by_case in made.items() if by_case}


@contextmanager
def running_contenders(
    root: Path, programs: Programs, endpoint: str, only: Sequence[str]
) -> Iterator[Sequence[Contender]]:
    """All that syncs with the store at this address, ours as a running service."""
    root.mkdir()
    made: list[Contender] = []
    for name, make in (("aws", tools.aws), ("rclone", tools.rclone), ("s5cmd", tools.s5cmd)):
        if name in programs:
            made += make(programs[name], endpoint, root)
    with ExitStack() as stack:
        if any(text in Carryon.tool for text in only):
            made = [*_carryon(stack, root, endpoint), *made]
        yield [contender for contender in made if any(text in contender.name for text in only)]


def _carryon(stack: ExitStack, root: Path, endpoint: str) -> list[Contender]:
    regions = {REGION: {"bucket": BUCKET, "endpoint_url": endpoint}}
    variables = {"SYNC_REGIONS": json.dumps(regions), "SYNC_SOURCE_ROOTS": str(root / "sources")}
    service = stack.enter_context(running_service(root / "carryon", LOG_LEVEL="WARNING", **variables))
    service.wait_until_ready()
    for pid in service.pids().values():  # beat is still starting, and nobody has to wait for it
        wait_until_idle(pid)
    return [Carryon(service, root), Carryon(service, root, from_source=True)]


if __name__ == "__main__":
    main()
