"""Holding a job: its case, its plan, its end."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import structlog
from celery import shared_task
from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Sum
from django.db.models.functions import Coalesce, Now

from sync import case_api
from sync.models import Batch, Case, Failure, Job
from sync.models.job import Desired, JobState, Phase
from sync.tasks.batches import SKIPPED, BatchWriter
from sync.tasks.events import tell_state
from sync.tasks.lanes import work_off
from sync.tasks.legs import Leg, legs_of
from sync.tasks.trouble import MAX_FRUITLESS, may_pass
from sync.tasks.waiting import waited_for
from transfers import leases, running, tally
from transfers.doorbell import EVERY_WORKER, ring
from transfers.errors import (
    CarryonError,
    CaseDiffersError,
    Interrupted,
    Interruption,
    TransferError,
    transfer_error,
)

log = structlog.get_logger(__name__)

PUBLISH_SECONDS = 1.0
"""How often progress is told (the contract says every second)."""
INVITE_SECONDS = 3.0
"""How often other workers are asked to help while there is work that nobody has."""


@shared_task(name="sync.sync_case")
def sync_case(job_id: str) -> None:
    """Sync a case until it is done or cannot be, if nobody else is at it."""
    if running.draining():
        return
    job = Job.objects.claim(job_id, leases.new_owner())
    if job is not None:
        _Holding(job).run()


@shared_task(name="sync.help_sync")
def help_sync(job_id: str) -> None:
    """Work off some batches of a job that another worker holds, if there are any to be had."""
    job = (
        Job.objects.select_related("case")
        .filter(pk=job_id, state=JobState.RUNNING, desired=Desired.RUN, is_planned=True, dry_run=False)
        .first()
    )
    if job is None or running.draining():
        return
    with running.working_on(job.pk, _Deaf(), alone=True) as alone:
        if alone:
            try:
                work_off(Leg(job, Phase(job.phase)))
            except CarryonError as error:
                log.info("helped no more", job=str(job.pk), code=error.code)
            except Exception as error:  # noqa: BLE001 - the holder finds the batch undone, and meets with the same
                _log_unexpected(job, error)


def _log_unexpected(job: Job, error: Exception) -> None:
    """Log where it came from, but not its words: they may have a path in them, and a case's has the patient's id."""
    trace = "".join(traceback.format_tb(error.__traceback__))
    log.error("a sync failed", job=str(job.pk), error=type(error).__qualname__, trace=trace)


class _Deaf:
    """Help that has nothing to end but its batches, which are told themselves."""

    def interrupt(self, reason: Interruption) -> None:
        """Nothing to do."""


class _Holding:
    """One worker's hold of a job, under one heartbeat."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._reason: Interruption | None = None
        self._failure: TransferError | None = None
        self._writing = threading.RLock()
        self._has_brought = False
        """Whether any file was, in this attempt at the job."""
        self._published = self._invited = 0.0
        self._measured = (time.monotonic(), 0)

    def run(self) -> None:
        """Work until the job ends or is handed back."""
        seconds = settings.ENVIRONMENT.heartbeat_seconds
        beat = leases.Heartbeat(self._beat, lambda: self.interrupt(Interruption.FENCED), seconds)
        transfer = structlog.contextvars.bound_contextvars(transfer=str(self.job.pk))
        with transfer, running.working_on(self.job.pk, self), beat:
            try:
                self._work()
                self._check()
                self._end(self.job.mark_completed)
            except Interrupted as interrupted:
                self._obey(interrupted.reason)
            except CarryonError as error:
                self._fail(error)
            except DatabaseError as error:  # the lease runs out, and whoever has a database goes on
                _log_unexpected(self.job, error)
            except Exception as error:  # noqa: BLE001 - logged
                _log_unexpected(self.job, error)
                self._fail(TransferError("something unexpected went wrong; it has been logged"))

    def interrupt(self, reason: Interruption) -> None:
        """End soon, for this reason; the first one counts."""
        self._reason = self._reason or reason

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._reason is not None:
            raise Interrupted(self._reason)

    # The work

    def _work(self) -> None:
        self._hold(started_at=Coalesce("started_at", Now()), is_planned=False, error_code="", error="")
        self.job.refresh_from_db(fields=["started_at"])
        tell_state(self.job)
        if not self.job.dry_run:
            self._know_case()
        self.job.batches.filter(job__dry_run=True).delete()
        for leg in legs_of(self.job):
            self._go(leg)

    def _know_case(self) -> None:
        """Have the case API know the case, and tell what it calls it."""
        case = self.job.case
        found = waited_for(lambda: case_api.known(case, create=self.job.up), self._check)
        if case.uuid != found:
            try:
                with transaction.atomic():
                    Case.objects.filter(pk=case.pk).update(uuid=found)
            except IntegrityError:
                raise CaseDiffersError("The case API calls this case as another one is called here.") from None
            case.uuid = found

    def _go(self, leg: Leg) -> None:
        self._clear(leg)
        writer = BatchWriter(leg)
        writer.write(leg.actions(self._check))
        totals = {
            "files_total": self.job.files_before + writer.files,
            "bytes_total": self.job.bytes_before + writer.size,
        }
        self._hold(is_planned=True, **totals)
        if not self.job.dry_run:
            work_off(leg, holds=self._goes_on)
            self._check()
        self._tally()
        if leg.phase == Phase.COPYING and not self.job.dry_run:
            self._copied()

    def _clear(self, leg: Leg) -> None:
        """Begin a way, or begin it anew: what was done of it stays done, and counts."""
        done = {"files": 0, "size": 0}
        is_again = self.job.phase == leg.phase
        if is_again:
            done = self.job.batches.aggregate(files=Coalesce(Sum("files_done"), 0), size=Coalesce(Sum("bytes_done"), 0))
            done = {"files": done["files"] + self.job.files_before, "size": done["size"] + self.job.bytes_before}
        with transaction.atomic():  # or batches would go that are another holder's by now
            self._hold(
                phase=leg.phase,
                is_planned=False,
                files_before=done["files"],
                bytes_before=done["size"],
                files_done=done["files"],
                bytes_done=done["size"],
                files_total=done["files"],
                bytes_total=done["size"],
            )
            if not self.job.dry_run:
                self.job.batches.all().delete()
            Failure.objects.filter(job=self.job, phase=leg.phase).delete()
        self._measured = (time.monotonic(), done["size"])

    def _copied(self) -> None:
        """The first copy is whole: from now on the work goes on in the local folder."""
        if not Failure.objects.filter(job=self.job).exclude(code=SKIPPED).exists():
            with transaction.atomic():
                self._hold()
                Case.objects.filter(pk=self.job.case_id).update(copied_at=Now())

    def _goes_on(self) -> bool:
        return self._reason is None and self._failure is None

    # Its end

    def _obey(self, reason: Interruption) -> None:
        if reason == Interruption.STOPPED:
            self._end(self.job.mark_stopped)
        elif reason == Interruption.DRAINING:
            self._tally()
            if self._hand_back():
                ring(sync_case, self.job.pk)

    def _fail(self, error: CarryonError) -> None:
        self._tally()
        log.info("a sync failed", job=str(self.job.pk), code=error.code)
        fruitless = 0 if self._has_brought else self.job.fruitless_attempts
        if may_pass(error) and fruitless < MAX_FRUITLESS:
            tally.add("retries", kind="sync", code=error.code)
            facts = {"fruitless_attempts": fruitless + 1, "error_code": error.code, "error": error.message}
            self._hand_back(delay_seconds=2.0 ** (fruitless + 1), **facts)
            return
        tally.add("failures", kind="sync", code=error.code)
        self._end(lambda: self.job.mark_failed(error.code, error.message))

    def _hand_back(self, **facts: Any) -> bool:
        with self._writing:
            moved = self.job.hand_back(**facts)
        if moved:
            tell_state(self.job)
        return moved

    def _end(self, move: Callable[[], bool]) -> None:
        self._tally()
        with self._writing:
            moved = move()
        if moved:
            if not self.job.dry_run:
                Batch.objects.filter(job=self.job).delete()
            tell_state(self.job)

    # While it runs

    def _beat(self) -> bool:
        if not self._tally():
            return False
        wish = Job.objects.filter(pk=self.job.pk).values("desired", "error_code", "error").get()
        if wish["desired"] == Desired.STOP:
            self.interrupt(Interruption.STOPPED)
        if wish["error_code"]:
            self._failure = transfer_error(wish["error_code"], wish["error"])
        now = time.monotonic()
        if now >= self._published + PUBLISH_SECONDS:
            self._published = now
            tell_state(self.job)
        if self.job.is_planned and now >= self._invited + INVITE_SECONDS:
            self._invited = now
            if self.job.batches.waiting()[1:2].exists():
                ring(help_sync, self.job.pk, queue=EVERY_WORKER, expires_seconds=INVITE_SECONDS)
        return True

    def _tally(self) -> bool:
        """Add up what all workers have done, and write it down."""
        if self.job.dry_run:
            return self._progress()
        rows = self.job.batches.aggregate(
            files=Coalesce(Sum("files_done"), 0),
            whole=Coalesce(Sum("bytes_done"), 0),
            moving=Coalesce(Sum("bytes_moving"), 0),
        )
        self._has_brought = self._has_brought or rows["files"] > 0
        held = self.job.batches.filter(is_done=False).exclude(current_files=[])
        current = [path for paths in held.values_list("current_files", flat=True)[:4] for path in paths][:8]
        size = self.job.bytes_before + rows["whole"] + rows["moving"]
        return self._progress(
            files_done=self.job.files_before + rows["files"],
            bytes_done=size,
            bytes_per_second=self._speed(size),
            current_files=current,
            failures_count=Failure.objects.filter(job=self.job).count(),
        )

    def _speed(self, size: int) -> int:
        """Bytes a second, over the last few seconds."""
        now = time.monotonic()
        began, before = self._measured
        if now - began > 2 * PUBLISH_SECONDS:
            self._measured = (now, size)
        return max(0, int((size - before) / max(now - began, PUBLISH_SECONDS)))

    def _hold(self, **facts: Any) -> None:
        """Write this down as the job's holder; Interrupted when somebody else is that by now."""
        if not self._progress(**facts):
            raise Interrupted(Interruption.FENCED)

    def _progress(self, **facts: Any) -> bool:
        """Write this down, which renews the lease; whether it is still ours."""
        with self._writing:
            ours = self.job.mark_progress(**facts)
        if not ours:
            self.interrupt(Interruption.FENCED)
        return ours
