"""Working off a job's batches: its holder does, and every worker that hears of it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.conf import settings
from django.db import connections
from django.db.models import Min

from sync.models import Batch
from sync.tasks.applying import LOOK_SECONDS, Applying, Shared
from sync.tasks.legs import Leg
from sync.tasks.trouble import MAX_FRUITLESS, Trouble
from transfers import leases, running

LANES = 3
"""Batches that one process works on at once, so that the end of one does not leave connections idle."""


def work_off(leg: Leg, *, holds: Callable[[], bool] | None = None) -> None:
    """Do batches of the job until there are none to be had; its holder waits for those that others have.

    `holds` tells the holder whether it is to go on. What goes wrong with a file is noted; what goes wrong with all is
    noted at the job, for its holder to see, and raised, as a TransferError.
    """
    failures: list[BaseException] = []
    shared = Shared(
        threading.BoundedSemaphore(settings.ENVIRONMENT.sync_connections),
        Trouble(leg.sides, is_patient=leg.job.fruitless_attempts < MAX_FRUITLESS),
    )
    bell = _Bell()

    def lane() -> None:
        try:
            _Lane(leg, holds, lambda: not failures, shared, bell).run()
        except BaseException as error:  # noqa: BLE001 - raised again below, by the thread that waits
            failures.append(error)
        finally:
            bell.ring()
            connections.close_all()

    threads = [threading.Thread(target=lane, name=f"lane-{number}", daemon=True) for number in range(LANES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    if shared.trouble.failure is not None:
        raise shared.trouble.failure


class _Bell:
    """Wakes those who found nothing to do, as soon as one of their process has done something."""

    def __init__(self) -> None:
        self._rung = threading.Condition()
        self.times = 0

    def ring(self) -> None:
        """Wake all."""
        with self._rung:
            self.times += 1
            self._rung.notify_all()

    def wait(self, times: int) -> None:
        """Wait until it has rung more often than so, or long enough to look what other processes have done."""
        with self._rung:
            self._rung.wait_for(lambda: self.times != times, LOOK_SECONDS)


class _Lane:
    """One after another of a job's batches."""

    def __init__(
        self, leg: Leg, holds: Callable[[], bool] | None, is_fine: Callable[[], bool], shared: Shared, bell: _Bell
    ) -> None:
        """`is_fine`: nothing unforeseen has ended another lane, whose batch nobody has before its lease is over."""
        self._leg, self._holds, self._is_fine = leg, holds, is_fine
        self._shared, self._bell = shared, bell

    def run(self) -> None:
        while self._goes_on():
            rung = self._bell.times
            stage = self._stage()
            if stage is None:
                return
            batch = Batch.objects.take(self._leg.job, stage, leases.new_owner())
            if batch is not None:
                Applying(self._leg, batch, self._shared).run()
                self._bell.ring()
            elif self._holds is None:
                return
            else:
                self._bell.wait(rung)

    def _goes_on(self) -> bool:
        is_over = self._shared.trouble.failure is not None or running.draining()
        return self._is_fine() and not is_over and (self._holds is None or self._holds())

    def _stage(self) -> int | None:
        """The first stage that is not done: nothing of a later one may begin."""
        stage: int | None = self._leg.job.batches.filter(is_done=False).aggregate(Min("stage"))["stage__min"]
        return stage
