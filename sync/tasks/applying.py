"""Working off a job's batches: its holder does, and every worker that hears of it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings
from django.db import connections, transaction
from django.db.models import Min

from sync import places
from sync.apply import Alike, Gone, Outcome
from sync.models import Batch, Failure, Job, ManifestEntry
from sync.models.job import Desired, JobState, Phase
from sync.moving import Work
from sync.plan import Action, Verb, from_json
from sync.tasks.batches import FINISH, bytes_of
from sync.tasks.legs import Leg
from transfers import leases, running, tally
from transfers.errors import (
    AddressForbiddenError,
    CarryonError,
    ChangedElsewhereError,
    FolderUnusableError,
    IncompleteFileError,
    Interrupted,
    Interruption,
    OutOfSpaceError,
    SourceBusyError,
    SourceChangedError,
    SourceRefusedError,
    TransferError,
)
from transfers.services import stored_file as stored_files

if TYPE_CHECKING:
    from transfers.engine.tree.base import Entry

log = structlog.get_logger(__name__)

LANES = 3
"""Batches that one process works on at once, so that the end of one does not leave connections idle."""
ATTEMPTS = 5
"""How often a file is tried within one sync."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
NOTED_AT_ONCE = 100
NOTED_EVERY_SECONDS = 1.0
"""When what was done is written down: what a crash leaves unwritten is compared again, and not sent again."""
LOOK_SECONDS = 0.1
"""How often the holder looks whether the others are done with a stage."""
SAME_FAILURES = 10
"""Files of a batch that fail alike, before any that does not, after which the place itself is taken to be at fault."""
SHOWN_FILES = 8
_HOPELESS = (
    SourceRefusedError,
    AddressForbiddenError,
    OutOfSpaceError,
    FolderUnusableError,
    ChangedElsewhereError,
    SourceChangedError,
)


def work_off(leg: Leg, *, holds: Callable[[], bool] | None = None) -> None:
    """Do batches of the job until there are none to be had; its holder waits for those that others have.

    `holds` tells the holder whether it is to go on. What goes wrong with a file is noted; what goes wrong with all is
    noted at the job, for its holder to see.
    """
    failures: list[BaseException] = []
    turns, bell = threading.BoundedSemaphore(settings.ENVIRONMENT.sync_connections), _Bell()

    def lane() -> None:
        try:
            _Lane(leg, holds, turns, bell).run()
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

    def __init__(self, leg: Leg, holds: Callable[[], bool] | None, turns: threading.Semaphore, bell: _Bell) -> None:
        self._leg, self._holds = leg, holds
        self._turns, self._bell = turns, bell

    def run(self) -> None:
        while self._goes_on():
            rung = self._bell.times
            stage = self._stage()
            if stage is None:
                return
            batch = Batch.objects.take(self._leg.job, stage, leases.new_owner())
            if batch is not None:
                _Applying(self._leg, batch, self._turns).run()
                self._bell.ring()
            elif self._holds is None:
                return
            else:
                self._bell.wait(rung)

    def _goes_on(self) -> bool:
        return not running.draining() and (self._holds is None or self._holds())

    def _stage(self) -> int | None:
        """The first stage that is not done: nothing of a later one may begin."""
        stage: int | None = self._leg.job.batches.filter(is_done=False).aggregate(Min("stage"))["stage__min"]
        return stage


class _Applying:
    """One worker's hold of one batch."""

    def __init__(self, leg: Leg, batch: Batch, turns: threading.Semaphore) -> None:
        self._leg, self._sides, self._batch = leg, leg.sides, batch
        self._job = leg.job
        self._taken_over = batch.lease_epoch > 1
        self._work = Work(turns, alone=not self._taken_over and leg.job.lease_epoch == 1)
        self._lock = threading.Lock()
        self._outcomes: list[tuple[Action, Outcome | None]] = []
        self._failed: list[Failure] = []
        self._part_md5s: list[str] = []
        self._current: dict[str, None] = {}
        self._files_done, self._bytes_done, self._tallied = 0, 0, 0
        self._noted = time.monotonic()
        self._in_a_row = 0

    def run(self) -> None:
        """Do the batch, or as much of it as one may; what was done is written down in any case."""
        seconds = settings.ENVIRONMENT.heartbeat_seconds
        beat = leases.Heartbeat(self._beat, lambda: self.interrupt(Interruption.FENCED), seconds)
        with running.working_on(("batch", self._batch.pk), self), beat:
            try:
                self._do()
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
        with self._lock:
            self._current[action.path] = None
        try:
            outcome = self._tried(action, do)
        except TransferError as error:
            self._note_failure(action, error)
        else:
            self._note_outcome(action, outcome)
        finally:
            with self._lock:
                self._current.pop(action.path, None)

    def _tried(self, action: Action, do: Callable[[Action], Outcome | None]) -> Outcome | None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return do(action)
            except TransferError as error:
                self._work.check()
                hopeless = isinstance(error, _HOPELESS) and not isinstance(error, IncompleteFileError)
                if hopeless or attempt == ATTEMPTS:
                    raise
                log.info("trying a file again", job=str(self._job.pk), code=error.code, attempt=attempt)
                tally.add("retries", kind="sync_file", code=error.code)
                self._pause(error, attempt)
        raise AssertionError("unreachable")

    def _pause(self, error: TransferError, attempt: int) -> None:
        asked = (error.retry_after_seconds or 0.0) if isinstance(error, SourceBusyError) else 0.0
        backoff = FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1)  # noqa: S311
        until = time.monotonic() + min(max(backoff, asked), LONGEST_PAUSE_SECONDS)
        while time.monotonic() < until:
            self._work.check()
            time.sleep(LOOK_SECONDS)

    # What is written down

    def _note_outcome(self, action: Action, outcome: Outcome | None) -> None:
        with self._lock:
            self._in_a_row = -1  # the place works: from now on failures are files' own
            self._outcomes.append((action, outcome))
            if self._batch.first_part is None:
                self._files_done += 1
                self._bytes_done += bytes_of(action) if self._batch.stage != FINISH else 0  # its parts were counted

    def _note_failure(self, action: Action, error: TransferError) -> None:
        log.info("a file failed", job=str(self._job.pk), code=error.code)
        tally.add("failures", kind="sync_file", code=error.code)
        with self._lock:
            self._failed.append(Failure.of(self._job, action.path, error.code, error.message))
            if self._in_a_row >= 0:
                self._in_a_row += 1
        if isinstance(error, OutOfSpaceError) or (
            isinstance(error, FolderUnusableError) and self._in_a_row >= SAME_FAILURES
        ):
            self._end_job(error)

    def _end_job(self, error: CarryonError) -> None:
        """Have the job's holder end it: nothing else would come of going on."""
        mine = Job.objects.filter(pk=self._job.pk, state=JobState.RUNNING, lease_epoch=self._job.lease_epoch)
        mine.update(error_code=error.code, error=error.message)
        self.interrupt(Interruption.STOPPED)

    def _note(self, *, is_last: bool = False) -> None:
        """Write down what was done since the last time, once it is durable; `is_last` ends the batch."""
        with self._lock:
            enough = len(self._outcomes) >= NOTED_AT_ONCE or time.monotonic() > self._noted + NOTED_EVERY_SECONDS
            if not (is_last or enough):
                return
            outcomes, self._outcomes = self._outcomes, []
            failed, self._failed = self._failed, []
            self._noted = time.monotonic()
            numbers = {"files_done": self._files_done, "bytes_done": self._bytes_noted()}
        ended = {"bytes_moving": 0, "is_done": True, "part_md5s": self._part_md5s}
        self._write(outcomes, failed, {**numbers, **ended} if is_last else numbers)

    def _bytes_noted(self) -> int:
        parts = self._batch.first_part is not None
        noted = self._work.most_bytes_moved if parts else self._bytes_done
        tally.add("bytes_moved", noted - self._tallied, kind="sync")
        self._tallied = noted
        return noted

    def _write(
        self, outcomes: list[tuple[Action, Outcome | None]], failed: list[Failure], numbers: dict[str, Any]
    ) -> None:
        self._sides.loser.settle()
        alike = [outcome for _, outcome in outcomes if isinstance(outcome, Alike)]
        gone = [outcome for _, outcome in outcomes if isinstance(outcome, Gone)]
        is_last = "is_done" in numbers
        with transaction.atomic():
            ours = leases.release(self._batch, **numbers) if is_last else leases.renew(self._batch, **numbers)
            if not ours:
                raise Interrupted(Interruption.FENCED)
            Failure.objects.bulk_create(
                failed, update_conflicts=True, unique_fields=["job", "path"], update_fields=["code", "reason"]
            )
            if self._leg.phase == Phase.SYNCING:
                ManifestEntry.objects.note(self._manifest_entry(outcome) for outcome in alike)
                self._job.case.manifest.forget(each.path for each in gone)
                self._job.case.manifest.forget_below(each.path for each in gone if each.with_all_below)
                self._keep(alike)
                self._let_go(gone)

    def _manifest_entry(self, outcome: Alike) -> ManifestEntry:
        local, remote = self._local_and_remote(outcome)
        return ManifestEntry(
            case=self._job.case,
            path=outcome.path.encode(),
            size=outcome.size,
            mtime_ns=local.mtime_ns,
            checksum=outcome.checksum,
            local_version=local.version,
            remote_version=remote.version,
        )

    def _keep(self, alike: list[Alike]) -> None:
        """Synced files are stored files of the case's owner, in the case's folder."""
        case = self._job.case
        root = places.local_folder(case)
        files = [
            stored_files.Kept(
                path=root / outcome.path,
                folder=case.folder,
                size=outcome.size,
                modified_ns=self._local_and_remote(outcome)[0].mtime_ns,
                digests=outcome.digests,
            )
            for outcome in alike
            if not outcome.path.endswith("/")
        ]
        stored_files.keep(owner_id=case.user_id, files=files)

    def _let_go(self, gone: list[Gone]) -> None:
        """What is gone, or was set aside, is stored no longer; under its new name it is, once it is synced."""
        root = places.local_folder(self._job.case)
        stored_files.forget(paths=[root / each.path for each in gone if not each.path.endswith("/")])
        stored_files.forget_below(folders=[root / each.path for each in gone if each.with_all_below])

    def _local_and_remote(self, outcome: Alike) -> tuple[Entry, Entry]:
        pair = (outcome.winner, outcome.loser)
        return pair if self._job.up else pair[::-1]

    # While it runs

    def _beat(self) -> bool:
        with self._lock:
            current = list(self._current)[:SHOWN_FILES]
            numbers = {"files_done": self._files_done, "bytes_done": self._bytes_noted()}
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
            self._write(outcomes, [], {})
        except (Interrupted, TransferError) as error:
            log.info("could not write down what was done", job=str(self._job.pk), code=error.code)
        leases.release(self._batch, current_files=[], bytes_moving=0)
