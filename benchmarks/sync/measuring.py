"""The cases, and the runs of each contender through them."""

from __future__ import annotations

import functools
import math
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from benchmarks.sync.contenders import DOWN, EDITED, FIRST, UNCHANGED, UP, Contender
from benchmarks.sync.files import Contents, contents, edit
from benchmarks.sync.meters import FailedError, Spent, cpu_seconds
from benchmarks.sync.proxy import DOWN as DOWN_BYTES
from benchmarks.sync.proxy import UP as UP_BYTES
from benchmarks.sync.proxy import Counts, Proxy
from benchmarks.sync.store import Store
from benchmarks.upload.servers import sync, wait_until_idle

SMALL_CASES, LARGE_CASES = (FIRST, UNCHANGED, EDITED), (UP, DOWN)
EDITED_SHARE = 100
"""One of so many files is edited."""
LATER_SECONDS = 2
"""An edit is so much younger than the upload before it: stores tell times in whole seconds."""


@dataclass(frozen=True)
class Killed:
    """What came of a `kill -9` at half of the large file."""

    seconds: float
    """From the kill until the file was whole."""
    counts: Counts
    resent: int
    """Bytes that went more than once."""
    left_behind: int
    """Bytes on either side, once all is done, that belong to nothing."""


@dataclass(eq=False)
class Row:
    """A contender's runs, by case; or why there are none."""

    contender: Contender
    runs: dict[int, list[Spent]] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)

    def best(self, case: int) -> Spent | None:
        """The fastest run; None where one has failed, or none was made."""
        runs = self.runs.get(case, [])
        return min(runs, key=lambda run: run.seconds) if runs and case not in self.failures else None

    def seconds(self, case: int) -> float:
        """Of the fastest run; infinitely many where there is none."""
        best = self.best(case)
        return best.seconds if best else math.inf


@dataclass(frozen=True)
class Bench:
    """Where it all happens, and the trees that every run begins with."""

    root: Path
    store: Store
    small: Path
    large: Path

    @functools.cached_property
    def _large_contents(self) -> Contents:
        return contents(self.large)

    @functools.cached_property
    def large_bytes(self) -> int:
        """Of the one large file."""
        return sum(size for size, _ in self._large_contents.values())

    # Rounds that are timed

    def warm_up(self, contenders: Sequence[Contender]) -> list[Contender]:
        """Have each sync a file, so that what is done once is done; those that can."""
        able = []
        for contender in contenders:
            place = f"{_slug(contender.name)}-warm-up"
            folder = contender.local(place)
            folder.mkdir(parents=True)
            (folder / "file.bin").write_bytes(b"to warm up")
            try:
                contender.sync(place, up=True)
                able.append(contender)
            except FailedError as error:
                print(f"{contender.name} does not work here, and is left out: {error}")
            self._forget(contender, place)
        return able

    def measure(self, contenders: Sequence[Contender], cases: Sequence[int], rounds: int) -> list[Row]:
        """Every contender's runs; they take turns, so that what disturbs the machine disturbs all.

        Of a tool's settings, those that were not the best in any case of the first round sit out the others.
        """
        rows = [Row(contender) for contender in contenders]
        for number in range(rounds):
            for row in rows:
                if number and not any(row in best_rows(rows, case) for case in cases):
                    continue
                print(f"round {number + 1}: {row.contender.name}", file=sys.stderr)
                self._run(row, cases, number)
        return rows

    def _run(self, row: Row, cases: Sequence[int], number: int) -> None:
        contender = row.contender
        place = f"{_slug(contender.name)}-{'small' if FIRST in cases else 'large'}-{number}"

        def timed(case: int, *, up: bool) -> None:
            sync(self.root)  # what others left to be written shall not be written now
            store = psutil.Process(self.store.pid)
            before = cpu_seconds(store)
            spent = contender.sync(place, up=up)
            wait_until_idle(self.store.pid)
            row.runs.setdefault(case, []).append(replace(spent, store_cpu_seconds=cpu_seconds(store) - before))

        self._through({case: contender for case in cases if contender.does(case)}, place, timed, row)

    # Rounds that are counted

    def count(self, contenders: Mapping[int, Contender], proxy: Proxy) -> dict[int, Counts]:
        """What the store sees of a tool, with the settings that are best for each case."""
        found: dict[int, Counts] = {}
        row = Row(next(iter(contenders.values())))
        place = f"{_slug(row.contender.name)}-{'small' if FIRST in contenders else 'large'}-counted"

        def counted(case: int, *, up: bool) -> None:
            before = proxy.counts()
            contenders[case].sync(place, up=up)
            found[case] = proxy.counts().since(before)

        print(f"counting: {row.contender.tool}", file=sys.stderr)
        self._through(contenders, place, counted, row)
        return {case: counts for case, counts in found.items() if case not in row.failures}

    def kill(self, contender: Contender, proxy: Proxy, *, up: bool) -> Killed | str:
        """Kill it at half of the large file, and let it make the file whole; or why that failed."""
        way = UP_BYTES if up else DOWN_BYTES
        print(f"killing: {contender.name}, {way}", file=sys.stderr)
        place = f"{_slug(contender.tool)}-killed-{way}"
        local, prefix, size = contender.local(place), contender.prefix(place), self.large_bytes
        shutil.copytree(self.large, local)
        try:
            if not up:
                contender.sync(place, up=True)
                shutil.rmtree(local)
                wait_until_idle(self.store.pid)
            before = proxy.counts()
            proxy.hold(way, size // 2)
            seconds = contender.interrupted(place, proxy, up=up)
            counts = proxy.counts().since(before)
            litter = self._litter(contender, place)
            self._compare(contender, place, self._large_contents)
            resent = (counts.up if up else counts.down) - size
            return Killed(seconds, counts, resent, litter + self.store.left_behind(prefix))
        except FailedError as error:
            return f"{contender.name}: {error}"
        finally:
            proxy.go()
            self._forget(contender, place)

    def _litter(self, contender: Contender, place: str) -> int:
        """Bytes on this side that belong to no file; they are removed."""
        wanted = {contender.local(place) / path for path in self._large_contents}
        found = [path for path in contender.files(place) if path not in wanted]
        size = sum(path.stat().st_size for path in found)
        for path in found:
            path.unlink()
        return size

    # Both

    def _through(self, contenders: Mapping[int, Contender], place: str, run: Callable[..., None], row: Row) -> None:
        """Go through these cases in their order, and see after each that both sides are the same."""
        if not contenders:
            return
        contender = row.contender
        template = self.small if FIRST in contenders else self.large
        shutil.copytree(template, contender.local(place))
        wanted = contents(contender.local(place))
        try:
            for case, each in contenders.items():
                if case == EDITED:
                    time.sleep(LATER_SECONDS)
                    edit(contender.local(place), max(1, len(wanted) // EDITED_SHARE))
                    wanted = contents(contender.local(place))
                if case == DOWN:
                    shutil.rmtree(contender.local(place))
                try:
                    run(case, up=case != DOWN)
                    self._compare(each, place, wanted)
                except FailedError as error:
                    row.failures[case] = str(error)
                    print(f"{each.name} failed: {error}", file=sys.stderr)
                    return
        finally:
            self._forget(contender, place)

    def _compare(self, contender: Contender, place: str, wanted: Contents) -> None:
        for side, found in (
            ("here", contents(contender.local(place))),
            ("in the store", self.store.contents(contender.prefix(place))),
        ):
            differing = {path for path in {*found, *wanted} if found.get(path) != wanted.get(path)}
            if differing:
                raise FailedError(f"{len(differing)} files are not what they should be {side}: {sorted(differing)[:3]}")

    def _forget(self, contender: Contender, place: str) -> None:
        """Remove what would fill the disk; small files stay in the store until the end, which no run is slower by."""
        shutil.rmtree(contender.local(place), ignore_errors=True)
        if "-small-" not in place:
            self.store.forget(contender.prefix(place))


def best_rows(rows: Sequence[Row], case: int) -> list[Row]:
    """Of each tool the row with the fastest run of the case, in the order of the tools; any where all have failed."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        if case in row.runs or case in row.failures:
            kinds.setdefault(row.contender.kind, []).append(row)
    return [min(each, key=lambda row: row.seconds(case)) for each in kinds.values()]


def _slug(name: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in name).strip("-")
