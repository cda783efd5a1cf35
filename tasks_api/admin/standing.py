"""Where a task stands, in the words that the lists and pages show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tasks_api.models import DownloadTask, Status, Task
from transfers.admin import wording

VARIANTS = {
    Status.NOT_STARTED: "default",
    Status.WAITING: "warning",
    Status.COMPLETED: "success",
    Status.FAILED: "danger",
}
"""The colours of the states; those that are missing are at work."""
AT_WORK = "info"
LOOKS = {"default": "queued", AT_WORK: "running", "warning": "stopped", "success": "completed", "danger": "failed"}
"""What a bar of each colour is called in the style sheet."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a task stands."""

    key: str
    """Tells the task from all others, of whatever kind."""
    state: str
    variant: str
    percent: int
    revoked: bool

    @classmethod
    def of(cls, task: Task) -> Standing:
        """Word it."""
        status = Status(task.status)
        return cls(
            key=f"{task.kind}-{task.pk}",
            state=worded(status),
            variant=VARIANTS.get(status, AT_WORK),
            percent=task.percent,
            revoked=isinstance(task, DownloadTask) and not task.granted,
        )

    @property
    def look(self) -> str:
        """How the bar looks."""
        return LOOKS[self.variant]


def worded(status: Status) -> str:
    """A state's name within a sentence."""
    return status.label.lower()


def rendered(part: str, task: Task | None) -> SafeString | str:
    """The task's `state` or `progress`; a dash for no task."""
    if task is None:
        return wording.NOTHING
    return render_to_string(f"tasks_api/admin/task_{part}.html", {"standing": Standing.of(task)})


def link(row: Task | object, text: object = None) -> SafeString:
    """The way to a row's page."""
    meta = row._meta  # type: ignore[union-attr]
    page = reverse(f"admin:{meta.label_lower.replace('.', '_')}_change", args=[row.pk])  # type: ignore[union-attr]
    return format_html('<a href="{}" class="transfer-link">{}</a>', page, row if text is None else text)


def since(moment: datetime) -> SafeString:
    """A point in time, and how long ago it is."""
    ago = wording.span((timezone.now() - moment).total_seconds())
    return format_html('<span class="task-since">{}<small>{} ago</small></span>', wording.moment(moment), ago)


def code(text: str) -> SafeString | str:
    """A hash or an address; a dash for none."""
    return format_html('<code class="transfer-code">{}</code>', text) if text else wording.NOTHING
