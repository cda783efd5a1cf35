"""The ways that a job's bytes go, one after the other."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sync import places
from sync.apply import Sides
from sync.models.job import Phase
from sync.plan import Action, Direction, Known, plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sync.models import Job, ManifestEntry
    from transfers.engine.tree.base import Entry


@dataclass(frozen=True)
class Leg:
    """One way: from a winning to a losing tree."""

    job: Job
    phase: Phase

    @property
    def direction(self) -> Direction:
        """What its transfers are called."""
        if self.phase == Phase.COPYING:
            return Direction.COPY
        return Direction.UP if self.job.up else Direction.DOWN

    @functools.cached_property
    def sides(self) -> Sides:
        """Its trees, the same for the plan and all who apply it: what one has found out of a file the others know."""
        case = self.job.case
        local = places.local_tree(case)
        if self.phase == Phase.COPYING:
            return Sides(places.source_tree(case, self.job.source), local)
        cloud = places.cloud_tree(case)
        return Sides(local, cloud) if self.job.up else Sides(cloud, local)

    def actions(self) -> Iterator[Action]:
        """What is to be done, asked of both sides now."""
        sides = self.sides
        if self.phase == Phase.COPYING:
            return plan(sides.winner.entries(), sides.loser.entries(), (), times_prove=True)
        winner: Iterable[Entry] = sides.winner.entries()
        if self.job.dry_run and self.job.source:
            winner = places.source_tree(self.job.case, self.job.source).entries()  # what a copy would have put there
        manifest = (self._known(entry) for entry in self.job.case.manifest.in_order())
        limited = (places.within_limits(self.job.case, entry) for entry in winner)
        return plan(limited, sides.loser.entries(), manifest, delete=self.job.delete_missing)

    def _known(self, entry: ManifestEntry) -> Known:
        versions = (entry.local_version, entry.remote_version)
        winner, loser = versions if self.job.up else versions[::-1]
        return Known(entry.name, entry.size, winner, loser, entry.checksum)


def legs_of(job: Job) -> list[Leg]:
    """The ways that are still to be gone."""
    copying = job.up and job.source and job.case.copied_at is None
    return [*([Leg(job, Phase.COPYING)] if copying else []), Leg(job, Phase.SYNCING)]
