"""Series and their sources, and who may download a source."""

from __future__ import annotations

from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

MAX_ID = 2**63 - 1
"""The largest id that the database can hold."""


class Series(models.Model):
    """A series as the clients number it; made when its number is first used."""

    id = models.BigIntegerField("number", primary_key=True)
    name = models.CharField(max_length=255, blank=True, help_text="For people; clients tell a number only.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        """By number."""

        ordering = ["id"]
        verbose_name_plural = "series"
        constraints = [models.CheckConstraint(condition=Q(id__gt=0), name="series_id_positive")]

    def __str__(self) -> str:
        return f"{self.name} ({self.pk})" if self.name else str(self.pk)


class SourceQuerySet(models.QuerySet["Source"]):
    """The ways to find sources."""

    def granted_to(self, user: Any) -> Self:
        """Those that this user may download: the user's own, those with a grant, and for staff all."""
        if user.is_staff:
            return self.all()
        return self.filter(Q(owner=user) | Exists(Grant.objects.filter(source=OuterRef("pk"), user=user)))


class Source(models.Model):
    """One file of a film's master: what its public and its private block together become again."""

    series = models.ForeignKey(Series, on_delete=models.PROTECT, related_name="sources", db_index=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="sources", db_index=False
    )
    uuid = models.CharField("UUID", max_length=100, help_text="As the owner's client named it.")
    name = models.CharField(max_length=500, help_text="The file's name.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = SourceQuerySet.as_manager()

    class Meta:
        """Newest first."""

        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "series", "uuid"], name="source_named_once"),
            models.CheckConstraint(condition=~Q(uuid="") & ~Q(name=""), name="source_has_names"),
        ]
        indexes = [models.Index(fields=["series", "id"], name="source_series")]

    def __str__(self) -> str:
        return self.name

    def viewer_ids(self) -> set[int]:
        """The users who may see anything of it: its owner, and whoever has a grant or a download; staff besides."""
        granted = self.grants.order_by().values_list("user_id")
        downloading = self.downloads.order_by().values_list("user_id")
        return {self.owner_id, *(user_id for (user_id,) in granted.union(downloading))}


class Grant(models.Model):
    """That a user may download a source; its owner and staff may without one."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="grants", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="source_grants")
    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        """Newest first."""

        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["source", "user"], name="grant_once")]

    def __str__(self) -> str:
        return f"{self.user} may download {self.source}"
