"""How much of the storage a user may take, and takes: what is here, and what has been promised room.

Whoever promises room does so while it *holds* the user's quota: it looks and writes in one transaction, behind a lock
on the user's row, so that two who come at once cannot both be given the same room. SQLite has one writer at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models, transaction
from django.db.models import Case, Exists, F, Max, OuterRef, Sum, Value, When
from django.db.models.functions import Coalesce, Greatest

from transfers.errors import QuotaExceededError
from transfers.models import Download, ListJob, Quota, StoredFile, Upload
from transfers.models.download import DownloadState
from transfers.models.list_job import ListJobKind
from transfers.models.upload import CLAIMED

_BYTES = models.BigIntegerField()
_REPLACED = Case(When(stored_file__deleted_at=None, then=Coalesce(F("stored_file__size"), 0)), default=Value(0))
"""Bytes of the kept file that a download brings anew: they are counted as that file's."""
_COMING = Greatest(Coalesce(F("size"), 0), F("bytes_done"), output_field=_BYTES) - _REPLACED
AT_WORK = (DownloadState.QUEUED, DownloadState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a user takes of the storage, in bytes."""

    files: int
    """Stored files, zips among them."""
    uploads: int
    """Open uploads: what they were told to have, or what has come where that is more."""
    downloads: int
    """Downloads at work, with what is still to come, and what stopped ones keep to go on from."""
    zips: int
    """Zips that are being made: their files, and the most that an archive has beside them."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.files + self.uploads + self.downloads + self.zips


def limit_of(user_id: int) -> int | None:
    """The bytes that the user may have here; None is unlimited."""
    own = list(Quota.objects.filter(user_id=user_id).values_list("max_bytes", flat=True))
    limit: int | None = own[0] if own else settings.ENVIRONMENT.user_quota_bytes
    return limit


def usage_of(user_id: int, beside: models.Model | None = None) -> Usage:
    """What the user takes, without that one upload or download."""
    files = StoredFile.objects.kept().filter(owner_id=user_id)
    uploads = Upload.objects.unfinished().filter(owner_id=user_id)
    downloads = Download.objects.filter(user_id=user_id)
    if isinstance(beside, Upload):
        uploads = uploads.exclude(pk=beside.pk)
    elif isinstance(beside, Download):
        downloads = downloads.exclude(pk=beside.pk)
    zips = ListJob.objects.live().filter(user_id=user_id, kind=ListJobKind.ZIP)
    # One statement, which sees one moment: what becomes a file meanwhile is neither missed nor counted twice.
    sums = _summed("files", files, F("size")).union(
        _summed("uploads", uploads, CLAIMED),
        _summed("downloads", downloads.filter(state__in=AT_WORK), Greatest(_COMING, 0)),
        _kept_of(downloads),
        _summed("zips", zips, F("order__total_bytes") + F("order__framing_bytes")),
        all=True,
    )
    taken = dict.fromkeys(("files", "uploads", "downloads", "zips"), 0)
    for part, total in sums:
        taken[part] += int(total or 0)
    return Usage(**taken)


def needed_by(download: Download, size: int | None) -> int:
    """The bytes that a download of this size takes beside the file that it brings anew; 1 where nobody knows."""
    stored = download.stored_file
    if stored is None or stored.deleted_at is not None:
        return max(size or 0, 1)
    return max((size or 0) - stored.size, 0)


@contextmanager
def held(user_id: int) -> Iterator[None]:
    """Let nobody else promise room of this user's until the block ends; where there is no limit, nobody waits."""
    if limit_of(user_id) is None:
        yield
        return
    with transaction.atomic():
        # Not FOR UPDATE: rows that name the user are written all the time, and need not wait.
        User.objects.select_for_update(no_key=True).filter(pk=user_id).values_list("pk", flat=True).first()
        yield


def require(user_id: int, size: int, beside: models.Model | None = None) -> None:
    """QuotaExceededError when so many bytes more, in place of what `beside` has, are more than the user may have."""
    limit = limit_of(user_id)
    if limit is None or not size:
        return
    taken = usage_of(user_id, beside).total
    if taken + size > limit:
        raise QuotaExceededError(f"You may have {limit} bytes here, and {taken} are taken; this needs {size}.")


def _kept_of(downloads: models.QuerySet[Download]) -> Any:
    """What stopped and failed ones keep: several of one URL to one place go on from the same bytes."""
    left = downloads.filter(state__in=(DownloadState.STOPPED, DownloadState.FAILED), bytes_done__gt=0)
    taken_up = Exists(Download.objects.live().filter(save_path=OuterRef("save_path")))
    whole = Exists(StoredFile.objects.kept().filter(path=OuterRef("save_path")))  # which is counted as a file
    places = left.filter(~taken_up, ~whole).order_by().values("save_path").annotate(total=Max("bytes_done"))
    return places.annotate(part=Value("downloads")).values_list("part", "total")


def _summed(part: str, rows: Any, value: models.Expression | F) -> Any:
    """One row: the part of the usage, and the sum of this value of all rows."""
    grouped = rows.order_by().values(part=Value(part))
    return grouped.annotate(total=Sum(value, output_field=_BYTES)).values_list("part", "total")
