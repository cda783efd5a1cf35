"""The way from the head of a list to the rows of each state."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.views.main import PAGE_VAR
from django.db.models import Count, TextChoices


def links(changelist: Any, states: type[TextChoices]) -> list[dict[str, Any]]:
    """Each state with its number of rows and the list's address narrowed to it."""
    counts = dict(changelist.model.objects.order_by().values_list("state").annotate(Count("pk")))
    chosen = changelist.params.get("state__exact", "")
    choices = [("", "All", sum(counts.values()))]
    choices += [(state.value, state.label, counts.get(state.value, 0)) for state in states]
    return [
        {
            "label": label,
            "count": count,
            "chosen": value == chosen,
            "address": changelist.get_query_string({"state__exact": value or None}, remove=[PAGE_VAR]),
        }
        for value, label, count in choices
    ]
