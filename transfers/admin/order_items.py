"""The files of orders and lists as tables: any page of 100,000 takes a few queries."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from transfers.admin import wording
from transfers.admin.tables import Table, code, labelled, number, paths
from transfers.models import DownloadList, ListItem, Order, OrderItem, StoredFile

SHOWN = 20
"""Rows that a page shows of a long list; pages of their own have them all."""


class _Items:
    """An order's items, found by their numbers, which have no gaps: the last page costs what the first does."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def __len__(self) -> int:
        return self._order.files_count

    def __getitem__(self, wanted: slice) -> list[OrderItem]:
        rows = self._order.items.filter(number__gte=wanted.start or 0, number__lt=wanted.stop)
        return list(rows.order_by("number"))


class _Listed:
    """What is on a list, with what is known of the files; those that are gone are known by their numbers."""

    def __init__(self, download_list: DownloadList) -> None:
        self._list = download_list

    def __len__(self) -> int:
        return self._list.files_count

    def __getitem__(self, wanted: slice) -> list[tuple[ListItem, StoredFile | None]]:
        items = list(self._list.items.order_by("id")[wanted])
        files = StoredFile.objects.kept().in_bulk([item.file_id for item in items])
        return [(item, files.get(item.file_id)) for item in items]


def items(order: Order) -> Table:
    """All files of the order, and what became of them."""
    return Table(
        title="Files",
        heads=("Path", "Size", "State", "Why"),
        rows=_Items(order),
        cells=lambda item: (
            paths([item.entry_name]),
            number(wording.size(item.size)),
            _outcome(item),
            item.failure_message or wording.NOTHING,
        ),
        none="The order has no files.",
    )


def failures(order: Order) -> Table:
    """The files of the order that are not in its zip."""
    return Table(
        title="Not in the zip",
        heads=("Path", "Why", "Code"),
        rows=order.items.failed().order_by("number"),
        cells=lambda item: (paths([item.entry_name]), item.failure_message, code(item.failure_code)),
        none="Nothing failed.",
    )


def failed(order: Order) -> list[Table]:
    """The beginning of the failures, if there are any."""
    address = reverse("admin:transfers_order_failures", args=[order.pk])
    found = failures(order).beginning(SHOWN, address)
    return [found] if found.rows else []


def listed(download_list: DownloadList) -> Table:
    """All files on the list."""
    return Table(
        title="On the list",
        heads=("Path", "Size", "Folder"),
        rows=_Listed(download_list),
        cells=_listed_cells,
        none="Nothing is on the list.",
    )


def _listed_cells(row: Any) -> tuple[object, ...]:
    item, file = row
    size = number(wording.size(item.size))
    if file is None:
        return (f"file {item.file_id}, deleted since", size, wording.NOTHING)
    folder = paths([file.folder]) if file.folder else wording.NOTHING
    return (_link(file), size, folder)


def _outcome(item: OrderItem) -> SafeString:
    if item.failure_code:
        return labelled(item.failure_code, "danger")
    return labelled("deflated" if item.is_deflated else "stored", "default")


def _link(file: StoredFile) -> SafeString:
    page = reverse("admin:transfers_storedfile_change", args=[file.pk])
    return format_html('<a href="{}" class="transfer-link"><bdi class="transfer-path">{}</bdi></a>', page, file.name)
