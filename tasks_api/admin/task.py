"""What the pages of all three kinds of tasks have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms.widgets import Script
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.decorators import display

from tasks_api.admin import attention
from tasks_api.admin.standing import Standing, code, link, rendered, since, worded
from tasks_api.models import Status, Task
from tasks_api.services import task as tasks
from transfers.admin import states, wording
from transfers.admin.outcome import Deed, RefusedError, carry_out
from transfers.admin.read_only import ReadOnlyAdmin
from transfers.errors import CarryonError


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that an operator may have done with a task, by a button or for several at once."""

    name: str
    label: str
    done: str
    icon: str
    statuses: tuple[Status, ...]
    """Where a task has to stand for it."""
    act: Callable[[Any], bool]
    """Has the service do it; False when the task stands elsewhere by then."""


MARK_FAILED = Operation(
    "mark_failed",
    "Mark failed",
    "Marked failed",
    "close",
    tuple(status for status in Status if status not in (Status.COMPLETED, Status.FAILED)),
    lambda task: tasks.mark_failed(task=task),
)


class TaskAdmin(ReadOnlyAdmin):
    """The tasks of one kind: only clients write them, and services what operators have done."""

    operations: ClassVar[tuple[Operation, ...]] = (MARK_FAILED,)
    actions = ["mark_failed"]
    list_per_page = 50
    # It leads to the tasks of each state, which is no filter besides: that would offer states of other kinds.
    list_before_template = states.TEMPLATE  # type: ignore[assignment]  # the theme has no types
    change_form_outer_before_template = "tasks_api/admin/task_report.html"  # type: ignore[assignment]  # as above
    show_full_result_count = False

    class Media:
        """Its own look, and what keeps the pages up to date."""

        css = {"all": ["transfers/admin.css", "tasks_api/admin.css"]}
        js = [Script("tasks_api/admin.js", defer=True)]

    # The list ----------------------------------------------------------------------------------------------------

    def get_ordering(self, request: HttpRequest) -> Any:
        """Newest first; of what needs somebody the longest need."""
        since = attention.SINCE.get(request.GET.get(attention.PARAMETER, ""))
        return [since, "id"] if since in {field.name for field in self.opts.fields} else ["-id"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The list, with a way to the tasks of each state."""
        response = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None)  # None where an action answers with a redirect
        if context and "cl" in context:
            known = [(status.value, worded(status).capitalize()) for status in self._kind.statuses()]
            context["states"] = states.links(context["cl"], known, field="status")
        return response

    @display(description="file", ordering="source__name")
    def source_file(self, task: Task) -> str:
        """Its name, and the series that it is of."""
        return format_html(
            '<span class="transfer-file">{}<small>{}</small></span>', task.source.name, f"series {task.series}"
        )

    @display(description="state", ordering="status")
    def state_shown(self, task: Task) -> str:
        """Its state, as a label."""
        return rendered("state", task)

    @display(description="progress", ordering="percent")
    def progress(self, task: Task) -> str:
        """How far it is in this state, as a bar and in words."""
        return rendered("progress", task)

    @display(description="last change (UTC)", ordering="updated_at")
    def changed(self, task: Task) -> str:
        """When something new was last told of it."""
        return since(task.updated_at)

    # The page of one ---------------------------------------------------------------------------------------------

    @display(description="source")
    def source_link(self, task: Task) -> str:
        """The way to it."""
        return link(task.source)

    @display(description="series")
    def series_link(self, task: Task) -> str:
        """The way to it."""
        return link(task.series)

    @display(description="UUID")
    def uuid(self, task: Task) -> str:
        """What the owner's client calls the source."""
        return code(task.source.uuid)

    @display(description="owner", ordering="source__owner__username")
    def owner(self, task: Task) -> str:
        """Whose source it is."""
        return str(task.source.owner)

    @display(description="begun (UTC)")
    def begun(self, task: Task) -> str:
        """When it was made."""
        return wording.moment(task.created_at)

    def get_urls(self) -> list[URLPattern]:
        """The usual pages, and where the buttons lead."""
        return [
            path(
                "<int:pk>/operate/<slug:name>/",
                self.admin_site.admin_view(self.operate_view),
                name=f"tasks_api_{self.opts.model_name}_operate",
            ),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page, with where the task stands and what can be had done."""
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        context = getattr(response, "context_data", None)  # None where an unknown id is answered with a redirect
        if context:
            context |= {"standing": Standing.of(context["original"]), **self.offered(request, context["original"])}
        return response

    def offered(self, request: HttpRequest, task: Task) -> dict[str, Any]:
        """The buttons, as the page's template wants them."""
        known = self.operations if self.has_operate_permission(request) else ()
        return {
            "operations": [
                (operation, reverse(f"admin:tasks_api_{self.opts.model_name}_operate", args=[task.pk, operation.name]))
                for operation in known
                if task.status in operation.statuses
            ]
        }

    # What can be had done ----------------------------------------------------------------------------------------

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Those who may change tasks of the kind may have them ended and opened."""
        return request.user.has_perm(f"tasks_api.change_{self.opts.model_name}")

    @admin.action(description="Mark failed", permissions=["operate"])
    def mark_failed(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        """Let them fail that nobody reports on any more; their clients may still take them up again."""
        self.operate(request, rows, MARK_FAILED)

    def operate_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """What a button on the page does: acts on POST, and always leads back to the page."""
        if not self.has_operate_permission(request):
            raise PermissionDenied
        operation = next((operation for operation in self.operations if operation.name == name), None)
        if operation is None:
            raise Http404
        task = get_object_or_404(self.get_queryset(request), pk=pk)
        if request.method == "POST":
            self.operate(request, [task], operation)
        return self.back_to(request, task)

    def back_to(self, request: HttpRequest, row: Any) -> HttpResponse:
        """The way back to the row's page, and from there to the list as it was."""
        page = reverse(f"admin:tasks_api_{row._meta.model_name}_change", args=[row.pk])
        query = request.META["QUERY_STRING"]
        return HttpResponseRedirect(f"{page}?{query}" if query else page)

    def operate(self, request: HttpRequest, rows: Iterable[Any], operation: Operation) -> None:
        """Try it on each, write down who did what, and tell what became of each."""

        def act(task: Task) -> str:
            before = f"It was {worded(Status(task.status))}, {task.percent} %{_hash_of(task)}."
            _do(operation, task)
            return before

        plural = str(self.opts.verbose_name_plural)
        deed = Deed(
            label=operation.label, done=operation.done, plural=plural, act=act, named=lambda task: str(task.source.name)
        )
        carry_out(self, request, rows, deed)

    @property
    def _kind(self) -> type[Task]:
        kind: type[Task] = self.model
        return kind


def _do(operation: Operation, task: Task) -> None:
    """Have the service do it; RefusedError when it cannot be done."""
    refusal, state = f"not {operation.done.lower()}", worded(Status(task.status))
    if task.status not in operation.statuses:
        raise RefusedError(f"{refusal}, it is {state}.", f"it is {state}")
    try:
        done = operation.act(task)
    except CarryonError as error:
        raise RefusedError(f"{refusal}: {error}", error.code) from error
    if not done:
        raise RefusedError(f"{refusal}, its client was faster.", "its client was faster")


def _hash_of(task: Any) -> str:
    """The hash that an upload has, which an operation may take away."""
    known = getattr(task, "hash", "")
    return f", hash {known}" if known else ""
