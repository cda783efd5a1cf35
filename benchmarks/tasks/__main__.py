"""Polls beside a bare Django view: the shipped web process with its broker, one run; prints Markdown tables.

The bare views answer the same JSON from the same rows in the same process, behind the same middleware, without Django
REST framework and without asking who it is. Each connection asks for a task of its own; lists are those of a user with
1,000 tasks, whatever the table holds, and of one with all the others. Cases take turns; the best of the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.tasks.client import Load, Poll, ask, put_load
from tests.postgres import running_postgres
from tests.servers import REPOSITORY, embedded_broker, environment_of, manage, web_server

WARM_UP_SECONDS = 1
BARE_TASK, BARE_LIST = "bare view, one task", "bare view, list of 50"
DETAIL, UNCHANGED, LIST = "detail (200)", "unchanged (304)", "list of 50 (200)"
LONG_LIST = "list of 50 of all the others"
BESIDE = {DETAIL: BARE_TASK, UNCHANGED: BARE_TASK, LIST: BARE_LIST}
"""What each is compared with."""


@dataclass(frozen=True)
class Server:
    """A running web process with a table of this many tasks."""

    size: int
    port: int
    users: Sequence[Mapping[str, Any]]
    """The one with 1,000 tasks, and the one with all others."""

    def polls(self, case: str, connections: int) -> list[Poll]:
        """What that many connections ask for; [] when there is nothing to ask for."""
        few, many = self.users
        tasks = [few["tasks"][number % len(few["tasks"])] for number in range(connections)]
        if case == BARE_TASK:
            return [Poll(f"/bare/tasks/{task}", {}) for task in tasks]
        if case == BARE_LIST:
            return [Poll(f"/bare/users/{few['id']}/tasks", {})] * connections
        if case in (LIST, LONG_LIST):
            user = few if case == LIST else many
            return [Poll("/api/v1/tasks/downloads/", _headers(user))] * connections if user["tasks"] else []
        paths = [f"/api/v1/tasks/download/{task}/" for task in tasks]
        if case == DETAIL:
            return [Poll(path, _headers(few)) for path in paths]
        etags = [ask(self.port, path, _headers(few))[0] for path in paths]
        return [
            Poll(path, {**_headers(few), "If-None-Match": etag}, 304) for path, etag in zip(paths, etags, strict=True)
        ]

    def check(self) -> None:
        """SystemExit unless the bare views answer just what ours do."""
        for bare, ours in ((BARE_TASK, DETAIL), (BARE_LIST, LIST)):
            [one], [other] = self.polls(bare, 1), self.polls(ours, 1)
            if ask(self.port, one.path, one.headers)[1] != ask(self.port, other.path, other.headers)[1]:
                raise SystemExit(f"{one.path} and {other.path} differ")


@dataclass
class Row:
    """A case and what was measured of it on each server."""

    case: str
    loads: dict[int, list[Load]] = field(default_factory=dict)
    """By the size of the table."""

    def best(self, size: int) -> Load:
        """The round with the most answers."""
        return max(self.loads[size], key=lambda load: load.per_second)


def main() -> None:
    """Measure, and print the tables."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        servers = [
            stack.enter_context(running(Path(folder) / str(size), size, options.database)) for size in options.sizes
        ]
        print(f"{options.database}, {os.cpu_count()} cores; load before: {os.getloadavg()[0]:.1f}")
        for connections in options.connections:
            print_table(measure(servers, connections, options), options.sizes, connections)
        print(f"\nload after: {os.getloadavg()[0]:.1f}")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tasks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each; the best is told (default 3)")
    parser.add_argument("--seconds", type=float, default=6, help="of each round (default 6)")
    parser.add_argument("--connections", type=int, nargs="+", default=[16, 256], help="at once (default 16 256)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100_000], help="tasks in the table")
    parser.add_argument("--only", metavar="TEXT", nargs="+", default=[""], help="cases whose name contains it")
    parser.add_argument("--database", choices=["SQLite", "PostgreSQL"], default="SQLite", help="(default SQLite)")
    return parser.parse_args()


@contextmanager
def running(folder: Path, size: int, database: str) -> Iterator[Server]:
    """Start the web process as the supervisor does, on a full table, with a broker; leave nothing of it in the end."""
    folder.mkdir()
    variables = {
        "DJANGO_SETTINGS_MODULE": "benchmarks.tasks.settings",
        "LOG_LEVEL": "WARNING",
        "RATE_LIMIT_REQUESTS": "off",
    }
    with ExitStack() as stack:
        if database == "PostgreSQL":
            variables |= {"DATABASE_URL": stack.enter_context(running_postgres()), "SECRET_KEY": secrets.token_hex(32)}
        print(f"filling a table with {size:,} tasks", file=sys.stderr)
        users = fill(folder, size, variables)
        stack.enter_context(embedded_broker(folder))
        url = stack.enter_context(web_server(folder, **variables))
        server = Server(size, int(url.rpartition(":")[2]), users)
        server.check()
        yield server


def fill(folder: Path, size: int, variables: Mapping[str, str]) -> list[dict[str, Any]]:
    """Make the database; its two users."""
    manage(folder, "migrate", "--verbosity", "0", **variables)
    command = [sys.executable, "-m", "benchmarks.tasks.rows", str(size)]
    environment = environment_of(folder, variables)
    told = subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, stdout=subprocess.PIPE).stdout
    users: list[dict[str, Any]] = json.loads(told)
    return users


def measure(servers: Sequence[Server], connections: int, options: argparse.Namespace) -> list[Row]:
    """Each case on each server; they take turns, so that what disturbs the machine disturbs all."""
    cases = (BARE_TASK, DETAIL, UNCHANGED, BARE_LIST, LIST, LONG_LIST)
    rows = [Row(case) for case in cases if any(text in case for text in options.only)]
    for number in range(options.rounds):
        for row in rows:
            for server in servers:
                if polls := server.polls(row.case, connections):
                    print(f"round {number + 1}: {row.case}, {server.size:,}", file=sys.stderr)
                    put_load(server.port, polls, WARM_UP_SECONDS)
                    load = put_load(server.port, polls, options.seconds)
                    row.loads.setdefault(server.size, []).append(load)
    return [row for row in rows if row.loads]


def print_table(rows: Sequence[Row], sizes: Sequence[int], connections: int) -> None:
    """Rates and latencies by the size of the table; each beside its bare view, and the largest beside the smallest."""
    names = [f"{size:,} tasks: polls/s | p99 ms | of the bare view" for size in sizes]
    print(f"\n| {connections} connections | {' | '.join(names)} | {sizes[-1]:,} of {sizes[0]:,} |")
    print(f"|---|{'---:|' * (3 * len(sizes) + 1)}")
    by_case = {row.case: row for row in rows}
    for row in rows:
        bare = by_case.get(BESIDE.get(row.case, ""))
        cells = [cell for size in sizes for cell in _cells(row, bare, size)]
        both = sizes[0] in row.loads and sizes[-1] in row.loads
        growth = row.best(sizes[-1]).per_second / row.best(sizes[0]).per_second if both else 0
        print(f"| {row.case} | {' | '.join(cells)} | {f'{growth:.2f}' if both else ''} |")
    busiest = max(load.client_busy for row in rows for loads in row.loads.values() for load in loads)
    print(f"\nThe client was at work for {busiest:.0%} of the time at most.")


def _cells(row: Row, bare: Row | None, size: int) -> tuple[str, str, str]:
    if size not in row.loads:
        return "", "", ""
    best = row.best(size)
    ratio = f"{best.per_second / bare.best(size).per_second:.2f}" if bare else ""
    return f"{best.per_second:,.0f}", f"{best.p99_ms:.1f}", ratio


def _headers(user: Mapping[str, Any]) -> dict[str, str]:
    return {"HTTP_TOKEN": user["token"], "Accept-Language": "en"}


if __name__ == "__main__":
    main()
