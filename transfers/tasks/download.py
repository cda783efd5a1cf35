"""Fetching a URL: the worker that holds a download, and those that join it on a large one."""

from __future__ import annotations

import random
import threading
import time

import structlog
from celery import shared_task
from django.conf import settings
from django.db.models.functions import Now

from transfers import leases, progress, running, tally
from transfers.doorbell import EVERY_WORKER, ring
from transfers.engine.retry import pause_seconds
from transfers.errors import ChecksumMismatchError, Interrupted, Interruption, TransferError
from transfers.limits import Slots
from transfers.models import Download, DownloadAttempt
from transfers.models.download import Desired, DownloadState
from transfers.models.download_attempt import AttemptOutcome
from transfers.tasks.attempt import Attempt
from transfers.tasks.checksums import finish_checksums
from transfers.tasks.events import tell_state
from transfers.tasks.joining import Join

log = structlog.get_logger(__name__)

SLOT_PATIENCE_SECONDS = 2.0
"""How long a thread waits for a connection to a busy host before it turns to other work."""
PATIENT_PAUSE_SECONDS = 3.0
"""A pause up to this is waited for in place; a longer one gives the thread to other work."""
ROUND_SECONDS = 5.0
"""How long a thread goes from download to download before it looks what else there is to do."""
PASS_ON_SECONDS = 0.3
"""How long a worker that leaves goes on hearing doorbells, at the most."""
PUBLISH_SECONDS = 1.0
"""How often progress is told (the contract says every second)."""
INVITE_SECONDS = 3.0
"""How often other workers are asked to join while there are parts that nobody fetches."""


@shared_task(name="transfers.fetch_download")
def fetch_download(download_id: str) -> None:
    """Fetch a download until it is whole or cannot be, if nobody else is at it; then others that wait, for a while.

    So a crowd of small files needs few messages, and a lost one matters little.
    """
    deadline = time.monotonic() + ROUND_SECONDS
    pk: object = download_id
    while pk is not None and not running.draining():
        download = Download.objects.claim(pk, leases.new_owner())
        if download is not None:
            _Fetch(download).run()
        pk = _next_due()
        structlog.contextvars.unbind_contextvars("request_id")  # what follows was not asked for by that request
        if pk is not None and time.monotonic() > deadline:
            ring(fetch_download, pk)  # other kinds of work may be waiting for this thread
            return
    if pk is not None:  # this process is leaving: somebody else is to hear of it, once our own ears are closed
        time.sleep(PASS_ON_SECONDS)
        ring(fetch_download, pk)


def _next_due() -> object:
    """A download that waits for a worker, one of the oldest: not the oldest, which other threads go for too."""
    due = Download.objects.due().filter(desired=Desired.RUN).order_by("next_attempt_at")
    candidates = list(due.values_list("pk", flat=True)[: settings.ENVIRONMENT.worker_threads])
    return random.choice(candidates) if candidates else None  # noqa: S311


@shared_task(name="transfers.join_download")
def join_download(download_id: str) -> None:
    """Fetch some of the parts of a large download that another worker holds, if there are any to be had."""
    if running.draining():
        return
    download = Download.objects.filter(pk=download_id, desired=Desired.RUN, state=DownloadState.RUNNING).first()
    if download is not None:
        Join(download).run()


class _Fetch:
    """One worker's hold of a download: attempts, one after another, under one heartbeat."""

    def __init__(self, download: Download) -> None:
        self.download = download
        self._environment = settings.ENVIRONMENT
        self._reason: Interruption | None = None
        self._ended = threading.Event()
        self._attempt: Attempt | None = None
        self._began = self._published = self._invited = time.monotonic()
        self._slots = Slots(download.host, self._environment.download_connections_per_host)

    def run(self) -> None:
        """Work until the download ends or is handed back."""
        beat = leases.Heartbeat(
            self._beat, lambda: self.interrupt(Interruption.FENCED), self._environment.heartbeat_seconds
        )
        transfer = structlog.contextvars.bound_contextvars(transfer=str(self.download.pk))
        with transfer, running.working_on(self.download.pk, self), self._slots, beat:
            self._bury_lost_attempts()
            try:
                self._work()
            except Interrupted as interrupted:
                self._obey(interrupted.reason)
        if self._attempt is not None and (rest := self._attempt.rest) is not None:
            with rest.open_files:
                finish_checksums(rest.stored_file_id, rest.hasher)

    def interrupt(self, reason: Interruption) -> None:
        """End soon, for this reason; the first one counts."""
        self._reason = self._reason or reason
        self._ended.set()
        if self._attempt is not None:
            self._attempt.interrupt(reason)

    def _work(self) -> None:
        if not self._connect():
            self.download.hand_back(delay_seconds=random.uniform(0.5, 1.5))  # noqa: S311
            return
        while True:
            self._attempt = Attempt(self.download, self._slots)
            self._check()
            try:
                self._attempt.run()
            except TransferError as error:
                if not self._pause(self._attempt, error):
                    return
            else:
                return

    def _connect(self) -> bool:
        """Wait a little for a connection to the host to be free."""
        deadline = time.monotonic() + SLOT_PATIENCE_SECONDS
        while not self._slots.acquire(1):
            if time.monotonic() > deadline or self._ended.wait(0.05):
                self._check()
                return False
        return True

    def _pause(self, attempt: Attempt, error: TransferError) -> bool:
        """Wait before the next attempt; False when there is none to be made here."""
        seconds = pause_seconds(
            error,
            fruitless=self.download.fruitless_attempts,
            ever_received=self.download.ever_received,
            first_seconds=self._environment.download_retry_seconds,
            max_attempts=self._environment.download_max_attempts,
        )
        if isinstance(error, ChecksumMismatchError) and attempt.in_one_go:
            seconds = None  # it was the second one, so the promise is wrong, or whoever gave it
        log.info("attempt failed", download=str(self.download.pk), code=error.code, retry_in_seconds=seconds)
        tally.add("failures" if seconds is None else "retries", kind="download", code=error.code)
        if seconds is None:
            if self.download.mark_failed(error.code, error.message):
                tell_state(self.download)
            return False
        if seconds > PATIENT_PAUSE_SECONDS:
            self.download.hand_back(delay_seconds=seconds)
            return False
        self._ended.wait(seconds)
        return True

    def _check(self) -> None:
        if self._reason is not None:
            raise Interrupted(self._reason)

    def _obey(self, reason: Interruption) -> None:
        download = self.download
        if reason is Interruption.STOPPED and download.mark_stopped():
            tell_state(download)
        elif reason is not Interruption.FENCED and download.hand_back():
            ring(fetch_download, download.pk)

    def _beat(self) -> bool:
        attempt = self._attempt
        numbers = attempt.numbers() if attempt is not None else {}
        if numbers is None or not self.download.mark_progress(**numbers):
            return False
        if not Download.objects.filter(pk=self.download.pk, desired=Desired.RUN).exists():
            self.interrupt(Interruption.STOPPED)
        self._slots.renew()
        now = time.monotonic()
        if attempt is not None and attempt.streaming and now - self._published >= PUBLISH_SECONDS - 0.05:
            self._published = now
            progress.publish(progress.download_state(self.download))
        if attempt is not None and now - self._invited >= INVITE_SECONDS and attempt.shares_work():
            self._invited = now
            ring(join_download, self.download.pk, queue=EVERY_WORKER, expires_seconds=INVITE_SECONDS)
        if now - self._began > self._environment.slice_seconds:
            self._began = now
            # What cannot be resumed would start over, and never come to its end while others wait.
            if (attempt is None or attempt.resumable) and Download.objects.due().exists():
                self.interrupt(Interruption.SLICED)
        return True

    def _bury_lost_attempts(self) -> None:
        """Attempts that never told their end were a worker's that died."""
        DownloadAttempt.objects.filter(download=self.download, ended_at=None).update(
            ended_at=Now(), outcome=AttemptOutcome.LOST
        )
