"""Which way stored files came, and how much each has brought that is still here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import models
from django.db.models import Case, Count, Exists, OuterRef, Sum, Value, When

from transfers.models import Download, ListJob, StoredFile, Upload
from transfers.models.download import DownloadState
from transfers.models.stored_file import StoredFileQuerySet


class Origin(models.TextChoices):
    """The way a stored file came; one that came in two is of the first."""

    ZIP = "zip", "Zips of orders"
    UPLOAD = "upload", "Uploads"
    DOWNLOAD = "download", "Downloads"
    CASE = "case", "Cases"


@dataclass(frozen=True, slots=True)
class Amount:
    """How much there is."""

    files: int
    size: int
    """Bytes."""


def _brought(model: type[models.Model]) -> Exists:
    return Exists(model._default_manager.filter(stored_file=OuterRef("pk")))


_ORIGIN = Case(
    When(_brought(ListJob), then=Value(Origin.ZIP)),
    When(_brought(Upload), then=Value(Origin.UPLOAD)),
    When(_brought(Download), then=Value(Origin.DOWNLOAD)),
    default=Value(Origin.CASE),
    output_field=models.CharField(),
)


def came_by(rows: StoredFileQuerySet, origin: Origin) -> StoredFileQuerySet:
    """Those of the files that came this way."""
    return rows.annotate(origin=_ORIGIN).filter(origin=origin)


def kept() -> Mapping[Origin, Amount]:
    """What is kept of each way; reads all rows of stored files."""
    rows = StoredFile.objects.kept().order_by().annotate(origin=_ORIGIN).values_list("origin")
    found = {origin: Amount(files, size) for origin, files, size in rows.annotate(Count("pk"), Sum("size"))}
    return {origin: found.get(origin, Amount(0, 0)) for origin in Origin}


UNFINISHED = tuple(state for state in DownloadState if state != DownloadState.COMPLETED)
"""The states of downloads whose bytes are kept for another try."""


def unfinished_uploads() -> Amount:
    """What open uploads have sent so far; a part that was sent again may count twice."""
    return _amount(Upload.objects.unfinished(), "received")


def unfinished_downloads() -> Amount:
    """What is here of downloads that are not whole."""
    return _amount(Download.objects.filter(state__in=UNFINISHED, bytes_done__gt=0), "bytes_done")


def _amount(rows: models.QuerySet[models.Model], column: str) -> Amount:
    told = rows.order_by().aggregate(files=Count("pk"), size=Sum(column))
    return Amount(told["files"], told["size"] or 0)
