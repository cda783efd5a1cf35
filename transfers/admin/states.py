"""The way from the head of a list to the rows of each state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin.views.main import PAGE_VAR
from django.db.models import Count

TEMPLATE = "transfers/admin/states.html"
"""What shows them, as `states`, before a list."""


def links(changelist: Any, states: Iterable[tuple[object, str]], *, field: str = "state") -> list[dict[str, Any]]:
    """Each value of the field, named so, with its number of rows and the list's address narrowed to it."""
    counts = dict(changelist.model.objects.order_by().values_list(field).annotate(Count("pk")))
    parameter = f"{field}__exact"
    chosen = changelist.params.get(parameter, "")
    choices: list[tuple[object, str, int]] = [("", "All", sum(counts.values()))]
    choices += [(value, label, counts.get(value, 0)) for value, label in states]
    return [
        {
            "label": label,
            "count": count,
            "chosen": str(value) == chosen,
            "address": changelist.get_query_string({parameter: None if value == "" else value}, remove=[PAGE_VAR]),
        }
        for value, label, count in choices
    ]
