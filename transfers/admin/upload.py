"""Uploads: who is sending what, how much of it is here, and how long it is waited for."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import F, Func, IntegerField, QuerySet
from django.db.models.sql.compiler import SQLCompiler
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from transfers.admin import removal, states, stuck, upload_parts, upload_report, wording
from transfers.admin.read_only import ReadOnlyAdmin
from transfers.models import Upload
from transfers.models.upload import UploadState
from transfers.services import attention
from transfers.services import upload as uploads


def _remove(request: HttpRequest, upload: Upload) -> None:
    uploads.abort(user=cast("User", request.user), upload_id=upload.pk)


def _obstacle(upload: Upload) -> str | None:
    return None if upload.state == UploadState.OPEN else f"it is {upload.state}"


def _described(upload: Upload) -> str:
    return f"of {upload.owner}, {upload.catalog}, {upload_report.Standing.of(upload).amount}"


REMOVAL = removal.Removal(
    action="remove",
    verb="Remove",
    done="Removed",
    plural="uploads",
    consequence="All parts of them that are here go too. Whoever sends them has to begin anew.",
    obstacle=_obstacle,
    describe=_described,
    act=_remove,
)


class _KeyCount(Func):
    """How many keys an object of JSON has, counted where it lies."""

    arity = 1
    template = "(SELECT COUNT(*) FROM json_each(%(expressions)s))"
    output_field = IntegerField()

    def as_postgresql(self, compiler: SQLCompiler, connection: Any, **context: Any) -> tuple[str, Any]:
        """PostgreSQL's word for it."""
        template = "(SELECT COUNT(*) FROM jsonb_object_keys(%(expressions)s))"
        return self.as_sql(compiler, connection, template=template, **context)


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin):
    """Every upload, open or ended."""

    actions = ["remove"]
    list_display = ["file", "owner", "state_shown", "progress", "parts_here", "expires", "touched"]
    list_filter = [
        *(stuck.filter_by(attention.UPLOADS), "state", ("owner", admin.RelatedOnlyFieldListFilter)),
        *("created_at", "touched_at"),
    ]
    list_select_related = ["owner"]
    list_per_page = 50
    list_before_template = states.TEMPLATE  # type: ignore[assignment]  # the theme has no types
    change_form_outer_before_template = "transfers/admin/upload_report.html"  # type: ignore[assignment]  # as above
    search_fields = ["name", "catalog", "notes", "owner__username", "=md5", "=id"]
    search_help_text = "Name, catalog, notes, owner, id, or the whole MD5."
    show_full_result_count = False
    fieldsets = [
        ("Who, what, where", {"fields": [("owner", "id"), ("catalog", "content_type"), "place", "notes_shown"]})
    ]
    readonly_fields = ["id", "place", "notes_shown"]

    class Media:
        """Its own look, and what keeps the pages up to date."""

        css = {"all": ["transfers/admin.css"]}
        js = [Script("transfers/admin-upload.js", defer=True)]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Upload]:
        """All; parts that are written down are only counted."""
        rows: QuerySet[Upload] = super().get_queryset(request)
        return rows.annotate(parts_fixed=_KeyCount(F("parts"))).defer("parts")

    # The list ----------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The list, with a way to the uploads of each state."""
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None)  # None where an action answers with a redirect
        if context and "cl" in context:
            context["states"] = states.links(context["cl"], UploadState.choices)
        return response

    @display(description="file", ordering="name")
    def file(self, upload: Upload) -> str:
        """Its name, and the catalog that it is for."""
        return format_html('<span class="transfer-file">{}<small>{}</small></span>', upload, upload.catalog)

    @display(description="state", ordering="state")
    def state_shown(self, upload: Upload) -> str:
        """Its state, as a label."""
        return _rendered("state", upload)

    @display(description="progress", ordering="received")
    def progress(self, upload: Upload) -> str:
        """How much of it is here, as a bar and in words."""
        return _rendered("progress", upload)

    @display(description="parts")
    def parts_here(self, upload: Upload) -> str:
        """How many parts are here."""
        return _live(upload, "parts", upload_parts.counted(upload, cast("Any", upload).parts_fixed))

    @display(description="expires", ordering="touched_at")
    def expires(self, upload: Upload) -> str:
        """How long it is until it is removed unless something comes."""
        return _live(upload, "expires", upload_report.time_left(upload))

    @display(description="last touched (UTC)", ordering="touched_at")
    def touched(self, upload: Upload) -> str:
        """When something last came."""
        return _live(upload, "touched", wording.moment(upload.touched_at))

    # The page of one ---------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and the text that has all parts."""
        parts = path("<int:pk>/parts/", self.admin_site.admin_view(self.parts_view), name="transfers_upload_parts")
        return [parts, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page, with the report on what is here."""
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)  # None where an unknown id is answered with a redirect
        if context:
            upload: Upload = context["original"]
            parts = upload_parts.Parts.of(upload)
            context |= {
                "standing": upload_report.Standing.of(upload, parts.stored_bytes),
                "facts": upload_report.facts(upload, parts),
                "parts": parts,
                "removal": REMOVAL if self.has_remove_permission(request) else None,
            }
        return response

    def parts_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """All parts as text: number, bytes, MD5; 503 when the storage cannot be asked."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        parts = upload_parts.Parts.of(get_object_or_404(self.get_queryset(request), pk=pk))
        text = parts.problem or "".join(parts.lines())
        return HttpResponse(text, content_type="text/plain; charset=utf-8", status=503 if parts.problem else 200)

    @display(description="is to lie at")
    def place(self, upload: Upload) -> str:
        """Where the file is to lie, or the first choice of where it came to lie."""
        return format_html('<code class="transfer-code">{}</code>', upload.location)

    @display(description="notes")
    def notes_shown(self, upload: Upload) -> str:
        """As they were sent, line by line."""
        return format_html('<span class="transfer-notes">{}</span>', upload.notes) if upload.notes else wording.NOTHING

    # What can be had done ----------------------------------------------------------------------------------------

    def has_remove_permission(self, request: HttpRequest) -> bool:
        """Those who may delete uploads may have them removed."""
        return request.user.has_perm("transfers.delete_upload")

    @admin.action(description="Remove", permissions=["remove"])
    def remove(self, request: HttpRequest, rows: QuerySet[Upload]) -> TemplateResponse | None:
        """End open ones, and remove their parts."""
        return removal.answered(self, request, rows, REMOVAL)


def _rendered(part: str, upload: Upload) -> SafeString:
    return render_to_string(f"transfers/admin/upload_{part}.html", {"standing": upload_report.Standing.of(upload)})


def _live(upload: Upload, name: str, words: str) -> SafeString:
    """Words that the script keeps up to date."""
    return format_html(
        '<span class="transfer-number" data-upload="{}" data-live="{}">{}</span>', upload.pk, name, words
    )
