"""The audit: what operators had done, by the admin, the API or the command line; nobody changes or removes it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.decorators import display

from transfers import audit
from transfers.admin import wording
from transfers.admin.read_only import ReadOnlyAdmin

LABELS = {"done": "success", "refused": "warning"}
_REFUSED = Q(change_message__startswith=audit.REFUSED)


class OutcomeFilter(admin.SimpleListFilter):
    """What came of it."""

    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's
        """Either."""
        return [(name, name.capitalize()) for name in LABELS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LogEntry]) -> QuerySet[LogEntry]:  # noqa: ARG002 - Django's
        """Those, or all."""
        return queryset.filter({"done": ~_REFUSED, "refused": _REFUSED}.get(self.value() or "", Q()))


class KindFilter(admin.RelatedOnlyFieldListFilter):
    """By what it was done with."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.title = "kind"


@admin.register(LogEntry)
class AuditAdmin(ReadOnlyAdmin):
    """Every entry; nobody changes one."""

    list_display = ["when", "user", "what", "outcome", "kind", "row"]
    list_display_links = ["when"]
    list_filter = [
        *(("user", admin.RelatedOnlyFieldListFilter), ("content_type", KindFilter)),
        *(OutcomeFilter, "action_time"),
    ]
    list_select_related = ["user", "content_type"]
    list_per_page = 50
    search_fields = ["object_repr", "change_message", "user__username", "=object_id"]
    search_help_text = "Words of it, what it was done with, user, or the whole id of what it was done with."
    show_full_result_count = False
    ordering = ["-id"]  # by its index, and as good as by time
    fieldsets = [
        (None, {"fields": [("when", "user"), ("what", "outcome"), ("kind", "row")]}),
    ]
    readonly_fields = ["when", "what", "outcome", "kind", "row"]

    class Media:
        """Its own look."""

        css = {"all": ["transfers/admin.css"]}

    @display(description="when (UTC)", ordering="id")
    def when(self, entry: LogEntry) -> str:
        """When it was done."""
        return wording.moment(entry.action_time)

    @display(description="what was done")
    def what(self, entry: LogEntry) -> str:
        """In words."""
        return format_html('<bdi class="transfer-file">{}</bdi>', told(entry))

    @display(description="outcome", label=LABELS)
    def outcome(self, entry: LogEntry) -> str:
        """Whether it was done."""
        return outcome_of(entry)

    @display(description="kind", ordering="content_type")
    def kind(self, entry: LogEntry) -> str:
        """What it was done with."""
        return entry.content_type.name if entry.content_type else wording.NOTHING

    @display(description="done with")
    def row(self, entry: LogEntry) -> str:
        """The way to it; its name alone, where it is gone or has no page."""
        return linked(entry)


def told(entry: LogEntry) -> str:
    """What was done, or was to be."""
    words: str = entry.get_change_message()
    if words:
        return words.removeprefix(audit.REFUSED)
    return {audit.ADDITION: "Added.", audit.DELETION: "Deleted."}.get(entry.action_flag, "Changed.")


def outcome_of(entry: LogEntry) -> str:
    """`done` or `refused`."""
    return "refused" if entry.change_message.startswith(audit.REFUSED) else "done"


def linked(entry: LogEntry) -> str:
    """What it was done with, as a link to its page where it may have one."""
    address = None if entry.action_flag == audit.DELETION else entry.get_admin_url()
    if not (address and entry.object_id):
        return format_html('<bdi class="transfer-path">{}</bdi>', entry.object_repr)
    return format_html(
        '<a href="{}" class="transfer-link"><bdi class="transfer-path">{}</bdi></a>', address, entry.object_repr
    )
