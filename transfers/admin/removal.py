"""Removing rows for good: nothing goes before somebody has read what will, and said yes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin

from transfers import audit
from transfers.admin.outcome import TOLD, Deed, RefusedError, carry_out
from transfers.errors import CarryonError

MOST = 200
"""Rows that may go at once: each has its bytes removed while the browser waits."""
ANSWERED = "post"
"""The field that says yes, as in Django's own question before it deletes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A way to remove rows, and the words that it takes."""

    action: str
    verb: str
    done: str
    plural: str
    consequence: str
    obstacle: Callable[[Any], str | None]
    """Why a row stays, `it is completed`; None when it can go."""
    describe: Callable[[Any], str]
    """What else tells a row from others of its name."""
    act: Callable[[HttpRequest, Any], None]
    """Has the service do it; CarryonError when that refuses."""


def answered(admin: ModelAdmin, request: HttpRequest, rows: QuerySet[Any], removal: Removal) -> TemplateResponse | None:
    """Ask first; once that was answered, do it and tell what became of each."""
    found = list(rows[: MOST + 1])
    going = [row for row in found if removal.obstacle(row) is None]
    if len(found) > MOST:
        admin.message_user(request, f"At most {MOST} {removal.plural} go at once.", messages.WARNING)
    elif going and ANSWERED not in request.POST:
        return _question(admin, request, going, removal)
    else:
        _remove(admin, request, found, removal)
    return None


def _question(admin: ModelAdmin, request: HttpRequest, going: list[Any], removal: Removal) -> TemplateResponse:
    context = {
        **admin.admin_site.each_context(request),
        "title": f"{removal.verb} {removal.plural}",
        "opts": admin.opts,
        "media": admin.media,
        "removal": removal,
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
        "rows": going,
        "named": [(str(row), removal.describe(row)) for row in going[:TOLD]],
        "unnamed": len(going[TOLD:]),
    }
    return TemplateResponse(request, "transfers/admin/removal_question.html", context)


def _remove(admin: ModelAdmin, request: HttpRequest, rows: list[Any], removal: Removal) -> None:
    def act(row: Any) -> None:
        if obstacle := removal.obstacle(row):
            raise RefusedError(f"not {removal.done.lower()}, {obstacle}.", obstacle)
        try:
            removal.act(request, row)
        except CarryonError as error:
            raise RefusedError(f"not {removal.done.lower()}, {error}", error.code) from error

    gone = len(set(request.POST.getlist(ACTION_CHECKBOX_NAME))) - len(rows)
    missing = [f"{gone} of them cannot be found here any more."] if gone > 0 and ANSWERED in request.POST else []
    deed = Deed(label=removal.verb, done=removal.done, plural=removal.plural, act=act, flag=audit.DELETION)
    carry_out(admin, request, rows, deed, missing=missing)
