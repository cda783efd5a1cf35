"""Orders: who ordered what, what became of it, and what can be had done with their zips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import OuterRef, Prefetch, QuerySet, Subquery
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.decorators import display

from transfers.admin import list_job, order_items, tables, wording
from transfers.admin.list_standing import Standing
from transfers.admin.operations import OperatedAdmin, Operation
from transfers.errors import JobEndedError
from transfers.models import ListJob, Order
from transfers.models.list_job import LIVE, ListJobState
from transfers.services import order as orders

JOBS = 10
"""Jobs that an order's page tells of."""


def _last(order: Any) -> ListJob | None:
    """The order's last job, as `get_queryset` fetched it with it."""
    return next(iter(order.latest_jobs), None)


def _of_last(operation: Operation) -> Operation:
    """The same for an order, done with its last job."""

    def is_offered(order: Any) -> bool:
        last = _last(order)
        return last is not None and operation.is_offered(last)

    def act(order: Any, user: User) -> object:
        last = _last(order)
        if last is None:
            raise JobEndedError("Its zip was never asked for.")
        return operation.act(last, user)

    return replace(operation, is_offered=is_offered, act=act)


def _is_idle(order: Any) -> bool:
    last = _last(order)
    return last is None or last.state not in (*LIVE, ListJobState.COMPLETED)


class LastStateFilter(admin.SimpleListFilter):
    """The orders whose last job stands so."""

    title = "zip"
    parameter_name = "zip"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's
        """Every way it can stand, and that it was never asked for."""
        return [*list_job.STATES, ("none", "Never started")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's
        """Those, or all."""
        chosen = self.value()
        if chosen == "none":
            return queryset.filter(last_state=None)
        return queryset.filter(last_state=chosen) if chosen in ListJobState.values else queryset


@admin.register(Order)
class OrderAdmin(OperatedAdmin):
    """Every order that was made."""

    operations = (
        Operation(
            *("start", "Make the zip", "Started", "folder_zip"),
            is_offered=_is_idle,
            before=lambda order: orders.expire_lost(order=order),
            act=lambda order, _: orders.start(order=order),
        ),
        _of_last(list_job.STOP),
        _of_last(list_job.EXPIRE),
    )
    actions = ["start", "stop", "expire"]
    list_display = ["named", "user", "files", "size", "last_job", "ordered"]
    list_filter = [LastStateFilter, ("user", admin.RelatedOnlyFieldListFilter), "created_at"]
    list_select_related = ["user"]
    list_per_page = 50
    change_form_outer_before_template = "transfers/admin/order_report.html"  # type: ignore[assignment]  # the theme has no types
    search_fields = ["zip_file_name", "user__username", "=id"]
    search_help_text = "Name of the zip, user, or the order's whole id."
    show_full_result_count = False
    fieldsets = [("Who and what", {"fields": [("user", "id"), ("files", "size"), ("ordered", "zip_name")]})]
    readonly_fields = ["id", "files", "size", "ordered", "zip_name"]

    class Media:
        """Its own look, and what keeps the pages up to date."""

        css = {"all": ["transfers/admin.css"]}
        js = [Script("transfers/admin-lists.js", type="module")]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        """All, with their last jobs."""
        rows: QuerySet[Order] = super().get_queryset(request)
        newest = ListJob.objects.filter(order=OuterRef("pk")).order_by("-requested_at")
        latest = ListJob.objects.order_by("-requested_at")[:JOBS]
        return rows.annotate(last_state=Subquery(newest.values("state")[:1])).prefetch_related(
            Prefetch("jobs", latest, to_attr="latest_jobs")
        )

    # The list ----------------------------------------------------------------------------------------------------

    @display(description="zip", ordering="zip_file_name")
    def named(self, order: Order) -> str:
        """What it is called."""
        return format_html('<span class="transfer-file"><bdi>{}</bdi></span>', order)

    @display(description="files", ordering="files_count")
    def files(self, order: Order) -> str:
        """How many were ordered."""
        return tables.number(f"{order.files_count:,}")

    @display(description="size", ordering="total_bytes")
    def size(self, order: Order) -> str:
        """Of its files."""
        return tables.number(wording.size(order.total_bytes))

    @display(description="zip made", ordering="last_state")
    def last_job(self, order: Order) -> str:
        """How making the zip stands."""
        last = _last(order)
        standing = Standing.of(last) if last else None
        return render_to_string("transfers/admin/order_last.html", {"order": order, "standing": standing})

    @display(description="ordered (UTC)", ordering="created_at")
    def ordered(self, order: Order) -> str:
        """When it was made."""
        return wording.moment(order.created_at)

    # The page of one ---------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and the whole lists of files and failures."""
        views = {"items": self.items_view, "failures": self.failures_view}
        return [
            *(
                path(f"<uuid:pk>/{name}/", self.admin_site.admin_view(view), name=f"transfers_order_{name}")
                for name, view in views.items()
            ),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page, with how its zip stands and the beginning of its files."""
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)  # None where an unknown id is answered with a redirect
        if context:
            order: Any = context["original"]
            last = _last(order)
            everything = reverse("admin:transfers_order_items", args=[order.pk])
            context |= {
                "last": last,
                "standing": Standing.of(last) if last else None,
                "operations": self.offered(request, order),
                "jobs": [_told(job) for job in order.latest_jobs],
                "tables": [
                    *order_items.failed(order),
                    order_items.items(order).beginning(order_items.SHOWN, everything),
                ],
            }
        return response

    def items_view(self, request: HttpRequest, pk: object) -> TemplateResponse:
        """All files, a page at a time."""
        return self._paged(request, pk, order_items.items, "Files of {}")

    def failures_view(self, request: HttpRequest, pk: object) -> TemplateResponse:
        """All that are not in the zip."""
        return self._paged(request, pk, order_items.failures, "Not in {}")

    def _paged(
        self, request: HttpRequest, pk: object, table: Callable[[Order], tables.Table], title: str
    ) -> TemplateResponse:
        order = tables.found(self, request, pk)
        return tables.answer(self, request, order, table(order), title=title.format(order))

    @display(description="name of the zip")
    def zip_name(self, order: Order) -> str:
        """The whole of it."""
        return tables.paths([order.zip_file_name])

    # What can be had done ----------------------------------------------------------------------------------------

    @admin.action(description="Make the zip", permissions=["operate"])
    def start(self, request: HttpRequest, rows: QuerySet[Order]) -> None:
        """Have them zipped; those that are stay as they are."""
        self.operate(request, rows, "start")

    @admin.action(description="Stop", permissions=["operate"])
    def stop(self, request: HttpRequest, rows: QuerySet[Order]) -> None:
        """End what is being made."""
        self.operate(request, rows, "stop")

    @admin.action(description="Remove the zip", permissions=["operate"])
    def expire(self, request: HttpRequest, rows: QuerySet[Order]) -> None:
        """Remove zips before their time."""
        self.operate(request, rows, "expire")


def _told(job: ListJob) -> dict[str, Any]:
    """A job, as the order's page lists it."""
    standing = Standing.of(job)
    return {
        "address": reverse("admin:transfers_listjob_change", args=[job.pk]),
        "state": standing.state,
        "variant": standing.variant,
        "amount": standing.amount,
        "requested": wording.moment(job.requested_at),
        "ended": wording.moment(job.ended_at),
    }
