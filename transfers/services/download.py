"""Starting, stopping and looking up downloads."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from transfers import folders, progress, quotas
from transfers.doorbell import ring
from transfers.engine.local import PART_SUFFIX, numbered
from transfers.engine.redaction import redacted, without_credentials
from transfers.errors import AlreadyDownloadingError, NotDownloadingError, StoppedError, transfer_error
from transfers.models import Download, StoredFile
from transfers.models.download import ENDED, LIVE, Desired, DownloadQuerySet, DownloadState
from transfers.tasks import fetch_download

RECENT = timedelta(minutes=1)
"""How long an ended download is still part of the present state that a new listener gets."""
SNAPSHOT_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class DownloadRequest:
    """What a caller names a download by; with the caller, these name one and the same download for ever."""

    file_url: str
    cid: str
    fid: str = ""
    output_folder: str = ""

    @property
    def bare_url(self) -> str:
        """The URL without user name and password: what may be shown, and what names the file."""
        return without_credentials(self.file_url)

    @property
    def url_key(self) -> str:
        """SHA-256 of the bare URL, as hex."""
        return hashlib.sha256(self.bare_url.encode()).hexdigest()

    def key(self, folder: Path) -> str:
        """SHA-256, as hex, of all that names the download within one user's."""
        return hashlib.sha256(json.dumps([self.cid, self.fid, self.bare_url, str(folder)]).encode()).hexdigest()


def start(*, user: AbstractBaseUser, request: DownloadRequest) -> Download:
    """Have the file fetched, going on from what is here of it.

    AlreadyDownloadingError when it is being fetched, or another live download writes the same file;
    InvalidInputError for a folder outside the caller's; QuotaExceededError when the caller has no room for it.
    """
    folder = folders.resolve(request.output_folder)
    try:
        with quotas.held(user.pk), transaction.atomic():
            download = _named(user, request, folder).select_for_update().first() or _new(user, request, folder)
            if download.live:
                raise AlreadyDownloadingError("it is being downloaded already")
            if download.state == DownloadState.RUNNING:  # its worker has not seen the wish to stop yet
                download.desired = Desired.RUN
                download.save(update_fields=["desired"])
            else:
                _queue(download, request, folder)
            transaction.on_commit(lambda: ring(fetch_download, download.pk))
    except IntegrityError:
        raise AlreadyDownloadingError("another download is writing that file") from None
    return download


def restart(*, download: Download) -> Download:
    """Start a download again as it was asked for."""
    request = DownloadRequest(download.url, download.cid, download.fid, download.output_folder)
    return start(user=download.user, request=request)


def await_beginning(*, download: Download, seconds: float) -> Download:
    """Wait until the download's bytes come in, or it ended, or the time is over.

    Raises the TransferError that it failed with; StoppedError when it was stopped meanwhile.
    """
    deadline = time.monotonic() + seconds
    pause_seconds = 0.005
    while True:
        download = Download.objects.get(pk=download.pk)
        if download.state == DownloadState.FAILED:
            raise transfer_error(download.error_code, download.error)
        if not download.live and download.state != DownloadState.COMPLETED:
            raise StoppedError("aborted")
        if download.state in ENDED or download.stream_began_at or time.monotonic() >= deadline:
            return download
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.5, 0.25, max(0.001, deadline - time.monotonic()))


def stop(*, user: AbstractBaseUser, request: DownloadRequest) -> Download:
    """End a live download within a second, keeping its bytes; NotDownloadingError when it is not live."""
    return stop_download(download=_find_live(user, request))


def stop_download(*, download: Download) -> Download:
    """End this download; the worker that has it sees the wish with its next heartbeat."""
    if not Download.objects.live().filter(pk=download.pk, desired=Desired.RUN).update(desired=Desired.STOP):
        raise NotDownloadingError("it is not being downloaded")
    if Download.objects.filter(pk=download.pk).stop_unclaimed():
        download.refresh_from_db()
        transaction.on_commit(lambda: progress.publish(progress.download_state(download)))
    return download


def check(*, user: AbstractBaseUser, request: DownloadRequest) -> Download:
    """Look up a live download; NotDownloadingError when it is not live."""
    return _find_live(user, request)


def visible(*, user: AbstractBaseUser, **filters: str) -> DownloadQuerySet:
    """The downloads that this user may see, newest first, narrowed to these values of `state`, `cid`, `fid`."""
    rows = Download.objects.visible_to(user).filter(**filters).select_related("stored_file")
    return rows.order_by("-requested_at", "pk")  # the key, so that no row falls between two pages


def stream_status(*, download: Download) -> dict[str, Any]:
    """The event that tells where the download stands."""
    return progress.stream_status(download)


def snapshot(*, user: AbstractBaseUser, cid: str, fid: str) -> list[progress.ProgressEvent]:
    """Where the matching downloads stand, oldest first; empty filters match all.

    Of those that ended it tells the ones that did so just now, and every one that a `fid` names.
    """
    if "\0" in cid + fid:  # no row has it, and PostgreSQL cannot even look for it
        return []
    wanted = Q(state__in=(DownloadState.QUEUED, DownloadState.RUNNING))
    wanted |= Q(state__in=ENDED) if fid else Q(ended_at__gte=Now() - RECENT)
    rows = Download.objects.visible_to(user).filter(wanted)
    rows = rows.filter(**{name: value for name, value in (("cid", cid), ("fid", fid)) if value})
    return [progress.download_state(row) for row in reversed(rows.order_by("-requested_at")[:SNAPSHOT_LIMIT])]


# How a download gets its row and its name -------------------------------------------------------------------------


def _named(user: AbstractBaseUser, request: DownloadRequest, folder: Path) -> DownloadQuerySet:
    return Download.objects.filter(user_id=user.pk, request_key=request.key(folder))


def _find_live(user: AbstractBaseUser, request: DownloadRequest) -> Download:
    download = _named(user, request, folders.resolve(request.output_folder)).first()
    if download is None or not download.live:
        raise NotDownloadingError("it is not being downloaded")
    return download


def _new(user: AbstractBaseUser, request: DownloadRequest, folder: Path) -> Download:
    return Download(
        user_id=user.pk,
        cid=request.cid,
        fid=request.fid,
        url_shown=redacted(request.file_url),
        request_key=request.key(folder),
        url_key=request.url_key,
        output_folder=request.output_folder,
        state=DownloadState.STOPPED,
        save_path="",
    )


def _queue(download: Download, request: DownloadRequest, folder: Path) -> None:
    """Ended or new → queued, with what is known of the file kept and what is known of the last run forgotten."""
    _place(download, folder, folders.safe_name(request.bare_url))
    quotas.require(download.user_id, quotas.needed_by(download, download.size), beside=download)
    if download.state == DownloadState.COMPLETED:
        download.bytes_fetched = download.high_water = 0
        download.requested_at = Now()
        download.attempts.all().delete()  # they tell of the file that is here already
    download.url = request.file_url  # its credentials may be new
    download.state, download.desired = DownloadState.QUEUED, Desired.RUN
    download.error = download.error_code = ""
    download.fruitless_attempts = download.source_changes = download.bytes_per_second = 0
    download.ranges_broken = False
    download.stream_began_at = download.ended_at = None
    download.next_attempt_at = Now()
    download.save()
    download.refresh_from_db()


def _place(download: Download, folder: Path, name: str) -> None:
    """Give the download the first path it may write: its own, its twin's, or one that nobody has."""
    own = [Path(download.save_path)] if download.save_path else []
    for paths in _batches(itertools.chain(own, numbered(folder / name))):
        taken = _Taken(paths)
        for path in paths:
            others = [row for row in taken.downloads.get(str(path), ()) if row.pk != download.pk]
            if any(row.state in LIVE for row in others):
                raise AlreadyDownloadingError("another download is writing that file")
            twin = next((row for row in others if _is_twin(row, download)), None)
            if _may_write(download, path, others, twin, taken.files.get(str(path))):
                download.save_path = str(path)
                if twin is not None and _knows_more(twin, download):
                    _take_over(download, twin)
                return


def _batches(paths: Iterator[Path]) -> Iterator[list[Path]]:
    """Few at first, because nearly always one of them is free; each batch costs two queries."""
    size = 2
    while True:
        yield list(itertools.islice(paths, size))
        size = min(size * 8, 512)


class _Taken:
    """Who has which of these paths, the latest first."""

    def __init__(self, paths: Iterable[Path]) -> None:
        names = [str(path) for path in paths]
        self.downloads: dict[str, list[Download]] = {}
        for row in Download.objects.filter(save_path__in=names).order_by("-ended_at").select_related("stored_file"):
            self.downloads.setdefault(row.save_path, []).append(row)
        self.files = {file.path: file for file in StoredFile.objects.filter(path__in=names)}


def _is_twin(row: Download, download: Download) -> bool:
    """Whether it is the same user's download of the same URL."""
    return (row.user_id, row.url_key) == (download.user_id, download.url_key)


def _may_write(
    download: Download, path: Path, others: Sequence[Download], twin: Download | None, stored: StoredFile | None
) -> bool:
    if stored is not None and stored.owner_id != download.user_id:
        return False
    here = os.path.lexists(path)
    if not here and not os.path.lexists(path.with_name(path.name + PART_SUFFIX)):
        return True
    # Whoever had the path last has written what is here: had it been here before, that one had got another path.
    rows = [*others, *([download] if download.save_path == str(path) else [])]
    latest = max(rows, key=_left_at, default=None)
    if latest is None or not _is_twin(latest, download):
        return False
    # A file that we did not put there, or that somebody has changed since, is not ours either.
    files = {download.stored_file_id, twin.stored_file_id if twin else None}
    return not here or (stored is not None and stored.pk in files and stored.untouched())


def _knows_more(twin: Download, download: Download) -> bool:
    """Whether the bytes that are here are rather what the twin knows of than what the download does."""
    return not download.validator_kind or bool(twin.validator_kind and _left_at(twin) > _left_at(download))


def _left_at(row: Download) -> datetime:
    """When it gave its path up; only one that lives has not."""
    return row.ended_at or row.requested_at


def _take_over(download: Download, twin: Download) -> None:
    """Know what the same user's earlier download of the same URL to the same place knew."""
    for name in ("size", "part_size", "generation", "validator_kind", "validator_value", "stored_file"):
        setattr(download, name, getattr(twin, name))
