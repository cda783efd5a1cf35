"""Jobs of lists and orders: adding many files, making zips; watched live."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from transfers.admin import order_items, states, stuck, wording, work
from transfers.admin.list_standing import Standing, asked, rendered
from transfers.admin.operations import OperatedAdmin, Operation
from transfers.models import ListJob
from transfers.models.list_job import LIVE, ListJobKind, ListJobState
from transfers.services import attention, order_state
from transfers.services import order as orders

STATES = [(state.value, state.value.capitalize()) for state in ListJobState]
STOP = Operation(
    *("stop", "Stop", "Stopped", "stop"),
    is_offered=lambda job: job.live,
    act=lambda job, _: orders.stop(job=job),
)
AGAIN = Operation(
    *("again", "Start again", "Started again", "replay"),
    is_offered=lambda job: job.state not in (LIVE if job.kind == ListJobKind.ADD else (*LIVE, ListJobState.COMPLETED)),
    before=lambda job: order_state.before_again(job=job),
    act=lambda job, _: order_state.again(job=job),
)
EXPIRE = Operation(
    *("expire", "Remove the zip", "Zip to be removed", "delete"),
    is_offered=lambda job: job.kind == ListJobKind.ZIP and job.state == ListJobState.COMPLETED,
    act=lambda job, _: order_state.expire(job=job),
)


@admin.register(ListJob)
class ListJobAdmin(OperatedAdmin):
    """Every job that was asked for."""

    operations = (STOP, AGAIN, EXPIRE)
    actions = ["stop", "again", "expire"]
    list_display = ["asked_for", "user", "state_shown", "progress", "requested"]
    list_filter = [
        *(stuck.filter_by(attention.LIST_JOBS), "kind", ("user", admin.RelatedOnlyFieldListFilter)),
        *("requested_at", "error_code"),
    ]
    list_select_related = ["user", "order"]
    list_per_page = 50
    list_before_template = states.TEMPLATE  # type: ignore[assignment]  # the theme has no types
    change_form_outer_before_template = "transfers/admin/list_job_report.html"  # type: ignore[assignment]  # as above
    search_fields = ["order__zip_file_name", "user__username", "=id", "=order__id"]
    search_help_text = "Name of the zip, user, or the whole id of a job or order."
    show_full_result_count = False
    fieldsets = [("Who and what", {"fields": [("user", "id"), "order_link"]})]
    readonly_fields = ["id", "order_link"]

    class Media:
        """Its own look, and what keeps the pages up to date."""

        css = {"all": ["transfers/admin.css"]}
        js = [Script("transfers/admin-lists.js", type="module")]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ListJob]:
        """All, with their orders and zips."""
        rows: QuerySet[ListJob] = super().get_queryset(request)
        return rows.select_related("user", "order", "stored_file")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The list, with a way to the jobs of each state."""
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None)  # None where an action answers with a redirect
        if context and "cl" in context:
            context["states"] = states.links(context["cl"], STATES)
        return response

    @display(description="asked for", ordering="kind")
    def asked_for(self, job: ListJob) -> str:
        """What the job is to do."""
        return format_html('<span class="transfer-file"><bdi>{}</bdi></span>', asked(job))

    @display(description="state", ordering="state")
    def state_shown(self, job: ListJob) -> str:
        """Its state, as a label."""
        return rendered("state", job)

    @display(description="progress", ordering="bytes_done")
    def progress(self, job: ListJob) -> str:
        """How far it is, as a bar and in words."""
        return rendered("progress", job)

    @display(description="requested (UTC)", ordering="requested_at")
    def requested(self, job: ListJob) -> str:
        """When it was asked for."""
        return wording.moment(job.requested_at)

    # The page of one ---------------------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page, with what happened and which files are not in the zip."""
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)  # None where an unknown id is answered with a redirect
        if context:
            job: ListJob = context["original"]
            context |= {
                "standing": Standing.of(job),
                "facts": facts(job),
                "operations": self.offered(request, job),
                "tables": [] if job.order is None else order_items.failed(job.order),
            }
        return response

    @display(description="order")
    def order_link(self, job: ListJob) -> str:
        """The way to it."""
        if job.order is None:
            return wording.NOTHING
        page = reverse("admin:transfers_order_change", args=[job.order.pk])
        return format_html('<a href="{}" class="transfer-link"><bdi>{}</bdi></a>', page, job.order)

    # What can be had done ----------------------------------------------------------------------------------------

    @admin.action(description="Stop", permissions=["operate"])
    def stop(self, request: HttpRequest, rows: QuerySet[ListJob]) -> None:
        """End them; nothing half is left."""
        self.operate(request, rows, "stop")

    @admin.action(description="Start again", permissions=["operate"])
    def again(self, request: HttpRequest, rows: QuerySet[ListJob]) -> None:
        """Ask for the same once more."""
        self.operate(request, rows, "again")

    @admin.action(description="Remove the zip", permissions=["operate"])
    def expire(self, request: HttpRequest, rows: QuerySet[ListJob]) -> None:
        """Remove zips before their time; what was ordered stays known."""
        self.operate(request, rows, "expire")


def facts(job: ListJob) -> list[tuple[str, str]]:
    """What happened, in one place."""
    told: list[tuple[str, str]] = [
        ("Asked for", format_html("<bdi>{}</bdi>", asked(job))),
        ("Files", f"{job.files_done:,} of {job.files_total:,}"),
        *work.times(job),
    ]
    if job.kind == ListJobKind.ZIP:
        told.insert(2, ("Bytes", f"{wording.exact_size(job.bytes_done)} of {wording.size(job.bytes_total)}"))
    if job.state == ListJobState.COMPLETED and job.kind == ListJobKind.ZIP:
        told += [("Zip", _zip(job)), ("Removed (UTC)", wording.moment(job.expires_at))]
    told += work.attempts(job, job.fruitless_attempts)
    return told


def _zip(job: ListJob) -> SafeString | str:
    stored = job.stored_file
    if stored is None or stored.deleted_at is not None:
        return "none" if stored is None else "deleted since"
    page = reverse("admin:transfers_storedfile_change", args=[stored.pk])
    return format_html('<a href="{}" class="transfer-link"><bdi>{}</bdi></a>', page, stored)
