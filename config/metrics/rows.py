"""What the database knows of the service's work: how much of it stands where, who is at it, how long it waits.

Any model with a `state` or a `status` is work that has states; any that can be leased can be at work; any with a
`next_attempt_at` can wait. So a new kind of work is counted by being there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from django.apps import apps
from django.db import models
from django.db.models import Count, F
from django.db.models.functions import Now
from django.utils.text import slugify

from transfers import leases
from transfers.models import StoredFile

RUNNING = "running"
QUEUED = "queued"
_APPS = ("transfers", "tasks_api", "sync")


@dataclass(frozen=True, slots=True)
class RowNumbers:
    """What the rows tell; kinds are models, as in `transfers.download`."""

    by_state: dict[tuple[str, str], int]
    leases: dict[str, int]
    oldest_due_seconds: dict[str, float]
    """How long the oldest work has waited that could be done now; 0 when none does."""


def numbers() -> RowNumbers:
    """Ask the database; each question is answered from an index, or from the rows that are at work."""
    kinds = list(_kinds())
    return RowNumbers(
        by_state={(kind(model), state): count for model in kinds for state, count in _by_state(model).items()},
        leases={kind(model): _leased(model).count() for model in kinds if issubclass(model, leases.LeasedRow)},
        oldest_due_seconds={kind(model): _oldest_due(model) for model in kinds if _waits(model)},
    )


def kind(model: type[models.Model]) -> str:
    """What its work is called."""
    return str(model._meta.label_lower)


def state_column(model: type[models.Model]) -> str | None:
    """The column that tells where its work stands; None where it has no states."""
    return next((name for name in ("state", "status") if _has(model, name)), None)


def states(model: type[models.Model]) -> list[tuple[Any, str]]:
    """Every value of that column, with its word in `by_state`."""
    field = cast("models.Field[Any, Any]", model._meta.get_field(state_column(model) or ""))
    choices = cast("Sequence[tuple[Any, str]]", field.flatchoices)
    return [(value, _state(value, label)) for value, label in choices]


def _kinds() -> Iterator[type[models.Model]]:
    for name in _APPS:
        yield from apps.get_app_config(name).get_models()


def _has(model: type[models.Model], name: str) -> bool:
    return any(field.name == name for field in model._meta.get_fields())


def _waits(model: type[models.Model]) -> bool:
    return issubclass(model, leases.LeasedRow) and _has(model, "next_attempt_at") and _has(model, "state")


def _by_state(model: type[models.Model]) -> dict[str, int]:
    """How many rows are in each state, also in those that none is in; nothing for what has no states."""
    name = state_column(model)
    if name is None:
        return {}
    counted = model._default_manager.order_by().values_list(name).annotate(how_many=Count("*"))  # an index has it all
    found = dict(cast("Any", counted))
    return {word: found.get(value, 0) for value, word in states(model)}


def _state(value: object, label: str) -> str:
    """The state's own word; where it is a number, its label as a word."""
    return value if isinstance(value, str) else slugify(label).replace("-", "_")


def _leased(model: type[models.Model]) -> models.QuerySet[Any]:
    """The rows that somebody holds now, looked for only where they can be."""
    rows: models.QuerySet[Any] = model._default_manager.all()
    if _has(model, "state"):
        rows = rows.filter(state=RUNNING)
    elif model is StoredFile:
        rows = StoredFile.objects.unhashed()
    return rows.filter(lease_expires_at__gt=Now()).exclude(lease_owner="")  # nobody has what was only put off


def _oldest_due(model: type[models.Model]) -> float:
    rows: models.QuerySet[Any] = model._default_manager.filter(
        leases.free(), state__in=(QUEUED, RUNNING), next_attempt_at__lte=Now()
    )
    waited: timedelta | None = (
        rows.order_by("next_attempt_at").values_list(Now() - F("next_attempt_at"), flat=True).first()
    )
    return max(0.0, waited.total_seconds()) if waited else 0.0
