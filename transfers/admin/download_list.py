"""Download lists: what users have picked and not ordered yet."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.decorators import display

from transfers.admin import order_items, tables, wording
from transfers.admin.read_only import ReadOnlyAdmin
from transfers.models import DownloadList


@admin.register(DownloadList)
class DownloadListAdmin(ReadOnlyAdmin):
    """Every user's list."""

    list_display = ["user", "files", "size", "changed"]
    list_filter = ["updated_at"]
    list_select_related = ["user"]
    list_per_page = 50
    change_form_outer_before_template = "transfers/admin/download_list_report.html"  # type: ignore[assignment]  # the theme has no types
    search_fields = ["user__username"]
    search_help_text = "User."
    show_full_result_count = False
    fieldsets = [("The list", {"fields": [("user", "files"), ("size", "changed")]})]
    readonly_fields = ["files", "size", "changed"]

    class Media:
        """Its own look."""

        css = {"all": ["transfers/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[DownloadList]:
        """All, with their users."""
        rows: QuerySet[DownloadList] = super().get_queryset(request)
        return rows.select_related("user")

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and all files of a list."""
        view = self.admin_site.admin_view(self.items_view)
        return [path("<int:pk>/items/", view, name="transfers_downloadlist_items"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page, with the beginning of the list."""
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)  # None where an unknown id is answered with a redirect
        if context:
            found: DownloadList = context["original"]
            address = reverse("admin:transfers_downloadlist_items", args=[found.pk])
            context["tables"] = [order_items.listed(found).beginning(order_items.SHOWN, address)]
        return response

    def items_view(self, request: HttpRequest, pk: int) -> TemplateResponse:
        """All files, a page at a time."""
        found = tables.found(self, request, pk)
        return tables.answer(self, request, found, order_items.listed(found), title=f"List of {found.user}")

    @display(description="files", ordering="files_count")
    def files(self, found: DownloadList) -> str:
        """How many are on it."""
        return tables.number(f"{found.files_count:,}")

    @display(description="size", ordering="total_bytes")
    def size(self, found: DownloadList) -> str:
        """Of its files."""
        return tables.number(wording.size(found.total_bytes))

    @display(description="changed (UTC)", ordering="updated_at")
    def changed(self, found: DownloadList) -> str:
        """When something was last put on it or taken off."""
        return wording.moment(found.updated_at)
