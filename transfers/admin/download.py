"""Downloads, watched live and never edited: they change only through what the services offer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms.widgets import Script
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from transfers.admin import report, states, stuck, wording
from transfers.admin.outcome import Deed, RefusedError, carry_out
from transfers.admin.read_only import ReadOnlyAdmin
from transfers.errors import CarryonError
from transfers.models import Download
from transfers.models.download import DownloadState
from transfers.models.encryption import SecretLostError
from transfers.services import attention
from transfers.services import download as downloads


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that an operator may have done with a download that stands in one of these states."""

    name: str
    label: str
    done: str
    icon: str
    states: tuple[str, ...]
    act: Callable[..., Download]


OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation(
            "stop", "Stop", "Stopped", "stop", (DownloadState.QUEUED, DownloadState.RUNNING), downloads.stop_download
        ),
        Operation(
            "resume", "Resume", "Resumed", "play_arrow", (DownloadState.STOPPED, report.STOPPING), downloads.restart
        ),
        Operation("retry", "Retry", "Retried", "replay", (DownloadState.FAILED,), downloads.restart),
        Operation(
            "fetch_again", "Fetch again", "Asked for again", "refresh", (DownloadState.COMPLETED,), downloads.restart
        ),
    )
}


@admin.register(Download)
class DownloadAdmin(ReadOnlyAdmin):
    """Every download: who wants what from where, how far it is, and what became of it."""

    actions = ["stop", "resume", "retry", "fetch_again"]
    list_display = ["file", "user", "state_shown", "progress", "speed", "left", "requested"]
    list_filter = [
        stuck.filter_by(attention.DOWNLOADS),
        "state",
        ("user", admin.RelatedOnlyFieldListFilter),
        "requested_at",
    ]
    list_select_related = ["user"]
    list_per_page = 50
    list_before_template = states.TEMPLATE  # type: ignore[assignment]  # the theme has no types
    change_form_outer_before_template = "transfers/admin/download_report.html"  # type: ignore[assignment]  # as above
    search_fields = ["url_shown", "save_path", "cid", "fid", "user__username", "=id"]
    search_help_text = "URL, path, cid, fid, user or id."
    show_full_result_count = False
    fieldsets = [
        ("Who, what, where", {"fields": [("user", "id"), ("cid", "fid"), "url_shown", "save_path", "output_folder"]})
    ]
    readonly_fields = ["id"]

    class Media:
        """Its own look, and what keeps the pages up to date."""

        css = {"all": ["transfers/admin.css"]}
        js = [Script("transfers/admin-progress.js", defer=True)]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Download]:
        """All; what holds the URL's credentials is not even read."""
        rows: QuerySet[Download] = super().get_queryset(request)
        return rows.defer("url_encrypted")

    # The list ----------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The list, with a way to the downloads of each state."""
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None)  # None where an action answers with a redirect
        if context and "cl" in context:
            context["states"] = states.links(context["cl"], DownloadState.choices)
        return response

    @display(description="file", ordering="save_path")
    def file(self, download: Download) -> str:
        """Its name, and the host that it comes from."""
        return format_html(
            '<span class="transfer-file">{}<small>{}</small></span>', download, download.host.rpartition("@")[2]
        )

    @display(description="state", ordering="state")
    def state_shown(self, download: Download) -> str:
        """Its state, as a label."""
        return _rendered("state", download)

    @display(description="progress", ordering="bytes_done")
    def progress(self, download: Download) -> str:
        """How far it is, as a bar and in words."""
        return _rendered("progress", download)

    @display(description="speed", ordering="bytes_per_second")
    def speed(self, download: Download) -> str:
        """How fast it is now."""
        return _rendered("speed", download)

    @display(description="time left")
    def left(self, download: Download) -> str:
        """How long the rest takes at this speed."""
        return _rendered("left", download)

    @display(description="requested (UTC)", ordering="requested_at")
    def requested(self, download: Download) -> str:
        """When it was last asked for."""
        return wording.moment(download.requested_at)

    # The page of one ---------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and where the buttons lead."""
        operate = path(
            "<uuid:pk>/operate/<slug:name>/",
            self.admin_site.admin_view(self.operate_view),
            name="transfers_download_operate",
        )
        return [operate, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page, with the report on what happened."""
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)  # None where an unknown id is answered with a redirect
        if context:
            download: Download = context["original"]
            context |= {
                "standing": report.Standing.of(download),
                "facts": report.facts(download),
                "attempts": [report.attempt(attempt) for attempt in download.attempts.all()],
                "operations": self._offered(request, download),
            }
        return response

    def _offered(self, request: HttpRequest, download: Download) -> list[Operation]:
        if not self.has_operate_permission(request):
            return []
        return [operation for operation in OPERATIONS.values() if report.state(download) in operation.states]

    # What can be had done ----------------------------------------------------------------------------------------

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Those who may change downloads may have them stopped and started."""
        return request.user.has_perm("transfers.change_download")

    @admin.action(description="Stop", permissions=["operate"])
    def stop(self, request: HttpRequest, rows: QuerySet[Download]) -> None:
        """End them, keeping their bytes."""
        self._operate(request, rows, OPERATIONS["stop"])

    @admin.action(description="Resume", permissions=["operate"])
    def resume(self, request: HttpRequest, rows: QuerySet[Download]) -> None:
        """Go on with those that were stopped."""
        self._operate(request, rows, OPERATIONS["resume"])

    @admin.action(description="Retry", permissions=["operate"])
    def retry(self, request: HttpRequest, rows: QuerySet[Download]) -> None:
        """Go on with those that failed."""
        self._operate(request, rows, OPERATIONS["retry"])

    @admin.action(description="Fetch again", permissions=["operate"])
    def fetch_again(self, request: HttpRequest, rows: QuerySet[Download]) -> None:
        """Have the completed ones looked at again; what did not change is not fetched."""
        self._operate(request, rows, OPERATIONS["fetch_again"])

    def operate_view(self, request: HttpRequest, pk: UUID, name: str) -> HttpResponse:
        """What a button on the page does: acts on POST, and always leads back to the page."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        if name not in OPERATIONS:
            raise Http404
        download = get_object_or_404(self.get_queryset(request).select_related("user"), pk=pk)
        if request.method == "POST":
            self._operate(request, [download], OPERATIONS[name])
        query = request.META["QUERY_STRING"]
        page = reverse("admin:transfers_download_change", args=[pk])
        return HttpResponseRedirect(f"{page}?{query}" if query else page)

    def _operate(self, request: HttpRequest, rows: Iterable[Download], operation: Operation) -> None:
        """Try it on each, write down who did what, and tell what became of each."""

        def act(download: Download) -> None:
            _do(operation, download)

        deed = Deed(label=operation.label, done=operation.done, plural="downloads", act=act)
        carry_out(self, request, rows, deed)


def _do(operation: Operation, download: Download) -> None:
    """Have the service do it; RefusedError when it cannot be done."""
    state, refusal = report.state(download), f"not {operation.done.lower()}"
    if state not in operation.states:
        raise RefusedError(f"{refusal}, it is {state}.", f"it is {state}")
    try:
        operation.act(download=download)
    except CarryonError as error:
        raise RefusedError(f"{refusal}: {error}.", error.code) from error
    except SecretLostError as error:
        raise RefusedError(f"{refusal}: {error}.", "secret_lost") from error


def _rendered(part: str, download: Download) -> SafeString:
    return render_to_string(f"transfers/admin/download_{part}.html", {"standing": report.Standing.of(download)})
