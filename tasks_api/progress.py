"""How tasks are told of, in answers and on the socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from transfers.progress import ProgressEvent

if TYPE_CHECKING:
    from datetime import datetime

    from tasks_api.models import DownloadTask, PrivateUpload, Source, Task, UploadTask


def shown(task: Task) -> dict[str, Any]:
    """A task as the wire has it; one that was not fetched `with_source()` costs queries."""
    told = {"id": task.pk, "status": task.status, "percent": task.percent, **shown_source(task.source)}
    told |= _shown_block(task.block)
    told["created_at"] = _shown_time(task.created_at)
    if task.kind == "download":
        told |= _shown_private(task.source, revoked=cast("DownloadTask", task).revoked)
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


def _shown_private(source: Source, *, revoked: bool = False) -> dict[str, Any]:
    """The private block; its hash only once it is there to be fetched, which is what clients wait for."""
    private: PrivateUpload | None = getattr(source, "private_upload", None)
    if private is None:
        return {"private_status": 0, "private_name": "", "private_size": 0, "private_hash": ""}
    return {
        "private_status": private.status,
        "private_name": private.name,
        "private_size": private.size,
        "private_hash": "" if revoked else private.fetchable_hash,
    }


def _shown_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
