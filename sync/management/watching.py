"""Waiting for a job to end, while an operator looks on and may press Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from django.db import InterfaceError, OperationalError, connection, transaction

from sync.management.display import Display
from sync.models import Job
from sync.models.job import JobState
from sync.services import job as jobs
from transfers import audit
from transfers.errors import NotSyncingError

LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 10.0
"""How long a job may wait for a worker until it is told that there may be none."""


class Wish:
    """Ctrl-C, pressed once: the job is to stop. Twice: KeyboardInterrupt, wherever the program is."""

    def __init__(self) -> None:
        self._pressed = threading.Event()

    @property
    def is_there(self) -> bool:
        """Whether it was pressed."""
        return self._pressed.is_set()

    def pause(self, seconds: float) -> None:
        """Wait so long, or until it is pressed."""
        self._pressed.wait(seconds)

    def press(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal's
        """Note it."""
        if self._pressed.is_set():
            raise KeyboardInterrupt
        self._pressed.set()


@contextmanager
def heeding_ctrl_c() -> Iterator[Wish]:
    """Have Ctrl-C be a wish for as long as the block runs."""
    wish = Wish()
    before = signal.signal(signal.SIGINT, wish.press)
    try:
        yield wish
    finally:
        signal.signal(signal.SIGINT, before)


def followed(job: Job, display: Display, wish: Wish) -> Job:
    """The job once it has ended; a wish to stop is handed on. KeyboardInterrupt when that was not fast enough."""
    began, told_of_workers, is_stopping = time.monotonic(), False, False
    while not job.is_end:
        display.show(job)
        if wish.is_there and not is_stopping:
            is_stopping = True
            display.say("Stopping; what is done stays done. Ctrl-C again leaves at once.")
            with suppress(NotSyncingError), transaction.atomic():
                jobs.stop_job(job=job)
                audit.by_command_line(row=job, what="Stopped")
        waits = job.state == JobState.QUEUED and time.monotonic() > began + PATIENCE_SECONDS
        if waits and not told_of_workers:
            told_of_workers = True
            display.say("No worker has taken it up yet: is the service running?")
        time.sleep(LOOK_SECONDS) if is_stopping else wish.pause(LOOK_SECONDS)
        job = _looked_at(job, display)
    return job


def _looked_at(job: Job, display: Display) -> Job:
    """The job as it stands now; as it stood while the database is away."""
    try:
        return jobs.look(user=job.user, job_id=job.pk)
    except (OperationalError, InterfaceError):
        display.say("The database does not answer; trying again.")
        connection.close()
        return job
