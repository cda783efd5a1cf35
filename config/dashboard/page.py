"""The dashboard's page, and the part of it that the page asks for again while it is looked at."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from config.dashboard import stuck, system, work
from config.dashboard.kinds import KINDS, Kind
from config.metrics import rows
from transfers.admin import audit, wording
from transfers.models import StoredFile

ACTIONS = 8
"""Entries of the audit that are shown."""


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The context of the admin's first page, which the theme asks for."""
    return {**context, **facts(request), "title": "Dashboard"}


def live(request: HttpRequest) -> HttpResponse:
    """What changes on the page."""
    return render(request, "config/dashboard/live.html", facts(request))


def facts(request: HttpRequest) -> dict[str, Any]:
    """All that the page tells this user, who sees of each kind of work what its list would show."""
    kinds = [kind for kind in KINDS if _may_view(request, kind.model)]
    told = {"now": timezone.now(), "system": system.look(), **_of_work(kinds)}
    if _may_view(request, StoredFile):
        told["kept"] = system.kept()
    if _may_view(request, LogEntry):
        told["actions"] = _actions()
    return told


def _of_work(kinds: list[Kind]) -> dict[str, Any]:
    groups = work.groups(kinds, rows.numbers())
    found = stuck.found(kinds)
    return {
        "groups": groups,
        "moving": [row for group in groups for row in group.moving],
        "stuck": found,
        "stuck_count": sum(one.count for one in found),
        "failures": work.failures(kinds),
    }


def _may_view(request: HttpRequest, model: Any) -> bool:
    return bool(admin.site.get_model_admin(model).has_view_permission(request))


def _actions() -> list[dict[str, Any]]:
    entries = LogEntry.objects.select_related("user", "content_type").order_by("-id")[:ACTIONS]
    return [
        {
            "key": entry.pk,
            "when": wording.moment(entry.action_time),
            "user": entry.user,
            "what": audit.told(entry),
            "outcome": audit.outcome_of(entry),
            "variant": audit.LABELS[audit.outcome_of(entry)],
            "row": audit.linked(entry),
        }
        for entry in entries
    ]
