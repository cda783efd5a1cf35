"""Sources: whose they are, how far their blocks are, who may download them and who does."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, IntegerField, Model, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display

from tasks_api.admin import grants
from tasks_api.admin.standing import Standing, code, link, rendered, since
from tasks_api.admin.upload import ask_address
from tasks_api.models import DownloadTask, Grant, Source, Status, UploadTask
from transfers.admin import wording
from transfers.admin.read_only import ReadOnlyAdmin

DOWNLOADS = 10
"""Downloads that the page names; the list that it leads to has them all."""


class _BlockFilter(admin.SimpleListFilter):
    """The sources whose block of one kind stands so."""

    relation: str

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's
        """Every way it can stand."""
        return [
            ("none", "None yet"),
            ("underway", "Not completed"),
            ("completed", "Completed"),
            ("failed", "Failed"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Source]) -> QuerySet[Source]:  # noqa: ARG002 - Django's
        """Those, or all."""
        status = f"{self.relation}__status"
        conditions = {
            "none": Q(**{self.relation: None}),
            "underway": Q(**{f"{status}__lt": Status.COMPLETED}),
            "completed": Q(**{status: Status.COMPLETED}),
            "failed": Q(**{status: Status.FAILED}),
        }
        return queryset.filter(conditions.get(self.value() or "", Q()))


class PublicFilter(_BlockFilter):
    """By the public block."""

    title = "public block"
    parameter_name = relation = "public_upload"


class PrivateFilter(_BlockFilter):
    """By the private block."""

    title = "private block"
    parameter_name = relation = "private_upload"


class GrantedToFilter(admin.RelatedOnlyFieldListFilter):
    """By who has a grant."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.title = "grant"


@admin.register(Source)
class SourceAdmin(ReadOnlyAdmin):
    """Every source; all that is anybody's to change are its grants."""

    actions = ["grant", "revoke"]
    inlines = [grants.GrantInline]
    list_display = ["file", "owner", "public_block", "private_block", "grants_shown", "downloads_shown", "created"]
    list_filter = [
        *(PublicFilter, PrivateFilter, ("owner", admin.RelatedOnlyFieldListFilter)),
        *(("grants__user", GrantedToFilter), "created_at"),
    ]
    list_per_page = 50
    change_form_outer_before_template = "tasks_api/admin/source_report.html"  # type: ignore[assignment]  # the theme has no types
    search_fields = [
        *("name", "uuid", "owner__username", "public_upload__hash", "private_upload__hash"),
        *("series__name", "=series__id", "=id"),
    ]
    search_help_text = "Name, UUID, hash, owner, series or id."
    show_full_result_count = False
    fieldsets = [("The source", {"fields": ["whole_name", ("series_link", "owner"), ("uuid_code", "id"), "created"]})]
    readonly_fields = ["whole_name", "owner", "series_link", "uuid_code", "id", "created"]

    class Media:
        """Its own look."""

        css = {"all": ["transfers/admin.css", "tasks_api/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Source]:
        """All, with their blocks, and with what hangs on them counted."""
        rows: QuerySet[Source] = super().get_queryset(request)
        related = rows.select_related("series", "owner", "public_upload", "private_upload")
        return related.annotate(grant_count=_count(Grant), download_count=_count(DownloadTask))

    # The list ----------------------------------------------------------------------------------------------------

    @display(description="file", ordering="name")
    def file(self, source: Source) -> str:
        """Its name, and the series that it is of."""
        return format_html('<span class="transfer-file">{}<small>series {}</small></span>', source.name, source.series)

    @display(description="public block", ordering="public_upload__status")
    def public_block(self, source: Source) -> str:
        """How far its owner is with it."""
        return rendered("state", getattr(source, "public_upload", None))

    @display(description="private block", ordering="private_upload__status")
    def private_block(self, source: Source) -> str:
        """How far its owner is with it."""
        return rendered("state", getattr(source, "private_upload", None))

    @display(description="grants", ordering="grant_count")
    def grants_shown(self, source: Any) -> str:
        """To how many users it is granted."""
        return str(source.grant_count)

    @display(description="downloads", ordering="download_count")
    def downloads_shown(self, source: Any) -> str:
        """How many there are, and the way to them."""
        address = _downloads_of(source)
        return format_html('<a href="{}" class="transfer-link">{}</a>', address, source.download_count)

    @display(description="made (UTC)", ordering="created_at")
    def created(self, source: Source) -> str:
        """When its owner's client named it first."""
        return wording.moment(source.created_at)

    @display(description="file")
    def whole_name(self, source: Source) -> str:
        """Its name, however long."""
        return format_html('<span class="task-name">{}</span>', source.name)

    @display(description="UUID")
    def uuid_code(self, source: Source) -> str:
        """What its owner's client calls it."""
        return code(source.uuid)

    @display(description="series")
    def series_link(self, source: Source) -> str:
        """The way to it."""
        return link(source.series)

    # The page of one ---------------------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page, with its blocks and its downloads."""
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)  # None where an unknown id is answered with a redirect
        if context:
            source = context["original"]
            context |= {
                "blocks": [self._block(request, source, name) for name in ("public", "private")],
                "downloads": _latest_downloads(source),
                "download_count": source.download_count,
                "downloads_address": _downloads_of(source),
            }
        return response

    def _block(self, request: HttpRequest, source: Source, name: str) -> dict[str, Any]:
        """What the page tells of one of its blocks; the gateway may be asked by those who may look at its upload."""
        upload: UploadTask | None = getattr(source, f"{name}_upload", None)
        title = f"{name.capitalize()} block"
        if upload is None:
            return {"title": title}
        may_look = self.admin_site.get_model_admin(type(upload)).has_view_permission(request)
        return {
            "title": title,
            "standing": Standing.of(upload),
            "ask_address": ask_address(upload) if may_look else "",
            "facts": [
                ("Upload", link(upload, upload.name or f"{name} upload {upload.pk}")),
                ("Size", wording.size(upload.size) if upload.size else wording.NOTHING),
                ("Hash", code(upload.hash)),
                ("Uploader's IPFS address", code(upload.ip)),
                ("Last change (UTC)", since(upload.updated_at)),
            ],
        }

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002 - Django's signature
        """Those who may grant or revoke may save the page, which writes nothing but grants."""
        return self.has_grant_permission(request) or self.has_revoke_permission(request)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        """Leave the source itself as it is: clients and services write it."""

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:  # noqa: ARG002, FBT001 - Django's
        """Have the services grant and revoke."""
        grants.save(request, form.instance, formset)

    # What can be had done ----------------------------------------------------------------------------------------

    def has_grant_permission(self, request: HttpRequest) -> bool:
        """Those who may add grants."""
        return request.user.has_perm("tasks_api.add_grant")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Those who may delete grants."""
        return request.user.has_perm("tasks_api.delete_grant")

    @admin.action(description="Grant to a user", permissions=["grant"])
    def grant(self, request: HttpRequest, rows: QuerySet[Source]) -> TemplateResponse | None:
        """Let a user download them."""
        return grants.answered(self, request, rows, grants.GRANT)

    @admin.action(description="Revoke from a user", permissions=["revoke"])
    def revoke(self, request: HttpRequest, rows: QuerySet[Source]) -> TemplateResponse | None:
        """Let a user download them no more."""
        return grants.answered(self, request, rows, grants.REVOKE)


def _count(kind: type[Model]) -> Coalesce:
    rows = kind._default_manager.filter(source=OuterRef("pk")).order_by().values("source").annotate(count=Count("pk"))
    return Coalesce(Subquery(rows.values("count"), output_field=IntegerField()), 0)


def _downloads_of(source: Source) -> str:
    return f"{reverse('admin:tasks_api_downloadtask_changelist')}?source__id__exact={source.pk}"


def _latest_downloads(source: Source) -> list[dict[str, Any]]:
    rows = DownloadTask.objects.filter(source=source).in_full().select_related("user")[:DOWNLOADS]
    return [
        {
            "user": link(task, task.user),
            "state": rendered("state", task),
            "progress": rendered("progress", task),
            "since": since(task.updated_at),
        }
        for task in rows
    ]
