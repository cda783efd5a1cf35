"""Series: numbers that clients know, and names that people do."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display

from tasks_api.models import Series
from transfers.admin import wording


@admin.register(Series)
class SeriesAdmin(ModelAdmin):
    """Every series that a client has used; only its name is anybody's to write."""

    list_display = ["id", "name_shown", "sources_shown", "created"]
    list_per_page = 50
    search_fields = ["name", "=id"]
    search_help_text = "Name or number."
    show_full_result_count = False
    fields = ["id", "name", "sources_shown", "created"]
    readonly_fields = ["id", "sources_shown", "created"]

    class Media:
        """Its own look."""

        css = {"all": ["transfers/admin.css", "tasks_api/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Series]:
        """All, with their sources counted."""
        rows: QuerySet[Series] = super().get_queryset(request)
        return rows.annotate(source_count=Count("sources"))

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        """A series is made when a client first uses its number."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        """Series are kept."""
        return False

    @display(description="name", ordering="name")
    def name_shown(self, series: Series) -> str:
        """What people call it."""
        return series.name or wording.NOTHING

    @display(description="sources", ordering="source_count")
    def sources_shown(self, series: Any) -> str:
        """How many it has, and the way to them."""
        page = f"{reverse('admin:tasks_api_source_changelist')}?series__id__exact={series.pk}"
        return format_html('<a href="{}" class="transfer-link">{}</a>', page, series.source_count)

    @display(description="first used (UTC)", ordering="created_at")
    def created(self, series: Series) -> str:
        """When a client first used it."""
        return wording.moment(series.created_at)
