"""The parts of one large download, given out to connections and workers by leases in the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from django.db import connections
from django.db.models import QuerySet, Sum

from transfers import leases
from transfers.engine.base import StoredPart
from transfers.engine.copying import Watch
from transfers.engine.plan import Part, Plan
from transfers.models import Download, DownloadPart

CANDIDATES = 8
"""Free parts that are looked at at once: others may be claiming the same ones."""
POLL_SECONDS = 0.2
"""How often a connection without a part looks whether one came free again."""


def lay_out(download: Download, generation: str, plan: Plan, stored: dict[int, StoredPart]) -> None:
    """Make the parts' rows agree with what the sink knows; a part that somebody holds stays theirs."""
    rows = DownloadPart.objects.filter(download=download)
    rows.exclude(generation=generation).delete()
    done = {part.number for part in plan if part.number in stored and stored[part.number].size == part.size}
    have = dict(rows.values_list("number", "done"))
    DownloadPart.objects.bulk_create(
        DownloadPart(
            download=download,
            generation=generation,
            number=part.number,
            done=part.number in done,
            stored=stored[part.number].size if part.number in stored else 0,
        )
        for part in plan
        if part.number not in have
    )
    lost = [number for number, was in have.items() if was and number not in done]
    rows.filter(number__in=lost).update(done=False, stored=0)
    for number in done - {number for number, was in have.items() if was}:
        rows.filter(number=number).update(done=True, stored=plan.part(number).size or 0)


class LeasedParts:
    """An allotment that several workers draw from.

    With `wait`, which pauses and may raise, a connection that finds every part taken stays until all are done,
    so that it can take over what another worker leaves; without it, it goes.
    """

    def __init__(self, download: Download, plan: Plan, owner: str, wait: Callable[[float], None] | None = None) -> None:
        self._plan, self._owner, self._wait = plan, owner, wait
        self._pk, self._generation = download.pk, download.generation
        self._held: dict[int, DownloadPart] = {}
        self._thread = threading.get_ident()

    def take(self) -> Part | None:
        """The lowest part that nobody holds."""
        try:
            while True:
                if (part := self._claim_one()) is not None:
                    return part
                if self._wait is None or not self._missing().exists():
                    return None
                self._let_go()
                self._wait(POLL_SECONDS)
        finally:
            self._let_go()

    def finish(self, part: Part) -> None:
        """The part is stored; if its lease was lost meanwhile, its new holder will find so in the journal."""
        row = self._held.pop(part.number)
        leases.release(row, stored=part.size, done=True)
        self._let_go()

    def release(self, part: Part) -> None:
        """Leave the part to others."""
        leases.release(self._held.pop(part.number))
        self._let_go()

    def renew(self, watch: Watch) -> bool:
        """Extend the leases of the parts that are held, and tell how far each is; False when one was lost."""
        kept = True
        for row in list(self._held.values()):
            renewed = leases.renew(row, stored=watch.position(row.number))
            kept = kept and (renewed or self._held.get(row.number) is not row)  # one just finished is not lost
        return kept

    def spare(self) -> bool:
        """Whether there are parts that nobody fetches."""
        return self._missing().filter(leases.free()).exists()

    def moved(self) -> int:
        """Bytes that all workers together have stored, as last heard."""
        return int(self._rows().aggregate(total=Sum("stored"))["total"] or 0)

    def note_others(self, watch: Watch) -> None:
        """Tell the watch of the parts before the first missing one, whoever stored them."""
        first = self._missing().values_list("number", flat=True).first() or len(self._plan) + 1
        for number in range(watch.frontier_part, first):
            watch.noted(number, self._plan.part(number).size or 0)

    def _claim_one(self) -> Part | None:
        for pk in self._missing().filter(leases.free()).values_list("pk", flat=True)[:CANDIDATES]:
            row = leases.claim(self._missing(), pk, self._owner)
            if row is not None:
                self._held[row.number] = row
                return self._plan.part(row.number)
        return None

    def _rows(self) -> QuerySet[DownloadPart]:
        return DownloadPart.objects.filter(download_id=self._pk, generation=self._generation)

    def _missing(self) -> QuerySet[DownloadPart]:
        return self._rows().filter(done=False)

    def _let_go(self) -> None:
        """Close the database connection of a thread that is not the task's own: nobody else would."""
        if threading.get_ident() != self._thread:
            connections.close_all()


class Speed:
    """Bytes a second over the last few seconds."""

    WINDOW_SECONDS = 3.0

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []

    def at(self, moved: int) -> int:
        """The speed, now that `moved` bytes are there."""
        now = time.monotonic()
        self._samples = [s for s in self._samples if now - s[0] <= self.WINDOW_SECONDS] + [(now, moved)]
        (began, first), elapsed = self._samples[0], now - self._samples[0][0]
        return max(0, round((moved - first) / elapsed)) if elapsed > 0 and began else 0
