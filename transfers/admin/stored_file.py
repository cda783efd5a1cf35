"""Files at rest, to look at."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from transfers.admin import wording
from transfers.admin.read_only import ReadOnlyAdmin
from transfers.models import Download, StoredFile

VERIFIED = {True: "verified", False: "mismatch", None: "not promised"}
"""What became of the checksum that the source promised."""


@admin.register(StoredFile)
class StoredFileAdmin(ReadOnlyAdmin):
    """Every whole file that the service holds, what proves its bytes, and where it came from."""

    list_display = ["name", "owner", "folder", "size_shown", "proof", "digest", "origin", "stored_at"]
    list_filter = ["verified", ("owner", admin.RelatedOnlyFieldListFilter), "created_at"]
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
        ("Checksums", {"fields": ["proof", "sha256_shown", "md5_shown", "crc32_shown"]}),
        ("Where it came from", {"fields": ["origins"]}),
    ]
    readonly_fields = [
        *("presence", "exact_size", "stored_at", "origins"),
        *("proof", "sha256_shown", "md5_shown", "crc32_shown"),
    ]

    class Media:
        """Its own look."""

        css = {"all": ["transfers/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[StoredFile]:
        """All, with the downloads that brought them and without what admins must not see of those."""
        downloads = Download.objects.defer("url_encrypted").order_by("-requested_at")
        rows: QuerySet[StoredFile] = super().get_queryset(request)
        return rows.prefetch_related(Prefetch("downloads", downloads))

    @display(description="size", ordering="size")
    def size_shown(self, stored: StoredFile) -> str:
        """For a glance."""
        return wording.size(stored.size)

    @display(description="size")
    def exact_size(self, stored: StoredFile) -> str:
        """To the byte."""
        return wording.exact_size(stored.size)

    @display(description="checksum", label={"verified": "success", "mismatch": "danger", "not promised": "default"})
    def proof(self, stored: StoredFile) -> str:
        """Whether a checksum promised beforehand agreed."""
        return VERIFIED[stored.verified]

    @display(description="SHA-256")
    def digest(self, stored: StoredFile) -> str:
        """Its beginning; the whole stands on the file's page."""
        return _code(f"{stored.sha256[:12]}…" if stored.sha256 else "")

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

    @display(description="came from")
    def origin(self, stored: StoredFile) -> str:
        """The latest download that brought it."""
        downloads = list(stored.downloads.all())
        return _link(downloads[0], downloads[0].host) if downloads else wording.NOTHING

    @display(description="downloads")
    def origins(self, stored: StoredFile) -> str:
        """Every download that brought it or found it unchanged, the latest first."""
        links = (
            (_link(download, download.url_shown), wording.moment(download.ended_at))
            for download in stored.downloads.all()
        )
        return format_html_join("", "<p>{} {}</p>", links) or wording.NOTHING

    @display(description="at its place", label={"unchanged": "success", "missing or changed": "danger"})
    def presence(self, stored: StoredFile) -> str:
        """Whether the file lies where it was stored, by size and time."""
        return "unchanged" if stored.untouched() else "missing or changed"

    @display(description="stored (UTC)", ordering="created_at")
    def stored_at(self, stored: StoredFile) -> str:
        """When it came to rest."""
        return wording.moment(stored.created_at)


def _code(text: str) -> str:
    return format_html('<code class="transfer-code">{}</code>', text) if text else wording.NOTHING


def _link(download: Download, text: str) -> SafeString:
    address = reverse("admin:transfers_download_change", args=[download.pk])
    return format_html('<a href="{}" class="transfer-link">{}</a>', address, text)
