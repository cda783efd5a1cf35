"""Long lists that belong to a row, as tables of pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
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

ON_A_PAGE = 100
TEMPLATE = "transfers/admin/paged.html"


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
        "back": reverse(f"admin:{admin.opts.app_label}_{admin.opts.model_name}_change", args=[row.pk]),
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
    return format_html_join("", '<bdi class="transfer-path">{}</bdi>', ((name,) for name in names))


def labelled(text: str, variant: str) -> SafeString:
    """Text as one of the theme's labels."""
    return render_to_string("unfold/helpers/label.html", {"type": variant, "text": text})


def number(text: str) -> SafeString:
    """A number, in figures of one width."""
    return format_html('<span class="transfer-number">{}</span>', text)


def code(text: str) -> SafeString:
    """What programs call it."""
    return format_html("<code>{}</code>", text)
