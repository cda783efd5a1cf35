"""What is stuck, and why: rows that a rule is about, in words that say what is waited for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Case, CharField, OuterRef, Q, Subquery, Value, When
from django.utils import timezone

from config.dashboard.kinds import Kind
from config.dashboard.work import Row
from tasks_api.admin import attention as tasks
from tasks_api.models import DownloadTask, Task
from transfers.admin import stuck, wording
from transfers.models import Download, DownloadAttempt, Upload
from transfers.services.attention import COMPLETING, IDLE, LOST, RETRY, STILL, UNTAKEN, VAIN, any_of

SHOWN = 5
"""Rows of each kind; the list that it leads to has them all."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A row, and why it is here."""

    row: Row
    why: str


@dataclass(frozen=True, slots=True)
class Stuck:
    """What is stuck of a kind."""

    title: str
    count: int
    address: str
    reasons: list[Reason]


def found(kinds: Collection[Kind]) -> list[Stuck]:
    """What is stuck, by kind; kinds of which nothing is are left out."""
    told = [one for kind in kinds for one in (_of_task(kind) if issubclass(kind.model, Task) else [_of_work(kind)])]
    return [one for one in told if one.count]


def _of_work(kind: Kind) -> Stuck:
    """The longest wait comes first."""
    rule = Case(
        *(When(rule.where, then=Value(rule.name)) for rule in kind.rules), default=Value(""), output_field=CharField()
    )
    rows = kind.rows().filter(any_of(kind.rules)).annotate(rule=rule)
    if kind.model is Download:
        attempts = DownloadAttempt.objects.filter(download=OuterRef("pk")).order_by("-id")
        rows = rows.annotate(last_code=Subquery(attempts.exclude(error_code="").values("error_code")[:1]))
    rows = rows.order_by(kind.newest.removeprefix("-"), "pk")
    return _told(kind, kind.title, f"{stuck.PARAMETER}={stuck.ANY}", rows, _why)


def _of_task(kind: Kind) -> list[Stuck]:
    needs = [tasks.WAITING, tasks.STUCK] if kind.model is DownloadTask else [tasks.STUCK]
    return [_of_need(kind, need) for need in needs]


def _of_need(kind: Kind, need: str) -> Stuck:
    condition: Q = tasks.condition(kind.model, need)  # type: ignore[arg-type]  # its kinds are tasks alone
    rows = kind.rows().filter(condition).select_related("source__owner")
    title = f"{kind.title} that wait for a private block" if need == tasks.WAITING else kind.title
    why = _why_waiting if need == tasks.WAITING else _why_silent
    return _told(kind, title, f"{tasks.PARAMETER}={need}", rows.order_by(tasks.SINCE[need], "pk"), why)


def _told(kind: Kind, title: str, query: str, rows: Any, why: Callable[[Any], str]) -> Stuck:
    shown = list(rows[: SHOWN + 1])
    count = rows.count() if len(shown) > SHOWN else len(shown)
    reasons = [Reason(Row.of(kind, row), why(row)) for row in shown[:SHOWN]]
    return Stuck(title, count, f"{kind.address}?{query}", reasons)


def _why(row: Any) -> str:
    return _WORDS[row.rule](row)


def _why_waiting(row: DownloadTask) -> str:
    return f"Waits for {row.source.owner} to upload the private block, for {_since(row.waiting_since)}."


def _why_silent(row: Task) -> str:
    return f"Its client has told nothing new for {_since(row.updated_at)}."


def _retry(row: Any) -> str:
    return f"Waits for another try in {_until(row.next_attempt_at)}{_after(row)}."


def _vain(row: Any) -> str:
    return f"Is tried in vain{_after(row)}."


def _after(row: Any) -> str:
    code = getattr(row, "last_code", None)
    times = f"{row.fruitless_attempts} so far in vain"
    return f", after {code} ({times})" if code else f" ({times})"


def _idle(row: Upload) -> str:
    left = "" if row.expires_at is None else f"; it is removed in {_until(row.expires_at)}"
    return f"Nothing was sent for {_since(row.touched_at)}{left}."


def _still(row: Any) -> str:
    began = row.stream_began_at if isinstance(row, Download) else row.started_at
    return f"Nothing moves at present; it began {_since(began)} ago."


_WORDS: Mapping[str, Callable[[Any], str]] = {
    LOST.name: lambda row: f"Its worker is gone: its lease ended {_since(row.lease_expires_at)} ago.",
    UNTAKEN.name: lambda row: f"No worker has taken it for {_since(row.next_attempt_at)}.",
    RETRY.name: _retry,
    VAIN.name: _vain,
    STILL.name: _still,
    IDLE.name: _idle,
    COMPLETING.name: lambda row: f"It is not put together after {_since(row.touched_at)}.",
    "": lambda _: "It has just gone on.",
}


def _since(moment: datetime | None) -> str:
    return wording.span(None if moment is None else max(0.0, (timezone.now() - moment).total_seconds()))


def _until(moment: datetime) -> str:
    return wording.span(max(0.0, (moment - timezone.now()).total_seconds()))
