"""Jobs: each sync of a case, watched live, with what could not be brought and what a dry run found."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.forms.widgets import Script
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.decorators import display

from sync.admin import pages
from sync.admin.standing import Standing, rendered, way
from sync.models import Failure, Job
from sync.models.job import LIVE, JobState
from sync.services import job as jobs
from transfers.admin import states, stuck, tables, wording, work
from transfers.admin.operations import OperatedAdmin, Operation
from transfers.services import attention

SHOWN = 20
"""Failures, and actions of a plan, that a job's page shows; pages of their own have them all."""
STATES = [(state.value, state.value.replace("_", " ").capitalize()) for state in JobState]


@admin.register(Job)
class JobAdmin(OperatedAdmin):
    """Every sync that was asked for."""

    operations = (
        Operation(
            *("stop", "Stop", "Stopped", "stop"),
            is_offered=lambda job: job.live,
            act=lambda job, _: jobs.stop_job(job=job),
        ),
        Operation(
            *("again", "Sync again", "Asked for again", "replay"),
            is_offered=lambda job: job.is_end,
            act=lambda job, user: jobs.again(
                user=user, case=job.case, up=job.up, dry_run=job.dry_run, delete=job.delete_missing
            ),
        ),
    )
    actions = ["stop", "again"]
    list_display = ["case_shown", "state_shown", "progress", "speed", "failed", "requested"]
    list_filter = [stuck.filter_by(attention.SYNCS), "up", "dry_run", "delete_missing", "case__region", "requested_at"]
    list_per_page = 50
    list_before_template = states.TEMPLATE  # type: ignore[assignment]  # the theme has no types
    change_form_outer_before_template = "sync/admin/job_report.html"  # type: ignore[assignment]  # as above
    search_fields = ["case__projectname", "case__pid", "case__owner_group_id", "user__username", "=case__uuid", "=id"]
    search_help_text = "Case name, patient, institution, who asked, or the whole id of a case or job."
    show_full_result_count = False
    fieldsets = [("Who, what, where", {"fields": [("case_link", "id"), ("patient", "institution"), "user", "source"]})]
    readonly_fields = ["case_link", "id", "patient", "institution"]

    class Media:
        """Its own look, and what keeps the pages up to date."""

        css = {"all": ["transfers/admin.css", "sync/admin.css"]}
        js = [Script("sync/admin.js", type="module")]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """All, with their cases."""
        rows: QuerySet[Job] = super().get_queryset(request)
        return rows.select_related("case", "user")

    # The list ----------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The list, with a way to the jobs of each state."""
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None)  # None where an action answers with a redirect
        if context and "cl" in context:
            context["states"] = states.links(context["cl"], STATES)
        return response

    @display(description="case", ordering="case__projectname")
    def case_shown(self, job: Job) -> str:
        """Its name, and whose it is."""
        return format_html(
            '<span class="transfer-file"><bdi>{}</bdi><small>patient <bdi>{}</bdi></small></span>',
            job.case.projectname,
            job.case.pid,
        )

    @display(description="state", ordering="state")
    def state_shown(self, job: Job) -> str:
        """Its state, as a label, and what was asked for."""
        return format_html(
            '<span class="transfer-stacked">{}<small>{}</small></span>', rendered("state", job), way(job)
        )

    @display(description="progress", ordering="bytes_done")
    def progress(self, job: Job) -> str:
        """How far it is, as a bar and in words."""
        return rendered("progress", job)

    @display(description="speed, time left", ordering="bytes_per_second")
    def speed(self, job: Job) -> str:
        """How fast it is now, and how long the rest takes at this speed."""
        return format_html(
            '<span class="transfer-stacked">{}<small>{}</small></span>', rendered("speed", job), rendered("left", job)
        )

    @display(description="failures", ordering="failures_count")
    def failed(self, job: Job) -> str:
        """How many files could not be brought."""
        return rendered("failed", job)

    @display(description="requested (UTC)", ordering="requested_at")
    def requested(self, job: Job) -> str:
        """When it was asked for."""
        return wording.moment(job.requested_at)

    # The page of one ---------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and the whole lists of failures and actions."""
        return [
            path("<uuid:pk>/failures/", self.admin_site.admin_view(self.failures_view), name="sync_job_failures"),
            path("<uuid:pk>/plan/", self.admin_site.admin_view(self.plan_view), name="sync_job_plan"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page, with the report on what happened."""
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)  # None where an unknown id is answered with a redirect
        if context:
            job: Job = context["original"]
            context |= {
                "standing": Standing.of(job),
                "facts": facts(job),
                "operations": self.offered(request, job),
                "tables": _tables(job),
            }
        return response

    @display(description="case")
    def case_link(self, job: Job) -> str:
        """The way to it."""
        page = reverse("admin:sync_case_change", args=[job.case_id])
        return format_html('<a href="{}" class="transfer-link"><bdi>{}</bdi></a>', page, job.case.projectname)

    @display(description="patient")
    def patient(self, job: Job) -> str:
        """Whose case it is."""
        return job.case.pid

    @display(description="institution")
    def institution(self, job: Job) -> str:
        """Who made the case."""
        return job.case.owner_group_id

    def failures_view(self, request: HttpRequest, pk: object) -> TemplateResponse:
        """All that could not be brought."""
        job = self._job(request, pk)
        return tables.answer(self, request, job, pages.failures(_failures(job)), title=f"Failures of {job}")

    def plan_view(self, request: HttpRequest, pk: object) -> TemplateResponse:
        """All that a dry run found to be done."""
        job = self._job(request, pk)
        if not _has_plan(job):
            raise Http404
        return tables.answer(self, request, job, pages.plan(job), title=f"Plan of {job}")

    def _job(self, request: HttpRequest, pk: object) -> Job:
        job: Job = tables.found(self, request, pk)
        return job

    # What can be had done ----------------------------------------------------------------------------------------

    @admin.action(description="Stop", permissions=["operate"])
    def stop(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        """End them; what they have brought stays."""
        self.operate(request, rows, "stop")

    @admin.action(description="Sync again", permissions=["operate"])
    def again(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        """Ask for the same once more; what is done already is not done again."""
        self.operate(request, rows, "again")


def facts(job: Job) -> list[tuple[str, str]]:
    """What happened, in one place."""
    told: list[tuple[str, str]] = [
        ("Asked for", way(job)),
        ("Files", f"{job.files_done:,} of {job.files_total:,}"),
        ("Bytes", f"{wording.exact_size(job.bytes_done)} of {wording.size(job.bytes_total)}"),
        ("Could not be brought", f"{job.failures_count:,}"),
        *work.times(job),
    ]
    told += work.attempts(job, job.fruitless_attempts)
    if job.state in LIVE and job.current_files:
        told.append(("Now", tables.paths(job.current_files)))
    return told


def _has_plan(job: Job) -> bool:
    return job.dry_run and job.is_end


def _failures(job: Job) -> QuerySet[Failure]:
    return Failure.objects.filter(job=job)


def _tables(job: Job) -> list[tables.Table]:
    """The beginnings of what the page lists."""
    tables = [pages.plan(job).beginning(SHOWN, reverse("admin:sync_job_plan", args=[job.pk]))] if _has_plan(job) else []
    if job.failures_count:
        address = reverse("admin:sync_job_failures", args=[job.pk])
        tables.append(pages.failures(_failures(job)).beginning(SHOWN, address))
    return tables
