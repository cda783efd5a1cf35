"""Downloads of a source's two blocks."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from django.contrib.auth.models import User
from django.db import models
from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now
from django.db.models.lookups import Exact, IsNull
from django.utils.functional import cached_property

from tasks_api.models.source import Grant, Source
from tasks_api.models.task import WHOLE, Status, Task, TaskQuerySet, list_indexes, task_rules
from tasks_api.models.upload import PublicUpload
from transfers.errors import NotGrantedError

DOWNLOAD_STATES = (
    Status.NOT_STARTED,
    Status.DOWNLOADING,
    Status.WAITING,
    Status.FETCHING_KEY,
    Status.MERGING,
    Status.COMPLETED,
)
ENDED = (Status.COMPLETED, Status.FAILED)


@functools.cache
def is_granted() -> Q:
    """The downloads whose user may download the source at present: its owner, who has a grant, and staff."""
    # No joins, which a mere count of the rows would make too; and no EXISTS, for which PostgreSQL hashes whole tables
    # even where few rows are wanted: 70 ms for a page of 100,000 rows.
    owner = Subquery(Source.objects.order_by().filter(pk=OuterRef("source")).values("owner"))
    granted = Grant.objects.order_by().filter(source=OuterRef("source"), user=OuterRef("user"))
    is_staff = Subquery(User.objects.filter(pk=OuterRef("user")).values("is_staff"))
    return Q(Exact(owner, F("user"))) | Q(IsNull(Subquery(granted.values("pk")), False)) | Q(is_staff)


def needs_private(status: int, percent: int) -> bool:
    """Whether a download that stands so has the public block, and cannot go on without the private one."""
    return status in (Status.WAITING, Status.FETCHING_KEY) or (status == Status.DOWNLOADING and percent == WHOLE)


class DownloadTaskQuerySet(TaskQuerySet):
    """The ways to find downloads."""

    def live(self) -> Self:
        """Those that have not ended."""
        return self.exclude(status__in=ENDED)

    def with_source(self) -> Self:
        """Fetch its source with each, and the source's blocks."""
        return self.select_related("source__public_upload", "source__private_upload")

    def in_full(self) -> Self:
        """Fetch with each all that is shown of it; of a single one, `granted` is asked for only where it matters."""
        return self.with_source().annotate(granted=is_granted())

    def touch(self, *columns: str) -> None:
        """Write the present time to these columns."""
        # In the order of their ids: two that touch some of the same would else wait for each other.
        held = self.order_by("pk").select_for_update().values("pk")
        self.model._default_manager.filter(pk__in=held).update(**dict.fromkeys(columns, Now()))


class DownloadTask(Task):
    """A download of a source's public block, then of its private one, merged into the file; at most one live a user.

    One that failed may not go back to work while another is live. One whose user's grant is revoked stays where it is,
    without the private block's hash, until there is a grant again.
    """

    kind: ClassVar[str] = "download"
    states = DOWNLOAD_STATES
    shown_since: ClassVar[str] = "shown_at"

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="downloads", db_index=False)
    shown_at = models.DateTimeField(
        db_default=Now(), editable=False, help_text="When the task, its private block or its grant changed last."
    )
    waiting_since = models.DateTimeField(
        null=True, editable=False, help_text="Since when it has needed the private block, or needed it again."
    )

    objects = DownloadTaskQuerySet.as_manager()

    class Meta(Task.Meta):
        """One live at a time; the constraint says what no race may break."""

        constraints = [
            *task_rules(DOWNLOAD_STATES),
            models.UniqueConstraint(
                fields=["source", "user"], condition=~Q(status__in=ENDED), name="downloadtask_one_live"
            ),
        ]
        indexes = [
            *list_indexes("shown_at", for_staff=True),
            models.Index(fields=["source", "user", "id"], name="downloadtask_source"),
        ]

    @property
    def block(self) -> PublicUpload:
        """The block that is downloaded first, and named in what is shown."""
        return self.source.public_upload

    @cached_property
    def granted(self) -> bool:
        """Whether the user may download the source, when this is first asked."""
        return bool(type(self)._default_manager.filter(is_granted(), pk=self.pk).exists())

    def require_granted(self) -> None:
        """Refuse, with NotGrantedError, a report of who may not download the source any more."""
        if not self.granted:
            raise NotGrantedError("The owner of this source has revoked its grant.")

    def _moments(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        """What waits goes on waiting since when it began to, whatever else is told of it."""
        needs = needs_private(*(changed.get(name, getattr(self, name)) for name in ("status", "percent")))
        since = Coalesce("waiting_since", Now()) if needs else None
        return {**super()._moments(changed), "shown_at": Now(), "waiting_since": since}
