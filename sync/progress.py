"""How jobs are told of, in answers and on the socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transfers.progress import ProgressEvent

if TYPE_CHECKING:
    from sync.models import Job

SHOWN_FAILURES = 1000
"""Failures that an answer lists; the count tells of more."""


def shown(job: Job) -> dict[str, Any]:
    """A job as the wire has it, but for its plan and its failures."""
    return {
        "jobId": str(job.pk),
        "caseId": shown_case_id(job),
        "up": job.up,
        "state": job.state,
        "phase": job.phase,
        "dryRun": job.dry_run,
        "filesDone": job.files_done,
        "filesTotal": job.files_total,
        "bytesDone": job.bytes_done,
        "bytesTotal": job.bytes_total,
        "bytesPerSecond": job.bytes_per_second,
        "currentFiles": job.current_files,
        "failuresCount": job.failures_count,
        "startedOn": _shown_time(job.started_at),
        "endedOn": _shown_time(job.ended_at),
        "error": {"code": job.error_code, "detail": job.error} if job.error_code else None,
    }


def shown_case_id(job: Job) -> str | None:
    """What the case API calls the job's case; None until it is known."""
    return str(job.case.uuid) if job.case.uuid else None


def shown_failures(job: Job) -> list[dict[str, str]]:
    """The files that could not be brought, in the order in which they failed."""
    return [{"path": failure.path, "reason": failure.reason} for failure in job.failures.all()[:SHOWN_FAILURES]]


def job_state(job: Job) -> ProgressEvent:
    """Where the job stands now: to the case's owner, to who asked, and to staff."""
    body = {**shown(job), "id": str(job.pk), "revision": job.revision}
    if job.is_end:
        body["failures"] = shown_failures(job)
    others = (job.user_id,)
    keys = {"caseId": shown_case_id(job) or "", "jobId": str(job.pk)}
    return ProgressEvent(
        "raylinksync_stream", job.case.user_id, body, keys, is_state=True, is_end=job.is_end, others=others
    )


def _shown_time(moment: Any) -> str | None:
    return moment.isoformat() if moment is not None else None
