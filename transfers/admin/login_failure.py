"""Wrong passwords that are remembered, and who is locked out for them; unlocking is forgetting them."""

from __future__ import annotations

from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin
from django.db.models import Max, QuerySet, Sum
from django.http import HttpRequest
from django.urls import URLPattern
from django.utils import timezone
from unfold.decorators import display

from transfers.admin import wording
from transfers.admin.outcome import Deed, carry_out
from transfers.admin.read_only import ReadOnlyAdmin


def name_of(attempt: AccessAttempt) -> str:
    """Who tried, and from where."""
    return f"{attempt.username} from {attempt.ip_address or 'nowhere known'}"


def recent(rows: QuerySet[AccessAttempt]) -> QuerySet[AccessAttempt]:
    """Those that still count."""
    counts: QuerySet[AccessAttempt] = rows.filter(attempt_time__gte=timezone.now() - settings.AXES_COOLOFF_TIME)
    return counts


def _forget(attempt: AccessAttempt) -> None:
    AccessAttempt.objects.filter(username=attempt.username, ip_address=attempt.ip_address).delete()


@admin.register(AccessAttempt)
class LoginFailureAdmin(ReadOnlyAdmin):
    """A row for each user, address and browser; a list without pages, which would show what the browser sent."""

    list_display = ["username", "ip_address", "failures_since_start", "standing", "last"]
    list_display_links = None
    search_fields = ["=username", "=ip_address"]
    search_help_text = "A user's name, or an address."
    show_full_result_count = False
    ordering = ["-attempt_time"]
    actions = ["unlock"]

    def get_urls(self) -> list[URLPattern]:
        """The list, and nothing else."""
        return [pattern for pattern in super().get_urls() if (pattern.name or "").endswith("_changelist")]

    def has_unlock_permission(self, request: HttpRequest) -> bool:
        """Those who may delete the rows may unlock."""
        return request.user.has_perm("axes.delete_accessattempt")

    @admin.action(description="Unlock: forget the wrong passwords", permissions=["unlock"])
    def unlock(self, request: HttpRequest, queryset: QuerySet[AccessAttempt]) -> None:
        """Forget all that was tried for these users from these addresses, with whatever browser."""
        deed = Deed(label="Unlock", done="Unlocked", plural="users", act=_forget, named=name_of, written=name_of)
        carry_out(self, request, queryset, deed)

    @display(description="state", label={"locked out": "danger", "remembered": "warning", "over": "info"})
    def standing(self, attempt: AccessAttempt) -> str:
        """Whether the user may log in from there."""
        same = AccessAttempt.objects.filter(username=attempt.username, ip_address=attempt.ip_address)
        told: dict[str, Any] = recent(same).aggregate(failures=Sum("failures_since_start"), last=Max("attempt_time"))
        if (told["failures"] or 0) >= settings.AXES_FAILURE_LIMIT:
            return "locked out"
        return "remembered" if told["last"] else "over"

    @display(description="last (UTC)", ordering="attempt_time")
    def last(self, attempt: AccessAttempt) -> str:
        """When it was tried last."""
        return wording.moment(attempt.attempt_time)
