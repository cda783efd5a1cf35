"""Files at rest: what proves their bytes, and where they came from."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from transfers import storage
from transfers.admin import proof, removal, wording
from transfers.admin.outcome import RefusedError
from transfers.admin.proof import Proof
from transfers.admin.read_only import ReadOnlyAdmin
from transfers.models import Download, StoredFile, Upload
from transfers.services import origin as origins
from transfers.services import stored_file as files
from transfers.services.origin import Origin

ORIGINS = 10
"""Downloads, and uploads, that are told of one file."""
UNCHANGED, CHANGED, AFAR = "unchanged", "missing or changed", "in the bucket, not looked at"


def _delete(request: HttpRequest, stored: StoredFile) -> None:
    if not files.delete(user=cast("User", request.user), stored_file_id=stored.pk):
        raise RefusedError("not deleted, it is deleted already", "it is deleted already")


def _described(stored: StoredFile) -> str:
    return f"of {stored.owner}, {stored.folder or wording.NOTHING}, {wording.size(stored.size)}"


REMOVAL = removal.Removal(
    action="delete",
    verb="Delete",
    done="Deleted",
    plural="files",
    consequence="Their bytes go too, wherever they lie. Nobody can fetch them any more.",
    obstacle=lambda _: None,
    describe=_described,
    act=_delete,
)


class ProofFilter(admin.SimpleListFilter):
    """The files whose checksums stand so."""

    title = "checksum"
    parameter_name = "checksum"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's
        """Every way they can stand."""
        return [(choice.name.lower(), choice.value.capitalize()) for choice in Proof]

    def queryset(self, request: HttpRequest, queryset: QuerySet[StoredFile]) -> QuerySet[StoredFile]:  # noqa: ARG002 - Django's
        """Those, or all."""
        chosen = [choice for choice in Proof if choice.name.lower() == self.value()]
        return queryset.filter(proof.WHERE[chosen[0]]) if chosen else queryset


class OriginFilter(admin.SimpleListFilter):
    """The files that came this way."""

    title = "origin"
    parameter_name = "origin"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's
        """Every way."""
        return [(way.value, way.label) for way in Origin]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[StoredFile]:  # noqa: ARG002 - Django's
        """Those, or all."""
        chosen = self.value()
        return origins.came_by(queryset, Origin(chosen)) if chosen in Origin.values else queryset


@admin.register(StoredFile)
class StoredFileAdmin(ReadOnlyAdmin):
    """Every whole file that the service holds, what proves its bytes, and where it came from."""

    actions = ["delete"]
    list_display = ["name", "owner", "folder", "size_shown", "proof", "digest", "origin", "stored_at"]
    list_filter = [OriginFilter, ProofFilter, ("owner", admin.RelatedOnlyFieldListFilter), "created_at"]
    change_form_outer_before_template = "transfers/admin/stored_file_head.html"  # type: ignore[assignment]  # the theme has no types
    list_select_related = ["owner"]
    list_per_page = 50
    search_fields = ["name", "folder", "path", "=md5", "=sha256", "=crc32", "owner__username"]
    search_help_text = "Name, folder, path, owner, or a whole checksum."
    show_full_result_count = False
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("name", "owner"),
                    ("folder", "content_type"),
                    "path",
                    "presence",
                    ("exact_size", "stored_at"),
                ]
            },
        ),
        (
            "Checksums",
            {"fields": [("proof", "checksum_error"), "sha256_shown", ("md5_shown", "promised_shown"), "crc32_shown"]},
        ),
        ("Where it came from", {"fields": ["downloads_shown", "uploads_shown"]}),
    ]
    readonly_fields = [
        *("presence", "exact_size", "stored_at", "downloads_shown", "uploads_shown"),
        *("proof", "sha256_shown", "md5_shown", "promised_shown", "crc32_shown"),
    ]

    class Media:
        """Its own look."""

        css = {"all": ["transfers/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[StoredFile]:
        """Those that nobody has deleted, with what brought them and without what admins must not see of that."""
        downloads = Download.objects.defer("url_encrypted").order_by("-requested_at")[:ORIGINS]
        uploads = Upload.objects.only("name", "touched_at", "stored_file").order_by("-pk")[:ORIGINS]
        rows: QuerySet[StoredFile] = super().get_queryset(request).filter(deleted_at=None)
        return rows.prefetch_related(
            Prefetch("downloads", downloads, to_attr="latest_downloads"),
            Prefetch("uploads", uploads, to_attr="latest_uploads"),
        )

    # The list ----------------------------------------------------------------------------------------------------

    @display(description="size", ordering="size")
    def size_shown(self, stored: StoredFile) -> str:
        """For a glance."""
        return wording.size(stored.size)

    @display(description="checksum", label=proof.LABELS)
    def proof(self, stored: StoredFile) -> str:
        """Whether a checksum promised beforehand agreed, or why that cannot be told."""
        return Proof.of(stored).value

    @display(description="SHA-256")
    def digest(self, stored: StoredFile) -> str:
        """Its beginning; the whole stands on the file's page."""
        return _code(f"{stored.sha256[:12]}…" if stored.sha256 else "")

    @display(description="came from")
    def origin(self, stored: StoredFile) -> str:
        """The latest download that brought it, or the latest upload."""
        downloads, uploads = _bringers(stored)
        if downloads:
            return _link(downloads[0], downloads[0].host)
        return _link(uploads[0], f"upload {uploads[0].pk}") if uploads else wording.NOTHING

    @display(description="stored (UTC)", ordering="created_at")
    def stored_at(self, stored: StoredFile) -> str:
        """When it came to rest."""
        return wording.moment(stored.created_at)

    # The page of one ---------------------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page, with the way to the bytes."""
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)  # None where an unknown id is answered with a redirect
        if context:
            stored: StoredFile = context["original"]
            context |= {
                "content_address": reverse("stored-file-content", args=[stored.pk]),
                "proof": Proof.of(stored).value,
                "proof_variant": proof.LABELS[Proof.of(stored)],
                "removal": REMOVAL if self.has_remove_permission(request) else None,
            }
        return response

    @display(description="size")
    def exact_size(self, stored: StoredFile) -> str:
        """To the byte."""
        return wording.exact_size(stored.size)

    @display(description="SHA-256")
    def sha256_shown(self, stored: StoredFile) -> str:
        """The whole."""
        return _code(stored.sha256)

    @display(description="MD5")
    def md5_shown(self, stored: StoredFile) -> str:
        """The whole."""
        return _code(stored.md5)

    @display(description="CRC-32")
    def crc32_shown(self, stored: StoredFile) -> str:
        """The whole."""
        return _code(stored.crc32)

    @display(description="MD5 promised beforehand")
    def promised_shown(self, stored: StoredFile) -> str:
        """The whole."""
        return _code(stored.promised_md5)

    @display(description="downloads")
    def downloads_shown(self, stored: StoredFile) -> str:
        """The downloads that brought it or found it unchanged, the latest first."""
        downloads, _ = _bringers(stored)
        links = ((_link(download, download.url_shown), wording.moment(download.ended_at)) for download in downloads)
        return format_html_join("", "<p>{} {}</p>", links) or wording.NOTHING

    @display(description="uploads")
    def uploads_shown(self, stored: StoredFile) -> str:
        """The uploads that brought it or found it here already, the latest first."""
        _, uploads = _bringers(stored)
        links = (
            (_link(upload, f"upload {upload.pk}"), upload, wording.moment(upload.touched_at)) for upload in uploads
        )
        return format_html_join("", "<p>{} {} {}</p>", links) or wording.NOTHING

    @display(description="at its place", label={UNCHANGED: "success", CHANGED: "danger", AFAR: "default"})
    def presence(self, stored: StoredFile) -> str:
        """Whether the file lies where it was stored, by size and time; a store elsewhere is not asked."""
        if storage.of(stored.path).path(stored.path) is None:
            return AFAR
        return UNCHANGED if stored.untouched() else CHANGED

    # What can be had done ----------------------------------------------------------------------------------------

    def has_remove_permission(self, request: HttpRequest) -> bool:
        """Those who may delete stored files may have them deleted."""
        return request.user.has_perm("transfers.delete_storedfile")

    @admin.action(description="Delete", permissions=["remove"])
    def delete(self, request: HttpRequest, rows: QuerySet[StoredFile]) -> TemplateResponse | None:
        """Delete them for everybody, with their bytes."""
        return removal.answered(self, request, rows, REMOVAL)


def _code(text: str) -> str:
    return format_html('<code class="transfer-code">{}</code>', text) if text else wording.NOTHING


def _bringers(stored: Any) -> tuple[list[Download], list[Upload]]:
    """The latest downloads and uploads that brought it, as `get_queryset` fetched them with it."""
    return stored.latest_downloads, stored.latest_uploads


def _link(transfer: Download | Upload, text: str) -> SafeString:
    address = reverse(f"admin:transfers_{transfer._meta.model_name}_change", args=[transfer.pk])
    return format_html('<a href="{}" class="transfer-link">{}</a>', address, text)
