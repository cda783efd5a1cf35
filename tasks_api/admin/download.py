"""Downloads that clients carry out, and what needs somebody."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from unfold.decorators import display

from tasks_api.admin import attention
from tasks_api.admin.attention import AttentionFilter
from tasks_api.admin.standing import link, rendered
from tasks_api.admin.task import TaskAdmin
from tasks_api.models import DownloadTask, PrivateUpload, PublicUpload, UploadTask
from tasks_api.models.download import DownloadTaskQuerySet, is_granted
from transfers.admin import wording


class GrantFilter(admin.SimpleListFilter):
    """By whether its user may download the source at present."""

    title = "grant"
    parameter_name = "grant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's
        """Either way."""
        return [("granted", "Granted"), ("revoked", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's
        """Those, or all."""
        conditions = {"granted": is_granted(), "revoked": ~is_granted()}
        return queryset.filter(conditions.get(self.value() or "", Q()))


@admin.register(DownloadTask)
class DownloadTaskAdmin(TaskAdmin):
    """Who downloads which source, how far that is, and whose private block it needs."""

    list_display = ["source_file", "user", "owner", "state_shown", "progress", "private_block", "changed"]
    list_filter = [
        AttentionFilter,
        ("user", admin.RelatedOnlyFieldListFilter),
        ("source__owner", admin.RelatedOnlyFieldListFilter),
        *(GrantFilter, "updated_at", "created_at"),
    ]
    search_fields = [
        *("source__uuid", "source__name", "source__public_upload__hash", "source__private_upload__hash"),
        *("user__username", "source__owner__username", "series__name", "=series__id", "=id"),
    ]
    search_help_text = "UUID, name, hash, user, owner, series or id."
    fieldsets = [
        ("The source", {"fields": [("source_link", "series_link"), ("owner", "uuid")]}),
        ("The download", {"fields": ["user", ("public_link", "private_link"), ("begun", "changed")]}),
    ]
    readonly_fields = ["source_link", "series_link", "owner", "uuid", "public_link", "private_link", "begun", "changed"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DownloadTask]:
        """All, with what is shown of their sources."""
        rows = cast("DownloadTaskQuerySet", super().get_queryset(request))
        return rows.in_full().select_related("user", "series", "source__owner")

    @display(description="private block")
    def private_block(self, task: DownloadTask) -> str:
        """How far its owner is with it."""
        return rendered("state", getattr(task.source, "private_upload", None))

    @display(description="public block")
    def public_link(self, task: DownloadTask) -> str:
        """The way to its upload."""
        return _block(getattr(task.source, "public_upload", None))

    @display(description="private block")
    def private_link(self, task: DownloadTask) -> str:
        """The way to its upload."""
        return _block(getattr(task.source, "private_upload", None))

    # What needs somebody -----------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and the report on what needs somebody."""
        view = self.admin_site.admin_view(self.attention_view)
        return [path("attention/", view, name="tasks_api_attention"), *super().get_urls()]

    def attention_view(self, request: HttpRequest) -> TemplateResponse:
        """Who waits for whose private block and since when, and which tasks nobody reports on."""
        kinds = [
            kind
            for kind in (PublicUpload, PrivateUpload, DownloadTask)
            if self.admin_site.get_model_admin(kind).has_view_permission(request)
        ]
        if not kinds:
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Needs attention",
            "content_title": "Needs attention",
            "media": self.media,
            "needs": attention.needs(kinds),
        }
        return TemplateResponse(request, "tasks_api/admin/attention.html", context)


def _block(upload: UploadTask | None) -> str:
    if upload is None:
        return wording.NOTHING
    return format_html("{} {}", link(upload, upload.name or "its upload"), rendered("state", upload))
