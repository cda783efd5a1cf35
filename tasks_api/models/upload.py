"""Uploads of a source's two blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import Q

from tasks_api import wording
from tasks_api.cids import MAX_CID_CHARS
from tasks_api.models.source import Source
from tasks_api.models.task import Status, Task, TaskQuerySet, list_indexes, task_rules
from transfers.errors import InvalidInputError

PUBLIC_STATES = (Status.NOT_STARTED, Status.SPLITTING, Status.ENCRYPTING, Status.UPLOADING, Status.COMPLETED)
PRIVATE_STATES = (Status.NOT_STARTED, Status.UPLOADING, Status.COMPLETED)


class UploadTask(Task):
    """An upload of one block, with what is known of the block; its `user` is the source's owner."""

    name = models.CharField(max_length=500, blank=True, help_text="The block's file name.")
    file = models.CharField(max_length=1000, blank=True, help_text="The folder's name.")
    hash = models.CharField(max_length=MAX_CID_CHARS, blank=True, help_text="The block's CID.")
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes; 0 while unknown.")
    ip = models.CharField("IPFS address", max_length=255, blank=True, help_text="Of the machine that uploads.")

    class Meta(Task.Meta):
        """As for all tasks."""

        abstract = True

    @property
    def block(self) -> UploadTask:
        """The block that the task is about."""
        return self

    @property
    def fetchable_hash(self) -> str:
        """The block's CID once all of it can be fetched; "" before."""
        return self.hash if self.status == Status.COMPLETED else ""

    def _require_facts(self, told: Mapping[str, Any]) -> None:
        if told["status"] == Status.COMPLETED:
            missing = [name for name in ("hash", "size") if not told.get(name, getattr(self, name))]
            if missing:
                raise InvalidInputError({name: [wording.say("needed_to_complete")] for name in missing})


def upload_rules(states: tuple[Status, ...]) -> list[models.BaseConstraint]:
    """What no row of an upload with these states may break."""
    completed = ~Q(status=Status.COMPLETED)
    known = ~Q(hash="") & Q(size__gt=0)
    return [*task_rules(states), models.CheckConstraint(condition=completed | known, name="%(class)s_completed_known")]


class PublicUpload(UploadTask):
    """The upload of the large block that everybody may have."""

    kind: ClassVar[str] = "public_upload"
    states = PUBLIC_STATES

    source = models.OneToOneField(Source, on_delete=models.CASCADE, related_name="public_upload")

    objects = TaskQuerySet.as_manager()

    class Meta(UploadTask.Meta):
        """One per source."""

        constraints = upload_rules(PUBLIC_STATES)
        indexes = list_indexes(for_staff=True)


class PrivateUploadQuerySet(TaskQuerySet):
    """The ways to find uploads of private blocks."""

    def listed_to(self, user: Any) -> Self:
        """The user's own: what is to do is to be done by the one who has the block, also where that is staff."""
        return self.of(user)


class PrivateUpload(UploadTask):
    """The upload of the small block with the key; made when the source's public upload completes."""

    kind: ClassVar[str] = "private_upload"
    states = PRIVATE_STATES

    source = models.OneToOneField(Source, on_delete=models.CASCADE, related_name="private_upload")

    objects = PrivateUploadQuerySet.as_manager()

    class Meta(UploadTask.Meta):
        """One per source."""

        constraints = upload_rules(PRIVATE_STATES)
        indexes = list_indexes(for_staff=False)

    def mark_reopened(self) -> bool:
        """completed or failed → not started: the block is to be uploaded again, and nobody is told of the old one."""
        ended = Q(status__in=(Status.COMPLETED, Status.FAILED))
        return self._write(ended, {"status": Status.NOT_STARTED, "percent": 0, "hash": "", "size": 0})
