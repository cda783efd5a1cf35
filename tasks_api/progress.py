"""How tasks are told of, in answers and on the socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from transfers.progress import ProgressEvent

if TYPE_CHECKING:
    from datetime import datetime

    from tasks_api.models import DownloadTask, PrivateUpload, Source, Task, UploadTask


def shown(task: Task) -> dict[str, Any]:
    """A task as the wire has it; one that was not fetched `in_full()` costs queries."""
    told = {"id": task.pk, "status": task.status, "percent": task.percent, **shown_source(task.source)}
    told |= _shown_block(task.block)
    told["created_at"] = _shown_time(task.created_at)
    if task.kind == "download":
        told |= _shown_private(task.source, cast("DownloadTask", task))
    return told


def shown_source(source: Source) -> dict[str, Any]:
    """What names a source."""
    return {
        "series_id": source.series_id,
        "source_id": source.pk,
        "source_name": source.name,
        "uuid": source.uuid,
    }


def shown_downloadable(source: Source) -> dict[str, Any]:
    """A source with its blocks, as one who would download it has to know it."""
    told = {**shown_source(source), **_shown_block(source.public_upload)}
    return {**told, "created_at": _shown_time(source.created_at), **_shown_private(source)}


def task_update(task: Task) -> ProgressEvent:
    """The event that tells where a task stands now: to its user, to the source's owner, and to staff."""
    body = {"kind": task.kind, "task": shown(task)}
    return ProgressEvent("task_update", task.user_id, body, others=(task.source.owner_id,))


def _shown_block(block: UploadTask) -> dict[str, Any]:
    return {"ip": block.ip, "file": block.file, "name": block.name, "size": block.size, "hash": block.hash}


def _shown_private(source: Source, download: DownloadTask | None = None) -> dict[str, Any]:
    """The private block; its hash only once it is there to be fetched, and only to a download that is granted."""
    private: PrivateUpload | None = getattr(source, "private_upload", None)
    if private is None:
        return {"private_status": 0, "private_name": "", "private_size": 0, "private_hash": ""}
    return {
        "private_status": private.status,
        "private_name": private.name,
        "private_size": private.size,
        "private_hash": _shown_hash(private, download),
    }


def _shown_hash(private: PrivateUpload, download: DownloadTask | None) -> str:
    if private.fetchable_hash and download and not download.granted:
        return ""
    return private.fetchable_hash


def _shown_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
