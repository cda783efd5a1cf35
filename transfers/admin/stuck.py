"""The filter of lists by what needs somebody to look at it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from transfers.services.attention import Rule, any_of

PARAMETER = "stuck"
ANY = "any"


class StuckFilter(admin.SimpleListFilter):
    """The rows that one of the rules is about; `rules` says which there are for them."""

    title = "stuck"
    parameter_name = PARAMETER
    rules: tuple[Rule, ...] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's
        """Every rule, and all together."""
        return [(ANY, "For any reason"), *((rule.name, rule.label) for rule in self.rules)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's
        """Those, or all."""
        chosen = self.value()
        if chosen == ANY:
            return queryset.filter(any_of(self.rules))
        where = next((rule.where for rule in self.rules if rule.name == chosen), None)
        return queryset if where is None else queryset.filter(where)


def filter_by(rules: tuple[Rule, ...]) -> type[StuckFilter]:
    """The filter by these rules."""
    return type("StuckFilter", (StuckFilter,), {"rules": rules})
