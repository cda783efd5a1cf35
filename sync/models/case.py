"""Cases: patients' folders of files."""

from __future__ import annotations

from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Max, Q
from django.db.models.functions import Now


class CaseQuerySet(models.QuerySet["Case"]):
    """The ways to find cases."""

    def visible_to(self, user: Any) -> Self:
        """Those that this user may see: their own, and for staff everybody's."""
        return self.all() if user.is_staff else self.filter(user=user)

    def with_remains(self, age: timedelta) -> Self:
        """Those that nobody works on, whose last job ended so long ago and was not swept up after, unless put off."""
        ended = self.annotate(last_end=Max("jobs__ended_at")).filter(last_end__lte=Now() - age)
        unswept = Q(swept_at=None) | Q(swept_at__lt=F("last_end") + age)
        due = Q(sweep_due_at=None) | Q(sweep_due_at__lte=Now())
        return ended.filter(unswept, due).exclude(jobs__state__in=("queued", "running"))

    def named(self, *, owner_group_id: str, pid: str, projectname: str) -> Self:
        """The one with this name, if there is one: these three name a case for ever."""
        return self.filter(owner_group_id=owner_group_id, pid=pid, projectname=projectname)


class Case(models.Model):
    """A patient's folder of files, which sync keeps the same here and in the cloud.

    Institution, patient and case name together name it, and so does its `uuid`, once the case API has told it.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="cases")
    uuid = models.UUIDField(null=True, unique=True, editable=False, help_text="What the case API calls it.")
    api_url = models.CharField(
        max_length=2048, blank=True, help_text="The case API that knows it; empty: this service."
    )
    owner_group_id = models.CharField("institution", max_length=128)
    lab_id = models.CharField("lab", max_length=128)
    pid = models.CharField("patient", max_length=128)
    projectname = models.CharField("case name", max_length=255)
    projecttype = models.CharField("type", max_length=255)
    s3keypath = models.CharField("key prefix", max_length=900)
    region = models.CharField(max_length=64)
    copied_at = models.DateTimeField(
        null=True, editable=False, help_text="When the first copy of its source was whole."
    )
    swept_at = models.DateTimeField(null=True, editable=False, help_text="When what unfinished work left was removed.")
    sweep_due_at = models.DateTimeField(
        null=True, editable=False, help_text="When it is tried again to remove that: a place may have been away."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = CaseQuerySet.as_manager()

    class Meta:
        """Newest first."""

        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["owner_group_id", "pid", "projectname"], name="case_named_once"),
            models.UniqueConstraint(fields=["region", "s3keypath"], name="case_prefix_once"),
            models.CheckConstraint(condition=~models.Q(s3keypath=""), name="case_prefix_not_empty"),
        ]

    def __str__(self) -> str:
        """Told without the patient: it is shown in messages and logs."""
        return f"case {self.uuid or self.pk}"

    @property
    def folder(self) -> str:
        """Where its files lie below the save path, and the folder that its stored files are listed in."""
        return str(PurePosixPath(self.owner_group_id, self.pid, self.projectname))
