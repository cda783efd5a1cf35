"""What is told of running transfers on the socket: frames for whoever listens, never needed for the work itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import structlog
from channels.layers import get_channel_layer

from transfers import folders

if TYPE_CHECKING:
    from transfers.models import Download, ListJob

log = structlog.get_logger(__name__)

EVERYBODY = "transfers.staff"
STOPPED_TEXT = "Error: aborted"
MAX_PENDING = 1000
"""Frames that may wait for a slow or missing server of messages; the ones beyond it are dropped."""


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """One thing to tell: the event's name, whose it is, and its body; `keys` are what listeners filter by.

    Where it tells a state, the body's `id` and `revision` tell which of two of one transfer is the later one.
    """

    name: str
    user_id: int
    body: dict[str, Any]
    keys: dict[str, str] = field(default_factory=dict)
    is_state: bool = False
    """Whether it tells where the transfer stands, so that it stands for every one before it."""
    is_end: bool = False
    """Whether it tells a state that nothing comes after until the transfer is started again."""
    others: tuple[int, ...] = ()
    """Users whom it concerns besides."""

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that are to hear it; no listener is in two of them."""
        return (*(group_of(user_id) for user_id in sorted({self.user_id, *self.others})), EVERYBODY)

    def matches(self, filters: Mapping[str, str]) -> bool:
        """Whether a listener who asked for these keys is to hear it."""
        return all(self.keys.get(name) == value for name, value in filters.items())


def group_of(user_id: int) -> str:
    """The group that a user's own listeners join."""
    return f"transfers.user.{user_id}"


def publish(event: ProgressEvent) -> None:
    """Send the event to its user's and to the staff's listeners; returns at once and never fails."""
    _publisher.publish(event)


Snapshot = Callable[..., list[ProgressEvent]]

_snapshots: list[Snapshot] = []


def tell_also(snapshot: Snapshot) -> None:
    """Have new listeners told what this gives for their `user`: where an app's own work stands."""
    _snapshots.append(snapshot)


def others(*, user: Any, filters: Mapping[str, str]) -> list[ProgressEvent]:
    """Where the other apps' work stands that the user may see and that the filters match."""
    events = [event for snapshot in _snapshots for event in snapshot(user=user)]
    return [event for event in events if event.matches(filters)]


# What is told of a download, to the letter of the contract --------------------------------------------------------


def download_began(download: Download, offset: int) -> ProgressEvent:
    """Its bytes come in from this offset on."""
    return _download_event(download, {"Range": f"bytes={offset}-"})


def download_state(download: Download) -> ProgressEvent:
    """Where it stands now."""
    return _download_event(download, stream_status(download), is_state=True, is_end=not download.live)


def stream_status(download: Download) -> dict[str, Any]:
    """The message that tells where a download stands."""
    if download.state == "completed":
        data: dict[str, Any] = {"savePath": folders.shown(download.output_folder, download.save_path)}
        return _message("STREAM_COMPLETED", data)
    if download.state == "failed":
        return _message("STREAM_FAIL", {"error": f"Error: {download.error}", "code": download.error_code})
    if not download.live:
        return _message("STREAM_FAIL", {"error": STOPPED_TEXT, "reason": "stopped"})
    return _message("STREAM_RUNNING", {"downloaded": download.bytes_done, "totalSize": download.size})


# What is told of the jobs of lists and orders ---------------------------------------------------------------------

JOB_STATES = {"queued": "PROCESSING", "running": "PROCESSING", "completed": "COMPLETE"}
"""How the contract words a job's state; every other one is FAILED."""
ENDED_TEXTS = {"stopped": "The job was stopped.", "expired": "The zip was removed: start the order again."}


def list_job_state(job: ListJob) -> ProgressEvent:
    """Where a job of a list or an order stands now."""
    body = {**list_job_status(job), "id": str(job.pk), "revision": job.revision}
    keys = {"jobId": str(job.pk)} | ({"orderId": str(job.order_id)} if job.order_id else {})
    return ProgressEvent("list_job", job.user_id, body | keys, keys, is_state=True, is_end=not job.live)


def list_job_status(job: ListJob) -> dict[str, Any]:
    """The status of a job, as whoever polls for its result gets it for as long as there is none."""
    told: dict[str, Any] = {"jobId": str(job.pk), "jobState": JOB_STATES.get(job.state, "FAILED")}
    if told["jobState"] == "FAILED":
        text = job.error or ENDED_TEXTS.get(job.state, "")
        return {**told, "errorMessage": text, "errorDetails": job.error_code or job.state}
    counts = {"progressCurrent": job.bytes_done, "progressTotal": job.bytes_total}
    if job.order_id is None:
        counts = {"progressCurrent": job.files_done, "progressTotal": job.files_total}
    return {**told, **counts, "progressMessage": job.message or _files_text(job)}


def _files_text(job: ListJob) -> str:
    return f"{job.files_done} of {job.files_total} files"


def _message(status: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"action": "stream_status", "status": status, "data": data}


def _download_event(download: Download, message: dict[str, Any], **flags: Any) -> ProgressEvent:
    keys = {"cid": download.cid, "fid": download.fid}
    body = {**keys, "message": message, "id": str(download.pk), "revision": download.revision}
    return ProgressEvent("download_stream", download.user_id, body, keys, **flags)


class _Publisher:
    """A loop in a thread of its own, so that nobody who works waits for the server of messages."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending = 0

    def publish(self, event: ProgressEvent) -> None:
        with self._lock:
            if self._pending >= MAX_PENDING:
                return
            self._pending += 1
            loop = self._running_loop()
        asyncio.run_coroutine_threadsafe(self._send(event), loop)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, name="progress", daemon=True).start()
        return self._loop

    async def _send(self, event: ProgressEvent) -> None:
        message = {"type": "progress", "event": asdict(event)}
        try:
            layer = get_channel_layer()  # type: ignore[no-untyped-call]
            for group in event.groups:
                await layer.group_send(group, message)
        except Exception as error:  # noqa: BLE001 - whatever it is, a transfer must not suffer from it
            log.warning("progress not sent", error=type(error).__name__)
        finally:
            with self._lock:
                self._pending -= 1


_publisher = _Publisher()
