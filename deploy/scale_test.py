"""What more workers bring, and that none of them takes anything along when it goes.

One large file is fetched from an origin that limits each connection: by one worker, then by two. Then it is fetched
once more, at half that limit, while workers come, are drained (SIGTERM) and are killed (SIGKILL). Every file's SHA-256
is held against the origin's. Without options it starts a service of its own, whose workers are processes; with
--compose it takes the one that runs here under docker-compose.yml, whose FETCH_ALLOW must hold `carryon-scale-origin`.

Exit code 0 only when every file came whole and right; 1 otherwise.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import itertools
import os
import random
import signal
import sys
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests

from deploy.fleet import Fleet, containers, parsed, processes
from tests.origin import GeneratedFile

MIB = 2**20
FETCH_SECONDS = 1200
LEAST_WORKERS = 1
SHAKEN = "coming and going"
SHAKEN_SHARE = 0.4
"""The share of the last file within which workers come and go; the rest is there so that it does not end before."""
VARIABLES = {"DOWNLOAD_PARALLEL_MIN_BYTES": str(32 * MIB)}


@dataclass(frozen=True, slots=True)
class Fetch:
    """One file, fetched: how long it took, and whether its bytes are the origin's."""

    what: str
    seconds: float
    size: int
    whole: bool
    attempts: int
    changes: tuple[str, ...] = ()
    """What was done to the workers meanwhile: `more`, `SIGKILL`, `SIGTERM`."""

    def __str__(self) -> str:
        """A row of the table."""
        verdict = "the same" if self.whole else "NOT THE SAME"
        rate = self.size / MIB / self.seconds
        return f"| {self.what} | {self.seconds:.1f} | {rate:.1f} | {self.attempts} | {verdict} |"


@dataclass(frozen=True, slots=True)
class Load:
    """What is fetched: files of so many bytes, at so many bytes a second for each connection."""

    size: int
    rate: int
    changes: int
    seed: int


def main() -> int:
    """Measure, print a table in Markdown, and tell by the exit code whether anything was lost."""
    options = _options()
    load = Load(options.size * MIB, options.rate * MIB, options.changes, options.seed)
    fleet: AbstractContextManager[Fleet] = (
        containers(options.url, os.environ["CARRYON_TOKEN"], options.compose)
        if options.compose
        else processes(VARIABLES)
    )
    with fleet as running:
        fetches = run(running, load)
    return 0 if all(fetch.whole for fetch in fetches) else 1


def run(fleet: Fleet, load: Load) -> list[Fetch]:
    """Fetch with one worker, with two, and while they change; the rows are printed as they come."""
    print("| workers | s | MiB/s | attempts | SHA-256 |\n|---|---:|---:|---:|---|", flush=True)
    fetches = [_fetched(fleet, load, "1")]
    fleet.add()
    fetches.append(_fetched(fleet, load, "2"))
    fetches.append(_fetched(fleet, load, SHAKEN))
    one, two = fetches[:2]
    print(f"\nTwo workers were {one.seconds / two.seconds:.2f} times as fast as one.", flush=True)
    return fetches


def _fetched(fleet: Fleet, load: Load, what: str) -> Fetch:
    file = GeneratedFile(load.size, seed=load.seed + len(what))
    name = f"{load.seed}-{what.replace(' ', '-')}.bin"
    began = time.monotonic()
    rate = load.rate // 2 if what == SHAKEN else load.rate
    download = fleet.client.begin(fleet.url(file, name, rate), name)
    changes = _shake(fleet, download, load) if what == SHAKEN else ()
    detail = fleet.client.wait_for_end(download, FETCH_SECONDS)
    seconds = time.monotonic() - began
    whole = detail["state"] == "completed" and _sha256(fleet, detail) == file.sha256()
    if detail["state"] != "completed":
        print(f"{what}: {detail['state']}, {detail['attempts'][-1:]}", file=sys.stderr)
    fetch = Fetch(what, seconds, load.size, whole, len(detail["attempts"]), changes)
    print(fetch, flush=True)
    return fetch


def _shake(fleet: Fleet, download: str, load: Load) -> tuple[str, ...]:
    """Add, drain and kill workers while the file comes, each time a further share of it is there."""
    draw = random.Random(load.seed)  # noqa: S311 - which worker, not which secret
    signals = itertools.cycle((signal.SIGKILL, signal.SIGTERM))
    done: list[str] = []
    for change in range(load.changes):
        wanted = int(load.size * SHAKEN_SHARE * (change + 1) / load.changes)
        detail = fleet.client.wait_for(download, functools.partial(_is_past, wanted), FETCH_SECONDS)
        if detail["state"] not in ("queued", "running"):
            break
        at = f"  at {detail['downloaded'] / MIB:.0f} MiB:"
        workers = fleet.workers()
        if len(workers) <= LEAST_WORKERS:
            fleet.add()
            done.append("more")
            print(f"{at} one more, {len(fleet.workers())} now", file=sys.stderr)
            continue
        worker, number = draw.choice(workers), next(signals)
        began = time.monotonic()
        fleet.end(worker, number)
        done.append(number.name)
        print(f"{at} {number.name} to {worker[:12]}, gone after {time.monotonic() - began:.1f} s", file=sys.stderr)
    return tuple(done)


def _is_past(least: int, detail: dict[str, Any]) -> bool:
    return bool(detail["downloaded"] >= least or detail["state"] not in ("queued", "running"))


def _sha256(fleet: Fleet, detail: dict[str, Any]) -> str:
    """The hash of the bytes as the service gives them back, whatever it says of them."""
    headers = {"Authorization": f"Token {fleet.client.token}"}
    digest = hashlib.sha256()
    url = f"{fleet.client.base}/files/{detail['storedFile']['id']}/content"
    with requests.get(url, headers=headers, stream=True, timeout=60) as reply:
        if reply.status_code != HTTPStatus.OK:
            return f"status {reply.status_code}"
        for chunk in reply.iter_content(MIB):
            digest.update(chunk)
    return digest.hexdigest()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "deploy/scale-test", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=512, help="size of a file in MiB (512)")
    parser.add_argument("--rate", type=int, default=4, help="what a connection gives, in MiB/s (4)")
    parser.add_argument("--changes", type=int, default=6, help="how often workers come or go amid the last file (6)")
    parser.add_argument("--seed", type=int, default=1, help="decides the bytes, and which worker goes (1)")
    return parsed(parser)


if __name__ == "__main__":
    sys.exit(main())
