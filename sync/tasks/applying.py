"""Doing one batch of a job, under a lease of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction

from sync.apply import Outcome
from sync.models import Batch, Failure, Job
from sync.models.job import Desired, JobState
from sync.moving import Work
from sync.plan import Action, Verb, from_json
from sync.tasks import noting
from sync.tasks.batches import FINISH, bytes_of
from sync.tasks.legs import Leg
from sync.tasks.trouble import Trouble, attempts_at, pause_seconds
from transfers import leases, running, tally
from transfers.engine.tree.base import PART_BYTES
from transfers.errors import Interrupted, Interruption, TransferError

log = structlog.get_logger(__name__)

NOTED_AT_ONCE = 100
NOTED_EVERY_SECONDS = 1.0
"""When what was done is written down: what a crash leaves unwritten is compared again, and not sent again."""
LOOK_SECONDS = 0.1
"""How often somebody who waits looks whether there is a reason to end."""
SHOWN_FILES = 8


@dataclass(frozen=True, slots=True)
class Shared:
    """What all batches have together that one process is at."""

    turns: threading.Semaphore
    """Whose holders move something."""
    trouble: Trouble


class Applying:
    """One worker's hold of one batch."""

    def __init__(self, leg: Leg, batch: Batch, shared: Shared) -> None:
        self._leg, self._sides, self._batch = leg, leg.sides, batch
        self._job, self._trouble = leg.job, shared.trouble
        self._taken_over = batch.lease_epoch > 1
        self._work = Work(shared.turns, alone=not self._taken_over and leg.job.lease_epoch == 1)
        self._lock = threading.Lock()
        self._outcomes: list[Outcome] = []
        self._failed: list[Failure] = []
        self._end: TransferError | None = None
        self._part_md5s: list[str] = []
        self._current: dict[str, None] = {}
        self._files_done, self._bytes_done, self._tallied, self._seen_moved = 0, 0, 0, 0
        self._noted = time.monotonic()

    def run(self) -> None:
        """Do the batch, or as much of it as one may; what was done is written down in any case."""
        seconds = settings.ENVIRONMENT.heartbeat_seconds
        beat = leases.Heartbeat(self._beat, lambda: self.interrupt(Interruption.FENCED), seconds)
        with running.working_on(("batch", self._batch.pk), self), beat:
            try:
                try:
                    self._do()
                finally:
                    self._tell_end()
                self._note(is_last=True)
            except Interrupted as interrupted:
                if interrupted.reason != Interruption.FENCED:
                    self._hand_back()

    def interrupt(self, reason: Interruption) -> None:
        """End soon, from any thread."""
        self._work.interrupt(reason)

    # What is done

    def _do(self) -> None:
        actions = [from_json(told) for told in self._batch.actions]
        if self._batch.first_part is not None:
            self._one(actions[0], self._bring_parts)
        elif self._batch.stage == FINISH:
            self._one(actions[0], self._finish)
        else:
            self._all(actions)

    def _all(self, actions: list[Action]) -> None:
        width = max(1, settings.ENVIRONMENT.sync_connections // 2)  # more than its share: others may have none to do
        with ThreadPoolExecutor(width, thread_name_prefix="file") as pool:
            try:
                for done in as_completed([pool.submit(self._one, action, self._apply) for action in actions]):
                    done.result()
                    self._note()  # here, so that only this thread needs a connection to the database
            except BaseException:
                pool.shutdown(cancel_futures=True, wait=False)
                raise

    def _apply(self, action: Action) -> Outcome | None:
        return self._sides.apply(self._present(action) if self._taken_over else action, self._work)

    def _bring_parts(self, action: Action) -> Outcome | None:
        first, last = self._batch.first_part or 1, self._batch.last_part or 1
        self._part_md5s = self._sides.bring_parts(action, first, last, self._work)
        return None

    def _finish(self, action: Action) -> Outcome | None:
        troubled = Failure.objects.about(self._job, action.path)
        md5s = Batch.objects.parts_before(self._batch)
        outcome = self._sides.finish(self._present(action), self._work, md5s, all_went_well=not troubled.exists())
        troubled.delete()
        return outcome

    def _present(self, action: Action) -> Action:
        """The action as it is to be done now: somebody may have done it, and died before it was written down."""
        if action.verb not in (Verb.COPY, Verb.CONFLICT, Verb.COMPARE):
            return action
        found = self._sides.loser.find(action.path)
        if found is None or (action.loser is not None and found.version == action.loser.version):
            return action
        is_same_size = found.size == action.size
        verb = Verb.COMPARE if is_same_size else Verb.CONFLICT
        return action.facing(found, verb)

    def _one(self, action: Action, do: Callable[[Action], Outcome | None]) -> None:
        """Do one action, more than once if that may help; a failure is the file's own, and not the batch's."""
        worked = self._trouble.worked
        with self._lock:
            self._current[action.path] = None
        try:
            outcome = self._tried(action, do)
        except TransferError as error:
            if self._trouble.is_the_places(error, worked):
                self._end = self._trouble.failure = error
                self.interrupt(Interruption.STOPPED)
            self._note_failure(action, error)
        else:
            self._trouble.note_work()
            self._note_outcome(action, outcome)
        finally:
            with self._lock:
                self._current.pop(action.path, None)

    def _tried(self, action: Action, do: Callable[[Action], Outcome | None]) -> Outcome | None:
        attempt, moved = 0, 0
        while True:
            attempt += 1
            try:
                return do(action)
            except TransferError as error:
                self._work.check()
                if self._work.most_bytes_moved >= moved + PART_BYTES:  # it was not in vain: the next one goes on there
                    attempt, moved = 1, self._work.most_bytes_moved
                    self._trouble.note_work()
                if attempt >= attempts_at(error):
                    raise
                log.info("trying a file again", job=str(self._job.pk), code=error.code, attempt=attempt)
                tally.add("retries", kind="sync_file", code=error.code)
                self._pause(pause_seconds(error, attempt))

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._work.check()
            time.sleep(LOOK_SECONDS)

    # What is written down

    def _note_outcome(self, action: Action, outcome: Outcome | None) -> None:
        with self._lock:
            if outcome is not None:
                self._outcomes.append(outcome)
            if self._batch.first_part is None:
                self._files_done += 1
                self._bytes_done += bytes_of(action) if self._batch.stage != FINISH else 0  # its parts were counted

    def _note_failure(self, action: Action, error: TransferError) -> None:
        log.info("a file failed", job=str(self._job.pk), code=error.code)
        tally.add("failures", kind="sync_file", code=error.code)
        with self._lock:
            self._failed.append(Failure.of(self._job, action.path, error.code, error.message))

    def _tell_end(self) -> None:
        """Have the job's holder end it, where nothing else would come of going on."""
        if self._end is not None:
            mine = Job.objects.filter(pk=self._job.pk, state=JobState.RUNNING, lease_epoch=self._job.lease_epoch)
            mine.update(error_code=self._end.code, error=self._end.message)

    def _note(self, *, is_last: bool = False) -> None:
        """Write down what was done since the last time, once it is durable; `is_last` ends the batch."""
        with self._lock:
            enough = len(self._outcomes) >= NOTED_AT_ONCE or time.monotonic() > self._noted + NOTED_EVERY_SECONDS
            if not (is_last or enough):
                return
            outcomes, self._outcomes = self._outcomes, []
            failed, self._failed = self._failed, []
            self._noted = time.monotonic()
            numbers = self._numbers()
        ended = {"bytes_moving": 0, "is_done": True, "part_md5s": self._part_md5s}
        self._write(outcomes, failed, {**numbers, **ended} if is_last else numbers)

    def _numbers(self) -> dict[str, Any]:
        """What is done by now; what somebody had done before is gone through again, and counts once."""
        parts = self._batch.first_part is not None
        size = self._work.most_bytes_moved if parts else self._bytes_done
        tally.add("bytes_moved", size - self._tallied, kind="sync")
        self._tallied = size
        return {
            "files_done": max(self._files_done, self._batch.files_done),
            "bytes_done": max(size, self._batch.bytes_done),
        }

    def _write(self, outcomes: list[Outcome], failed: list[Failure], numbers: dict[str, Any]) -> None:
        self._sides.loser.settle()
        is_last = "is_done" in numbers
        with transaction.atomic():
            ours = leases.release(self._batch, **numbers) if is_last else leases.renew(self._batch, **numbers)
            if not ours:
                raise Interrupted(Interruption.FENCED)
            Failure.objects.bulk_create(
                failed, update_conflicts=True, unique_fields=["job", "path"], update_fields=["code", "reason"]
            )
            noting.note(self._leg, outcomes)

    # While it runs

    def _beat(self) -> bool:
        with self._lock:
            current = list(self._current)[:SHOWN_FILES]
            numbers = self._numbers()
        if self._work.most_bytes_moved > self._seen_moved:  # a large file may take hours
            self._seen_moved = self._work.most_bytes_moved
            self._trouble.note_work()
        has_parts = self._batch.first_part is not None or self._batch.stage == FINISH  # which are counted as done
        moving = 0 if has_parts else self._work.bytes_moving
        if not leases.renew(self._batch, bytes_moving=moving, current_files=current, **numbers):
            return False
        wish = Job.objects.filter(pk=self._job.pk, state=JobState.RUNNING, lease_epoch=self._job.lease_epoch)
        if not wish.exists():
            return False
        if wish.filter(desired=Desired.STOP).exists() or wish.exclude(error_code="").exists():
            self.interrupt(Interruption.STOPPED)
        return True

    def _hand_back(self) -> None:
        """Write down what was done, and leave the rest to somebody else, or to the next sync."""
        try:
            with self._lock:
                outcomes, self._outcomes = self._outcomes, []
                numbers = self._numbers()
            self._write(outcomes, [], numbers)
        except (Interrupted, TransferError) as error:
            log.info("could not write down what was done", job=str(self._job.pk), code=error.code)
        leases.release(self._batch, current_files=[], bytes_moving=0)
