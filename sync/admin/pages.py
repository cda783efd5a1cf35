"""Long lists that belong to a case or a job, as tables of pages: what failed, what is planned, what is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from sync.models import Case, Failure, Job
from sync.services import case as cases
from sync.services import job as jobs
from transfers.admin import wording
from transfers.admin.proof import LABELS, Proof

ON_A_PAGE = 100
TEMPLATE = "sync/admin/paged.html"
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


@dataclass(frozen=True, slots=True)
class Table:
    """Something to page through."""

    title: str
    heads: tuple[str, ...]
    """What the columns are called."""
    rows: Any
    """What Django's paginator takes."""
    cells: Callable[[Any], tuple[object, ...]]
    none: str
    """What is told where there are no rows."""
    summary: tuple[tuple[SafeString, str], ...] = ()
    """What all rows come to: labels, and how much of each."""
    count: str = ""
    """How many rows there are in all, where these are some of them."""
    address: str = ""
    """Where all of them are."""

    def beginning(self, most: int, address: str) -> Table:
        """Its first rows, and where all of them are."""
        count = self.rows.count() if isinstance(self.rows, QuerySet) else len(self.rows)
        return replace(self, rows=list(self.rows[:most]), count=f"{count:,}", address=address)

    def body(self) -> Iterator[list[tuple[str, object]]]:
        """The rows, as columns' heads and cells."""
        for row in self.rows:
            yield list(zip(self.heads, self.cells(row), strict=True))


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
            _number(wording.size(action["size"])),
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
        cells=lambda failure: (paths([failure.path]), failure.reason, _code(failure.code)),
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
            _number(wording.size(stored.size)),
            _labelled(Proof.of(stored).value, LABELS[Proof.of(stored)]),
            wording.moment(stored.created_at),
        ),
        none="No file of the case was synced yet.",
    )


def answer(admin: ModelAdmin, request: HttpRequest, row: Any, table: Table, *, title: str) -> TemplateResponse:
    """A page of the table, with the way back to what it belongs to; a page that does not exist is the nearest one."""
    paginator = Paginator(table.rows, ON_A_PAGE)
    page = paginator.get_page(request.GET.get("page"))
    context = {
        **admin.admin_site.each_context(request),
        "title": title,
        "content_title": title,
        "opts": admin.opts,
        "media": admin.media,
        "table": replace(table, rows=list(page.object_list), count=f"{paginator.count:,}"),
        "page": page,
        "numbers": list(paginator.get_elided_page_range(page.number, on_each_side=2, on_ends=1)),
        "back": reverse(f"admin:sync_{admin.opts.model_name}_change", args=[row.pk]),
    }
    return TemplateResponse(request, TEMPLATE, context)


def found(admin: ModelAdmin, request: HttpRequest, pk: object) -> Any:
    """The row with this id, for those who may look at it; PermissionDenied, or Http404."""
    if not admin.has_view_permission(request):
        raise PermissionDenied
    row = admin.get_object(request, str(pk))
    if row is None:
        raise Http404
    return row


def paths(names: Sequence[str]) -> SafeString:
    """Paths as they are, whatever is in them."""
    return format_html_join("", '<bdi class="sync-path">{}</bdi>', ((name,) for name in names))


def label(action: str) -> SafeString:
    """What an action does, as a label."""
    return _labelled(action.replace("_", " "), VARIANTS.get(action, "default"))


def _labelled(text: str, variant: str) -> SafeString:
    return render_to_string("unfold/helpers/label.html", {"type": variant, "text": text})


def _stored_link(stored: Any, text: str) -> SafeString:
    page = reverse("admin:transfers_storedfile_change", args=[stored.pk])
    return format_html('<a href="{}" class="transfer-link"><bdi class="sync-path">{}</bdi></a>', page, text)


def _number(text: str) -> SafeString:
    return format_html('<span class="transfer-number">{}</span>', text)


def _code(text: str) -> SafeString:
    return format_html("<code>{}</code>", text)
