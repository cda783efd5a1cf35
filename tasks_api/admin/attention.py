"""What needs somebody, in one place: who waits for whose private block, and tasks that nobody reports on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

from django.conf import settings
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from tasks_api.admin.standing import link, rendered, since
from tasks_api.models import DownloadTask, PrivateUpload, PublicUpload, Task
from tasks_api.models.task import TaskQuerySet
from tasks_api.services import attention
from transfers.admin import wording

PARAMETER = "attention"
WAITING, STUCK = "waiting", "stuck"
SINCE = {WAITING: "waiting_since", STUCK: "updated_at"}
"""The column that tells since when there is the need."""
SHOWN = 20
"""Rows of each table; the list that it leads to has them all."""


def minutes() -> int:
    """For how long a task at work may tell nothing new."""
    told: int = settings.ENVIRONMENT.stuck_task_minutes
    return told


def condition(kind: type[Task], need: str) -> Q:
    """The rows of the kind with this need."""
    return attention.WAITING if need == WAITING else attention.stuck(kind, minutes=minutes())


class AttentionFilter(admin.SimpleListFilter):
    """The tasks that need somebody; the longest need comes first."""

    title = "need"
    parameter_name = PARAMETER

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's
        """What a task of this kind may need."""
        waiting = [(WAITING, "Waits for a private block")] if model_admin.model is DownloadTask else []
        return [*waiting, (STUCK, f"Nothing new for {wording.span(minutes() * 60)}")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's
        """Those, or all."""
        chosen = self.value()
        known = [need for need, _ in self.lookup_choices]
        return queryset.filter(condition(queryset.model, chosen)) if chosen in known else queryset


@dataclass(frozen=True)
class Need:
    """A table of what needs somebody."""

    title: str
    none: str
    kind: type[Task]
    need: str

    @property
    def address(self) -> str:
        """The list of all of them."""
        page = reverse(f"admin:tasks_api_{self.kind._meta.model_name}_changelist")
        return f"{page}?{PARAMETER}={self.need}"

    @property
    def heads(self) -> list[str]:
        """What the columns are called."""
        if self.need == WAITING:
            return ["File", "Downloader", "Waits for", "Since (UTC)", "Private block"]
        return ["File", "User", "State", "Progress", "Since (UTC)"]

    @property
    def count(self) -> int:
        """How many there are."""
        return self._rows().count()

    def cells(self) -> list[list[Any]]:
        """The first rows, the longest need first."""
        related = {"user", "source__owner", "source__private_upload"} if self.need == WAITING else {"user", "source"}
        rows = self._rows().in_full().select_related(*related).order_by(SINCE[self.need], "pk")[:SHOWN]
        return [list(zip(self.heads, self._row(task), strict=True)) for task in rows]

    def _rows(self) -> TaskQuerySet:
        return cast("TaskQuerySet", self.kind._default_manager.filter(condition(self.kind, self.need)))

    def _row(self, task: Task) -> list[Any]:
        file, moment = link(task, task.source), since(getattr(task, SINCE[self.need]))
        if self.need == WAITING:
            private = getattr(task.source, "private_upload", None)
            return [file, task.user, task.source.owner, moment, rendered("state", private)]
        return [file, task.user, rendered("state", task), rendered("progress", task), moment]


def needs(kinds: Collection[type[Task]]) -> list[Need]:
    """The tables about these kinds of tasks."""
    still = f"for {wording.span(minutes() * 60)}"
    tables = [
        Need("Waiting for private blocks", "Nobody waits for a private block.", DownloadTask, WAITING),
        *(
            Need(f"{name} without news {still}", "None.", kind, STUCK)
            for name, kind in (
                ("Public uploads", PublicUpload),
                ("Private uploads", PrivateUpload),
                ("Downloads", DownloadTask),
            )
        ),
    ]
    return [table for table in tables if table.kind in kinds]
