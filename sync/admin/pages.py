"""The long lists that belong to a case or a job: what failed, what is planned, what is stored."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sync.models import Case, Failure, Job
from sync.services import case as cases
from sync.services import job as jobs
from transfers.admin import wording
from transfers.admin.proof import LABELS, Proof
from transfers.admin.tables import Table, code, labelled, number, paths

VARIANTS = {
    "copy": "info",
    "upload": "info",
    "download": "info",
    "conflict": "warning",
    "set_aside": "warning",
    "skip": "warning",
    "delete": "danger",
}
"""The colours of a plan's actions; the others change no file."""


class Plan:
    """What a dry run found to be done: counted, and to be read page by page."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.files: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        for action in jobs.planned(job=job):
            self.files[action["action"]] += 1
            self.bytes[action["action"]] += action["size"]

    def __len__(self) -> int:
        return self.files.total()

    def __getitem__(self, wanted: slice) -> list[dict[str, Any]]:
        return list(islice(jobs.planned(job=self._job), wanted.start, wanted.stop))


def plan(job: Job) -> Table:
    """What a dry run found to be done."""
    found = Plan(job)
    return Table(
        title="Plan",
        heads=("Action", "Path", "Size", "Why"),
        rows=found,
        cells=lambda action: (
            label(action["action"]),
            paths([action["path"]]),
            number(wording.size(action["size"])),
            action["reason"],
        ),
        none="Both sides are the same: nothing would be done.",
        summary=tuple(
            (label(name), f"{count:,} · {wording.size(found.bytes[name])}") for name, count in found.files.most_common()
        ),
    )


def failures(rows: QuerySet[Failure]) -> Table:
    """What could not be brought, and why."""
    return Table(
        title="Could not be brought",
        heads=("Path", "Why", "Code"),
        rows=rows,
        cells=lambda failure: (paths([failure.path]), failure.reason, code(failure.code)),
        none="Nothing failed.",
    )


def files(case: Case) -> Table:
    """The case's files that were synced and are stored here."""
    folder = f"{cases.folder(case=case)}/"
    return Table(
        title="Stored files",
        heads=("Path", "Size", "Checksum", "Stored (UTC)"),
        rows=cases.stored(case=case),
        cells=lambda stored: (
            _stored_link(stored, stored.path.removeprefix(folder)),
            number(wording.size(stored.size)),
            labelled(Proof.of(stored).value, LABELS[Proof.of(stored)]),
            wording.moment(stored.created_at),
        ),
        none="No file of the case was synced yet.",
    )


def label(action: str) -> SafeString:
    """What an action does, as a label."""
    return labelled(action.replace("_", " "), VARIANTS.get(action, "default"))


def _stored_link(stored: Any, text: str) -> SafeString:
    page = reverse("admin:transfers_storedfile_change", args=[stored.pk])
    return format_html('<a href="{}" class="transfer-link"><bdi class="transfer-path">{}</bdi></a>', page, text)
