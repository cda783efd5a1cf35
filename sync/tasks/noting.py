"""Writing down what is the same on both sides now: in the manifest, and among the stored files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sync import places
from sync.apply import Alike, Gone, Outcome
from sync.models import ManifestEntry
from sync.models.job import Phase
from transfers.services import stored_file as stored_files

if TYPE_CHECKING:
    from sync.models import Case
    from sync.tasks.legs import Leg
    from transfers.engine.tree.base import Entry


def note(leg: Leg, outcomes: Sequence[Outcome]) -> None:
    """Write these down, which are durable; of a first copy nothing, for the manifest is of local folder and cloud."""
    if leg.phase != Phase.SYNCING:
        return
    case = leg.job.case
    alike = [outcome for outcome in outcomes if isinstance(outcome, Alike)]
    gone = [outcome for outcome in outcomes if isinstance(outcome, Gone)]
    ManifestEntry.objects.note(_manifest_entry(leg, outcome) for outcome in alike)
    case.manifest.forget(each.path for each in gone)
    case.manifest.forget_below(each.path for each in gone if each.with_all_below)
    _keep(leg, alike)
    _let_go(case, gone)


def _manifest_entry(leg: Leg, outcome: Alike) -> ManifestEntry:
    local, remote = _local_and_remote(leg, outcome)
    return ManifestEntry(
        case=leg.job.case,
        path=outcome.path.encode(),
        size=outcome.size,
        mtime_ns=local.mtime_ns,
        checksum=outcome.checksum,
        local_version=local.version,
        remote_version=remote.version,
    )


def _keep(leg: Leg, alike: list[Alike]) -> None:
    """Synced files are stored files of the case's owner, in the case's folder."""
    case = leg.job.case
    root = places.local_folder(case)
    files = [
        stored_files.Kept(
            path=root / outcome.path,
            folder=case.folder,
            size=outcome.size,
            modified_ns=_local_and_remote(leg, outcome)[0].mtime_ns,
            digests=outcome.digests,
        )
        for outcome in alike
        if not outcome.path.endswith("/")
    ]
    stored_files.keep(owner_id=case.user_id, files=files)


def _let_go(case: Case, gone: list[Gone]) -> None:
    """What is gone, or was set aside, is stored no longer; under its new name it is, once it is synced."""
    root = places.local_folder(case)
    stored_files.forget(paths=[root / each.path for each in gone if not each.path.endswith("/")])
    stored_files.forget_below(folders=[root / each.path for each in gone if each.with_all_below])


def _local_and_remote(leg: Leg, outcome: Alike) -> tuple[Entry, Entry]:
    pair = (outcome.winner, outcome.loser)
    return pair if leg.job.up else pair[::-1]
