"""The ways that a job's bytes go, one after the other."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sync import places
from sync.apply import Sides
from sync.models.job import Phase
from sync.plan import Action, Direction, Known, copied_over, plan
from transfers.errors import FolderUnusableError

if TYPE_CHECKING:
    from sync.models import Job
    from sync.models.manifest_entry import EntryRow
    from transfers.engine.tree.base import Entry

T = TypeVar("T")


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

    def actions(self, check: Callable[[], None]) -> Iterator[Action]:
        """What is to be done, asked of both sides now; FolderUnusableError where the winning folder is not there.

        `check` raises when it is to end. It is asked for each file that is listed: many may come without any action.
        """
        losers = _checked(self.sides.loser.entries(), check)
        if self.phase == Phase.COPYING:
            self._check_folder(Path(self.job.source), "source folder")
            return plan(_checked(self.sides.winner.entries(), check), losers, (), times_prove=True)
        manifest = (self._known(entry) for entry in _checked(self.job.case.manifest.in_order(), check))
        limited = (places.within_limits(self.job.case, entry) for entry in _checked(self._winners(), check))
        return plan(limited, losers, manifest, delete=self.job.delete_missing)

    def _winners(self) -> Iterator[Entry]:
        case = self.job.case
        if self.job.dry_run and self.job.source:
            source = places.source_tree(case, self.job.source)
            return copied_over(source.entries(), self.sides.winner.entries())
        folder = places.local_folder(case) if self.job.up else places.cloud_folder(case)
        if folder is not None and case.manifest.exists():
            self._check_folder(folder, "own folder" if self.job.up else "folder in the cloud")
        return self.sides.winner.entries()

    @staticmethod
    def _check_folder(folder: Path, words: str) -> None:
        """Refuse to take a folder that is missing for an empty one."""
        if not os.path.isdir(folder):  # noqa: PTH112 - which says no of what cannot be looked at
            raise FolderUnusableError(f"The case's {words} is not there: its disk may not be mounted.")

    def _known(self, entry: EntryRow) -> Known:
        versions = (entry.local_version, entry.remote_version)
        winner, loser = versions if self.job.up else versions[::-1]
        return Known(entry.path.decode(), entry.size, winner, loser, entry.checksum)


def _checked(things: Iterable[T], check: Callable[[], None]) -> Iterator[T]:
    """The same, with a look before each."""
    for thing in things:
        check()
        yield thing


def legs_of(job: Job) -> list[Leg]:
    """The ways that are still to be gone."""
    copying = job.up and job.source and job.case.copied_at is None
    return [*([Leg(job, Phase.COPYING)] if copying else []), Leg(job, Phase.SYNCING)]
