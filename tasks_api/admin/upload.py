"""Uploads of public and of private blocks."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.decorators import display

from tasks_api.admin import gateway
from tasks_api.admin.attention import AttentionFilter
from tasks_api.admin.standing import code
from tasks_api.admin.task import MARK_FAILED, Operation, TaskAdmin
from tasks_api.models import PrivateUpload, PublicUpload, Status, Task, UploadTask
from tasks_api.services import task as tasks
from transfers.admin import wording

FROM_SOURCE = "source"
"""What the question for the gateway says of itself when it was asked on the source's page."""
REOPEN = Operation(
    "reopen",
    "Reopen",
    "Reopened",
    "restart_alt",
    (Status.COMPLETED, Status.FAILED),
    lambda upload: tasks.reopen(upload=upload),
)


class UploadTaskAdmin(TaskAdmin):
    """Uploads of one kind of block."""

    list_display = ["source_file", "user", "state_shown", "progress", "size_shown", "hash_shown", "changed"]
    list_filter = [
        *(AttentionFilter, ("user", admin.RelatedOnlyFieldListFilter)),
        *("updated_at", "created_at"),
    ]
    search_fields = [
        *("source__uuid", "source__name", "name", "file", "hash", "user__username"),
        *("series__name", "=series__id", "=id"),
    ]
    search_help_text = "UUID, name, hash, user, series or id."
    fieldsets = [
        ("The source", {"fields": [("source_link", "series_link"), ("owner", "uuid")]}),
        (
            "The block",
            {"fields": [("block_name", "folder"), "hash_code", ("exact_size", "address"), ("begun", "changed")]},
        ),
    ]
    readonly_fields = [
        *("source_link", "series_link", "owner", "uuid"),
        *("block_name", "folder", "hash_code", "exact_size", "address", "begun", "changed"),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[UploadTask]:
        """All, with what is shown of their sources."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.select_related("user", "series", "source__owner")

    @display(description="size", ordering="size")
    def size_shown(self, upload: UploadTask) -> str:
        """For a glance."""
        told = wording.size(upload.size) if upload.size else wording.NOTHING
        return format_html('<span class="transfer-number">{}</span>', told)

    @display(description="hash")
    def hash_shown(self, upload: UploadTask) -> str:
        """Its two ends; the whole stands on the upload's page."""
        told = upload.hash
        return code(f"{told[:8]}…{told[-6:]}" if told else "")

    @display(description="hash")
    def hash_code(self, upload: UploadTask) -> str:
        """The whole."""
        return code(upload.hash)

    @display(description="size")
    def exact_size(self, upload: UploadTask) -> str:
        """To the byte."""
        return wording.exact_size(upload.size) if upload.size else wording.NOTHING

    @display(description="file name")
    def block_name(self, upload: UploadTask) -> str:
        """The block's."""
        return upload.name or wording.NOTHING

    @display(description="folder")
    def folder(self, upload: UploadTask) -> str:
        """Where it lies at the owner's."""
        return upload.file or wording.NOTHING

    @display(description="uploader's IPFS address")
    def address(self, upload: UploadTask) -> str:
        """As the client told it."""
        return code(upload.ip)

    # Asking the gateway ------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and the question for the gateway."""
        view = self.admin_site.admin_view(self.ask_view)
        return [path("<int:pk>/ask-gateway/", view, name=f"tasks_api_{self.opts.model_name}_ask"), *super().get_urls()]

    def offered(self, request: HttpRequest, task: Task) -> dict[str, Any]:
        """The usual buttons, and the one that asks the gateway."""
        return {**super().offered(request, task), "ask_address": ask_address(task)}

    def ask_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask on POST, and always lead back to the page that it was asked on."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        upload = get_object_or_404(self.get_queryset(request), pk=pk)
        if request.method == "POST" and gateway.can_ask(upload):
            gateway.ask(self, request, upload)
        return self.back_to(request, upload.source if FROM_SOURCE in request.POST else upload)


@admin.register(PublicUpload)
class PublicUploadAdmin(UploadTaskAdmin):
    """Uploads of the large blocks that everybody may have."""


@admin.register(PrivateUpload)
class PrivateUploadAdmin(UploadTaskAdmin):
    """Uploads of the small blocks with the keys."""

    operations = (MARK_FAILED, REOPEN)
    actions = ["mark_failed", "reopen"]

    @admin.action(description="Reopen", permissions=["operate"])
    def reopen(self, request: HttpRequest, rows: QuerySet[PrivateUpload]) -> None:
        """Have them uploaded again; their hashes are told to nobody any more, and stay in the history only."""
        self.operate(request, rows, REOPEN)


def ask_address(upload: Any) -> str:
    """Where to ask the gateway for the upload's hash; "" where that cannot be asked."""
    return (
        reverse(f"admin:tasks_api_{upload._meta.model_name}_ask", args=[upload.pk]) if gateway.can_ask(upload) else ""
    )
