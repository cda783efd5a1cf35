"""The one way in which operators have something done with rows: tried on each, written down, and told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from transfers import audit
from transfers.errors import CarryonError

TOLD = 10
"""Rows of one action that are told of one by one; more are counted."""


class RefusedError(Exception):
    """It was not done; the text says why to who asked."""

    def __init__(self, told: str, why: str = "") -> None:
        """`why` is what is written down of it: an error's code, or the words themselves, which then name nobody."""
        super().__init__(told)
        self.why = why or told


def nothing(row: Any) -> None:
    """What there is to do before most deeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that is to be done with each of several rows."""

    label: str
    """What it is called, as `Stop`."""
    done: str
    """The past tense of it."""
    plural: str
    """What the rows are called."""
    act: Callable[[Any], str | None]
    """Has the service do it; gives what is to be written down besides. RefusedError, or CarryonError, if it is not."""
    before: Callable[[Any], object] = nothing
    """What has to wait for a disk or a store, and so comes before the transaction that `act` is in."""
    named: Callable[[Any], str] = str
    written: Callable[[Any], str] = str
    """What it is called where that is written down, for good."""
    flag: int = audit.CHANGE


def carry_out(
    admin: ModelAdmin, request: HttpRequest, rows: Iterable[Any], deed: Deed, *, missing: Sequence[str] = ()
) -> None:
    """Try it on each, write down who did what, and tell what became of each, and which are `missing`."""
    done, refused = [], []
    for row in rows:
        refusal = _attempted(request, row, deed)
        if refusal is None:
            done.append(deed.named(row))
        else:
            refused.append(f"{deed.named(row)}: {refusal}")
    _tell(admin, request, deed, done=done, refused=[*refused, *missing])


def _attempted(request: HttpRequest, row: Any, deed: Deed) -> str | None:
    """Do it and write it down, or write down that it was refused; the refusal, if there was one."""
    try:
        deed.before(row)
        with transaction.atomic():
            key, named = str(row.pk), deed.written(row)
            more = deed.act(row)
            what = f"{deed.done}. {more}" if more else f"{deed.done}."
            audit.record(by=request.user, row=row, what=what, flag=deed.flag, key=key, named=named)
    except (RefusedError, CarryonError) as error:
        why = error.why if isinstance(error, RefusedError) else error.code
        audit.refused(by=request.user, row=row, what=deed.label, why=why)
        return str(error)
    return None


def _tell(admin: ModelAdmin, request: HttpRequest, deed: Deed, *, done: Sequence[str], refused: Sequence[str]) -> None:
    if done:
        named = ", ".join(done) if len(done) <= TOLD else f"{len(done)} {deed.plural}"
        admin.message_user(request, f"{deed.done}: {named}.", messages.SUCCESS)
    for told in refused[:TOLD]:
        admin.message_user(request, told, messages.WARNING)
    if rest := refused[TOLD:]:
        admin.message_user(request, f"And {len(rest)} more could not be acted upon.", messages.WARNING)
