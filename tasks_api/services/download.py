"""New downloads, what can be downloaded, and by whom."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction

from tasks_api import progress
from tasks_api.models import DownloadTask, Grant, Source, Status
from tasks_api.models.source import SourceQuerySet
from tasks_api.services.task import tell
from transfers.errors import NoSuchTaskError, NotGrantedError, SourceIncompleteError


@transaction.atomic
def create(*, user: User, source_id: int) -> DownloadTask:
    """Begin a download of the source; the user's live one when there is one.

    NoSuchTaskError, NotGrantedError or SourceIncompleteError when the user cannot have one.
    """
    source = Source.objects.select_related("public_upload").filter(pk=source_id).first()
    if source is None:
        raise NoSuchTaskError("There is no such source.")
    if not Source.objects.granted_to(user).filter(pk=source.pk).exists():
        raise NotGrantedError("The owner of this source has not granted it to you.")
    if source.public_upload.status != Status.COMPLETED:
        raise SourceIncompleteError("The public block of this source has not been uploaded yet.")
    rows = DownloadTask.objects.filter(user=user, source=source).with_source()
    known: DownloadTask | None = rows.live().first()
    if known:
        return known
    new = DownloadTask(user=user, source=source, series_id=source.series_id)
    DownloadTask.objects.bulk_create([new], ignore_conflicts=True)  # of twins at once, one is the live one
    tell((), seen_by=[user.pk])
    # One that ended this very moment was live when it was asked for.
    made: DownloadTask = rows.live().first() or rows.latest("id")
    return made


def downloadable(*, user: User, series_id: int) -> SourceQuerySet:
    """The sources of the series that the user may download, and can, newest first, to be shown."""
    sources = Source.objects.granted_to(user).filter(series=series_id, public_upload__status=Status.COMPLETED)
    return sources.select_related("public_upload", "private_upload")


@transaction.atomic
def grant(*, source: Source, user: User, granted_by: User) -> None:
    """Let the user download the source."""
    _, made = Grant.objects.get_or_create(source=source, user=user, defaults={"granted_by": granted_by})
    if made:
        _follow(source, user)


@transaction.atomic
def revoke(*, source: Source, user: User) -> bool:
    """Let the user download no more of the source; False when there was no grant. Its owner and staff still may."""
    removed, _ = Grant.objects.filter(source=source, user=user).delete()
    if not removed:
        return False
    _follow(source, user)
    return True


def _follow(source: Source, user: User) -> None:
    """Tell of the user's downloads of the source, whose grant has changed."""
    downloads = DownloadTask.objects.filter(source=source, user=user)
    downloads.touch("shown_at", "updated_at")  # its client, which could report nothing, is given its time again
    events = [progress.task_update(download) for download in downloads.live().in_full()]
    tell(events, seen_by=[user.pk, source.owner_id])
