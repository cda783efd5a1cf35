"""Cases: patients' folders, how their last syncs went, and what can be had done with them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, Prefetch, QuerySet, Subquery, Sum
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from sync.admin import pages
from sync.admin.job import STATES
from sync.admin.standing import Standing
from sync.models import Case, Job
from sync.services import case as cases
from sync.services import job as jobs
from transfers.admin import tables, wording
from transfers.admin.operations import OperatedAdmin, Operation
from transfers.errors import UnknownRegionError

JOBS = 10
"""Jobs that a case's page tells of; the list of jobs has them all."""


def _last(case: Any) -> Job | None:
    """The case's last job, as `get_queryset` fetched it with it."""
    return next(iter(case.latest_jobs), None)


def _is_idle(case: Any) -> bool:
    last = _last(case)
    return last is None or last.is_end


def _is_live(case: Any) -> bool:
    last = _last(case)
    return last is not None and last.live


class LastStateFilter(admin.SimpleListFilter):
    """The cases whose last job stands so."""

    title = "last job"
    parameter_name = "last"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - Django's
        """Every way it can stand, and that there was none."""
        return [*STATES, ("none", "Never synced")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002 - Django's
        """Those, or all."""
        chosen = self.value()
        if chosen == "none":
            return queryset.filter(last_state=None)
        return queryset.filter(last_state=chosen) if chosen in dict(STATES) else queryset


@admin.register(Case)
class CaseAdmin(OperatedAdmin):
    """Every case that was ever asked for."""

    operations = (
        Operation(
            *("sync_up", "Sync up", "Asked to sync up", "cloud_upload"),
            is_offered=_is_idle,
            act=lambda case, user: jobs.again(user=user, case=case, up=True),
        ),
        Operation(
            *("sync_down", "Sync down", "Asked to sync down", "cloud_download"),
            is_offered=_is_idle,
            act=lambda case, user: jobs.again(user=user, case=case, up=False),
        ),
        Operation(
            *("dry_run_up", "Dry run up", "Asked for a dry run up", "checklist"),
            is_offered=_is_idle,
            act=lambda case, user: jobs.again(user=user, case=case, up=True, dry_run=True),
        ),
        Operation(
            *("dry_run_down", "Dry run down", "Asked for a dry run down", "checklist"),
            is_offered=_is_idle,
            act=lambda case, user: jobs.again(user=user, case=case, up=False, dry_run=True),
        ),
        Operation(
            *("stop", "Stop", "Stopped", "stop"),
            is_offered=_is_live,
            act=lambda case, _: jobs.stop_case(case=case),
        ),
    )
    actions = ["sync_up", "sync_down", "dry_run_up", "dry_run_down", "stop"]
    list_display = ["named", "institution", "kind", "last_job", "when"]
    list_filter = [
        *(LastStateFilter, "region", "projecttype", ("user", admin.RelatedOnlyFieldListFilter), "created_at"),
    ]
    list_select_related = ["user"]
    list_per_page = 50
    change_form_outer_before_template = "sync/admin/case_report.html"  # type: ignore[assignment]  # the theme has no types
    search_fields = ["projectname", "pid", "owner_group_id", "lab_id", "s3keypath", "user__username", "=uuid"]
    search_help_text = "Case name, patient, institution, lab, key prefix, user, or the whole UUID."
    show_full_result_count = False
    fieldsets = [
        (
            "The case",
            {
                "fields": [
                    *(("case_name", "pid"), ("owner_group_id", "lab_id"), ("projecttype", "region")),
                    *(("uuid_shown", "user"), ("api", "created")),
                ]
            },
        ),
        ("Its places", {"fields": ["cloud", "local", ("copied", "in_sync"), "files_link"]}),
    ]
    readonly_fields = ["case_name", "uuid_shown", "api", "created", "cloud", "local", "copied", "in_sync", "files_link"]

    class Media:
        """Its own look, and what keeps the pages up to date."""

        css = {"all": ["transfers/admin.css", "sync/admin.css"]}
        js = [Script("sync/admin.js", type="module")]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Case]:
        """All, with their last jobs."""
        rows: QuerySet[Case] = super().get_queryset(request)
        newest = Job.objects.filter(case=OuterRef("pk")).order_by("-requested_at")
        return rows.annotate(
            last_state=Subquery(newest.values("state")[:1]), last_requested=Subquery(newest.values("requested_at")[:1])
        ).prefetch_related(Prefetch("jobs", Job.objects.order_by("-requested_at")[:JOBS], to_attr="latest_jobs"))

    # The list ----------------------------------------------------------------------------------------------------

    @display(description="case", ordering="projectname")
    def named(self, case: Case) -> str:
        """Its name, and whose it is."""
        return format_html(
            '<span class="transfer-file"><bdi>{}</bdi><small>patient <bdi>{}</bdi></small></span>',
            case.projectname,
            case.pid,
        )

    @display(description="institution, lab", ordering="owner_group_id")
    def institution(self, case: Case) -> str:
        """Who made it, and whom it is shared with."""
        return format_html(
            '<span class="transfer-stacked">{}<small>{}</small></span>', _id(case.owner_group_id), _id(case.lab_id)
        )

    @display(description="type, region", ordering="projecttype")
    def kind(self, case: Case) -> str:
        """What kind of case it is, and where its cloud is."""
        return format_html('<span class="transfer-stacked">{}<small>{}</small></span>', case.projecttype, case.region)

    @display(description="last job", ordering="last_state")
    def last_job(self, case: Case) -> str:
        """What was last asked for, its state, and how far it is."""
        return _cell("last", case)

    @display(description="asked for (UTC)", ordering="last_requested")
    def when(self, case: Case) -> str:
        """When that was."""
        return _cell("when", case)

    # The page of one ---------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and the list of stored files."""
        view = self.admin_site.admin_view(self.files_view)
        return [path("<int:pk>/files/", view, name="sync_case_files"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page, with how its syncs went."""
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)  # None where an unknown id is answered with a redirect
        if context:
            case = context["original"]
            context |= {
                "last": _last(case),
                "standing": Standing.of(case.latest_jobs[0]) if case.latest_jobs else None,
                "operations": self.offered(request, case),
                "jobs": [_told(job) for job in case.latest_jobs],
                "job_count": case.jobs.count(),
                "jobs_address": f"{reverse('admin:sync_job_changelist')}?case__id__exact={case.pk}",
            }
        return response

    def files_view(self, request: HttpRequest, pk: int) -> TemplateResponse:
        """The stored files: by the case's number, for their folder's name would tell the patient to every proxy."""
        case = tables.found(self, request, pk)
        return tables.answer(self, request, case, pages.files(case), title=f"Stored files of {case}")

    @display(description="case name")
    def case_name(self, case: Case) -> str:
        """The whole of it."""
        return format_html('<bdi class="transfer-path">{}</bdi>', case.projectname)

    @display(description="UUID")
    def uuid_shown(self, case: Case) -> str:
        """What the case API calls it."""
        return format_html('<code class="transfer-code">{}</code>', case.uuid) if case.uuid else "not named yet"

    @display(description="case API")
    def api(self, case: Case) -> str:
        """Who knows it."""
        return case.api_url or "this service"

    @display(description="first asked for (UTC)")
    def created(self, case: Case) -> str:
        """When it was made here."""
        return wording.moment(case.created_at)

    @display(description="in the cloud")
    def cloud(self, case: Case) -> str:
        """Bucket and prefix, or a folder that plays cloud."""
        try:
            return _path(cases.cloud(case=case))
        except UnknownRegionError as error:
            return str(error)

    @display(description="on this server")
    def local(self, case: Case) -> str:
        """Its own folder."""
        return _path(str(cases.folder(case=case)))

    @display(description="first copy whole (UTC)")
    def copied(self, case: Case) -> str:
        """Since when the work goes on in its own folder."""
        return wording.moment(case.copied_at)

    @display(description="same on both sides at last look")
    def in_sync(self, case: Case) -> str:
        """What the manifest has."""
        known = case.manifest.aggregate(files=Count("pk"), size=Sum("size"))
        return f"{known['files']:,} files · {wording.size(known['size'] or 0)}"

    @display(description="stored files")
    def files_link(self, case: Case) -> str:
        """The way to them."""
        page = reverse("admin:sync_case_files", args=[case.pk])
        return format_html('<a href="{}" class="transfer-link">{}</a>', page, f"{cases.stored(case=case).count():,}")

    # What can be had done ----------------------------------------------------------------------------------------

    @admin.action(description="Sync up", permissions=["operate"])
    def sync_up(self, request: HttpRequest, rows: QuerySet[Case]) -> None:
        """Bring what is here to the cloud."""
        self.operate(request, rows, "sync_up")

    @admin.action(description="Sync down", permissions=["operate"])
    def sync_down(self, request: HttpRequest, rows: QuerySet[Case]) -> None:
        """Bring what is in the cloud here."""
        self.operate(request, rows, "sync_down")

    @admin.action(description="Dry run up", permissions=["operate"])
    def dry_run_up(self, request: HttpRequest, rows: QuerySet[Case]) -> None:
        """Tell what a sync up would do."""
        self.operate(request, rows, "dry_run_up")

    @admin.action(description="Dry run down", permissions=["operate"])
    def dry_run_down(self, request: HttpRequest, rows: QuerySet[Case]) -> None:
        """Tell what a sync down would do."""
        self.operate(request, rows, "dry_run_down")

    @admin.action(description="Stop", permissions=["operate"])
    def stop(self, request: HttpRequest, rows: QuerySet[Case]) -> None:
        """End what runs of them."""
        self.operate(request, rows, "stop")


def _cell(part: str, case: Case) -> SafeString:
    """What the list tells of the case's last job."""
    last = _last(case)
    standing = Standing.of(last) if last else None
    when = wording.moment(last.requested_at if last else None)
    facts = {"case": case, "job": last, "standing": standing, "when": when}
    return render_to_string(f"sync/admin/case_{part}.html", facts)


def _told(job: Job) -> dict[str, Any]:
    """A job, as the case's page lists it."""
    standing = Standing.of(job)
    return {
        "address": reverse("admin:sync_job_change", args=[job.pk]),
        "way": standing.way,
        "state": standing.words,
        "variant": standing.variant,
        "amount": standing.amount,
        "failures": f"{job.failures_count:,}",
        "requested": wording.moment(job.requested_at),
        "ended": wording.moment(job.ended_at),
    }


def _id(text: str) -> SafeString:
    """An institution's id, which is long."""
    return format_html('<bdi class="sync-id" title="{}">{}</bdi>', text, text)


def _path(text: str) -> SafeString:
    return format_html('<code class="transfer-code"><bdi class="transfer-path">{}</bdi></code>', text)
