"""Downloads of a source's two blocks."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q

from tasks_api.models.source import Source
from tasks_api.models.task import Status, Task, TaskQuerySet, task_rules
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


class DownloadTaskQuerySet(TaskQuerySet):
    """The ways to find downloads."""

    def live(self) -> Self:
        """Those that have not ended."""
        return self.exclude(status__in=ENDED)

    def with_source(self) -> Self:
        """Fetch with each all that is shown of it."""
        return self.select_related("source__public_upload", "source__private_upload")


class DownloadTask(Task):
    """A download of a source's public block, then of its private one, merged into the file; at most one live a user.

    One that failed may not go back to work while another is live. One whose user's grant is revoked stays where it is,
    without the private block's hash, until there is a grant again.
    """

    kind: ClassVar[str] = "download"
    states = DOWNLOAD_STATES

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="downloads", db_index=False)

    revoked = models.BooleanField(default=False, editable=False, help_text="The user's grant is no more.")

    objects = DownloadTaskQuerySet.as_manager()

    class Meta(Task.Meta):
        """One live at a time; the constraint says what no race may break."""

        constraints = [
            *task_rules(DOWNLOAD_STATES),
            models.UniqueConstraint(
                fields=["source", "user"], condition=~Q(status__in=ENDED), name="downloadtask_one_live"
            ),
        ]
        indexes = [*Task.Meta.indexes, models.Index(fields=["source", "user", "id"], name="downloadtask_source")]

    @property
    def block(self) -> PublicUpload:
        """The block that is downloaded first, and named in what is shown."""
        return self.source.public_upload

    def require_granted(self) -> None:
        """Refuse, with NotGrantedError, a report of who may not download the source any more."""
        if self.revoked:
            raise NotGrantedError("The owner of this source has revoked its grant.")
