"""One attempt at a download: ask the source, plan, copy, prove, and give the file its name."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from transfers import leases, progress, quotas, tally
from transfers.engine.base import SourceInfo
from transfers.engine.checksums import Checksums, FileHasher
from transfers.engine.copying import Allotment, Watch, WholePlan, copy
from transfers.engine.local import LocalSink
from transfers.engine.plan import Plan
from transfers.errors import (
    ChecksumMismatchError,
    Interrupted,
    Interruption,
    OverQuotaError,
    QuotaExceededError,
    RangesContradictError,
    SourceChangedError,
    SourceProtocolError,
    TransferError,
)
from transfers.limits import Pacer, Slots
from transfers.models import Download, DownloadAttempt, DownloadPart, StoredFile
from transfers.models.download_attempt import AttemptOutcome
from transfers.tasks.events import tell_state
from transfers.tasks.parts import LeasedParts, Speed, lay_out
from transfers.tasks.planning import MAX_SOURCE_CHANGES, plan_for
from transfers.tasks.source import RemoteFile, source_of

log = structlog.get_logger(__name__)

PROMPT_BYTES = 32 * 2**20
"""Bytes that may be left to hash before a file is told to be complete: 60 ms. Checksums further behind follow it."""


LOOK_BYTES = 64 * 2**20
"""How many bytes of an unknown number come in before it is looked again whether there is room for them."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left to do when a file came in faster than it can be hashed: its checksums are still on their way."""

    stored_file_id: int
    hasher: FileHasher
    open_files: ExitStack


class _RoomLooker(Pacer):
    """Paces a stream whose size nobody knows, and looks now and then whether its owner still has room for it."""

    def __init__(self, host: str, look: Callable[[int], None]) -> None:
        super().__init__(host)
        self._look = look
        self._moved = self._looked = 0

    def delay_seconds(self, count: int) -> float:
        """How long to wait after `count` more bytes; OverQuotaError when they are too many."""
        self._moved += count
        if self._moved - self._looked >= LOOK_BYTES:
            self._looked = self._moved
            self._look(self._moved)
        return super().delay_seconds(count)


class Attempt:
    """One try at a download that is held; `run` ends with the file, a TransferError, or Interrupted."""

    def __init__(self, download: Download, slots: Slots) -> None:
        self.download = download
        self.streaming = False
        self.in_one_go = False
        """Whether the file is taken whole, from its start, because its ranges cannot be trusted."""
        self.resumable = True
        """Whether another attempt could go on where this one ends."""
        self.rest: Rest | None = None
        """What is left to do once nobody waits for the file any more."""
        self._slots = slots
        self._record = DownloadAttempt()
        self._source: RemoteFile | None = None
        self._hasher: FileHasher | None = None
        self._watch: Watch | None = None
        self._parts: LeasedParts | None = None
        self._speed = Speed()
        self._told_fetched = 0
        self._telling = threading.Lock()  # the heartbeat and the end of the attempt both tell
        self._reason: Interruption | None = None

    def run(self) -> None:
        """Make the attempt, and write down how it ended."""
        self._record = DownloadAttempt.objects.create(
            download=self.download, epoch=self.download.lease_epoch, worker=self.download.lease_owner
        )
        try:
            self._fetch()
        except Interrupted as interrupted:
            stopped = interrupted.reason is Interruption.STOPPED
            self._note(AttemptOutcome.STOPPED if stopped else AttemptOutcome.HANDED_BACK)
            raise
        except TransferError as error:
            self._learn(error)
            self._note(AttemptOutcome.FAILED, error)
            raise
        except (OperationalError, InterfaceError):
            raise  # nothing can be written down now: the lease brings the download back when the database is
        except Exception as unexpected:
            log.exception("attempt broke", download=str(self.download.pk))
            told = TransferError("something unexpected went wrong; it has been logged")
            self._learn(told)
            self._note(AttemptOutcome.FAILED, told)
            raise told from unexpected

    def interrupt(self, reason: Interruption) -> None:
        """End soon, for this reason, from any thread."""
        self._reason = self._reason or reason
        if self._watch is not None:
            self._watch.interrupt(reason)
        if self._hasher is not None:
            self._hasher.cancel()
        if self._source is not None:
            self._source.abort()

    def numbers(self) -> dict[str, Any] | None:
        """What the heartbeat writes into the download's row; None when a part of it has another holder."""
        watch, parts = self._watch, self._parts
        if watch is None:
            return {}
        if parts is not None:
            if not parts.renew(watch):
                return None
            parts.note_others(watch)
        moved = self._moved()
        self.download.bytes_done = moved
        self.download.bytes_per_second = self._speed.at(moved)
        return {
            "bytes_done": moved,
            "bytes_per_second": self.download.bytes_per_second,
            "bytes_fetched": F("bytes_fetched") + self._newly_fetched(),
        }

    def shares_work(self) -> bool:
        """Whether other workers would find parts to fetch."""
        return self._parts is not None and self._parts.spare()

    # The steps of it

    def _fetch(self) -> None:
        with ExitStack() as stack:
            self._source = source = stack.enter_context(source_of(self.download))
            self._check()
            if self._already_published():
                return
            try:
                if self._already_here(source):
                    return
                info = source.stat()
            except TransferError:
                self._check()  # what was asked to end fails; what counts is why it was ended
                raise
            plan, generation = plan_for(self.download, info)
            self.in_one_go = self.download.ranges_broken
            self.resumable = info.resumable and not self.in_one_go
            sink = LocalSink(Path(self.download.save_path), generation=generation, replace=self._replaces())
            stack.callback(sink.close)
            self._check_room(plan.size)
            self._check_lease()  # whoever lost it must not touch the files of who has it now
            sink.begin(plan)
            self._begin(info, plan, generation)  # and not before the disk has room: it tells that bytes come in
            size, hasher = self._copy(source, sink, plan, stack)
            checksums = None
            if info.digests or hasher.lag(size) <= PROMPT_BYTES:
                checksums = self._prove(hasher, size, info, sink)
            self._check()
            if plan.size is None:
                self._take_room(size, lambda: leases.renew(self.download, size=size))
            sink.publish(size)
            stored = self._store(sink.path, size, checksums, info)
            sink.complete(size)  # not before: whoever goes on after a crash finds the file, and fetches nothing
            tell_state(self.download)
            if checksums is None:
                self._slots.release()
                self._hasher = None  # it is the rest's from here on, and ends with that
                self.rest = Rest(stored.pk, hasher, stack.pop_all())

    def _already_published(self) -> bool:
        """Whether a worker that died had given the file its name, and only its record is missing."""
        plan = self.download.plan
        if plan is None:
            return False
        path = Path(self.download.save_path)
        with closing(LocalSink(path, generation=self.download.generation, replace=self._replaces())) as sink:
            if not sink.join(plan) or not sink.published:
                return False
            size = os.fstat(sink.fileno()).st_size
            self._announce(size)
            self._store(sink.path, size, None, SourceInfo(size, self.download.validator, ranges=True))
            sink.complete(size)
        tell_state(self.download)
        return True

    def _already_here(self, source: RemoteFile) -> bool:
        """Whether the file is here from an earlier time, and still what the source has; then it is completed."""
        download, stored = self.download, StoredFile.objects.kept().filter(pk=self.download.stored_file_id or 0).first()
        if stored is None or download.validator is None or not stored.untouched():
            return False
        if stored.path != download.save_path or not source.unchanged(download.validator, stored.size):
            return False
        self._announce(stored.size)
        self._end(stored)
        tell_state(self.download)
        return True

    def _check_lease(self) -> None:
        if not leases.held(self.download).exists():
            raise Interrupted(Interruption.FENCED)

    def _begin(self, info: SourceInfo, plan: Plan, generation: str) -> None:
        download, validator = self.download, info.validator
        facts = {
            "size": plan.size,
            "part_size": plan.part_size,
            "generation": generation,
            "validator_kind": validator.kind if validator else "",
            "validator_value": validator.value if validator else "",
            "high_water": download.high_water,
            "source_changes": download.source_changes,
            "ranges_broken": download.ranges_broken,
        }
        for name, value in facts.items():
            setattr(download, name, value)
        self._take_room(plan.size, lambda: download.mark_streaming(**facts))

    def _check_room(self, size: int | None) -> None:
        """OverQuotaError when the owner has no room for so many bytes."""
        download = self.download
        try:
            quotas.require(download.user_id, quotas.needed_by(download, size), beside=download)
        except QuotaExceededError as error:
            raise OverQuotaError(error.message) from None

    def _take_room(self, size: int | None, write: Callable[[], bool]) -> None:
        """Write the size into the row, where it counts as taken from then on, if there is room for it."""
        with quotas.held(self.download.user_id):
            self._check_room(size)
            if not write():
                raise Interrupted(Interruption.FENCED)

    def _copy(self, source: RemoteFile, sink: LocalSink, plan: Plan, stack: ExitStack) -> tuple[int, FileHasher]:
        stored = sink.stored_parts()
        hasher = FileHasher(sink.fileno)
        stack.callback(hasher.close)
        host = self.download.host
        pacer = _RoomLooker(host, self._check_room) if plan.size is None else Pacer(host)
        watch = Watch(plan, stored, pacer=pacer, follow=hasher.advance)
        allotment: Allotment = WholePlan(plan, stored)
        connections = 1
        if len(plan) > 1:
            sink.share()
            lay_out(self.download, self.download.generation, plan, stored)
            allotment = self._parts = LeasedParts(self.download, plan, self.download.lease_owner, watch.wait)
            connections = self._connections(plan)
        self._record.start_offset = watch.moved
        self._hasher, self._watch = hasher, watch
        if self._reason is not None:
            watch.interrupt(self._reason)
        self._announce(watch.moved)
        copy(source, sink, allotment, watch, connections=connections)
        return (watch.moved if plan.size is None else plan.size), hasher

    def _prove(self, hasher: FileHasher, size: int, info: SourceInfo, sink: LocalSink) -> Checksums:
        """Take the checksums to their end, and hold them against those that the source promised."""
        checksums = hasher.finish(size)
        if checksums is None:
            raise Interrupted(self._reason or Interruption.FENCED)
        try:
            checksums.verify(info.digests)
        except ChecksumMismatchError:
            sink.abort()  # some of the bytes are wrong, and nobody can tell which
            raise
        return checksums

    def _connections(self, plan: Plan) -> int:
        wanted = min(settings.ENVIRONMENT.download_connections_per_file, len(plan))
        self._slots.acquire(wanted - self._slots.count)
        return min(wanted, self._slots.count)

    def _store(self, path: Path, size: int, checksums: Checksums | None, info: SourceInfo) -> StoredFile:
        download = self.download
        with transaction.atomic():
            # Whoever had a file of this name before has it no more, or it would not have been free. Nor is a file that
            # was deleted while its next version came this one: its row would take the new bytes with it.
            gone = Q(deleted_at__isnull=False) | ~Q(pk=download.stored_file_id or 0)
            StoredFile.objects.filter(gone, path=str(path)).delete()
            stored, _ = StoredFile.objects.update_or_create(
                path=str(path),
                owner_id=download.user_id,
                defaults={
                    "name": path.name,
                    "folder": download.cid,
                    "size": size,
                    "modified_ns": path.stat().st_mtime_ns,
                    "content_type": "".join(filter(str.isprintable, info.content_type))[:255],
                    "md5": checksums.md5 if checksums else "",
                    "sha256": checksums.sha256 if checksums else "",
                    "crc32": checksums.crc32 if checksums else "",
                    "checksum_error": "",
                    "checksum_attempts": 0,
                    "verified": True if info.digests else None,
                },
            )
            DownloadPart.objects.filter(download=download).delete()
            self._end(stored)
        return stored

    def _end(self, stored: StoredFile) -> None:
        with transaction.atomic():
            if not self.download.mark_completed(stored, bytes_fetched=F("bytes_fetched") + self._newly_fetched()):
                raise Interrupted(Interruption.FENCED)
            self._note(AttemptOutcome.COMPLETED)

    # What is told and learned

    def _announce(self, offset: int) -> None:
        self.streaming = True
        self.download.bytes_done = offset
        progress.publish(progress.download_began(self.download, offset))

    def _learn(self, error: TransferError) -> None:
        """Keep what this attempt proved: how far it came, and whether the source's ranges can be trusted."""
        download = self.download
        moved = self._moved()
        gained = moved > download.high_water
        download.high_water = max(moved, download.high_water)
        download.fruitless_attempts = 0 if gained else download.fruitless_attempts + 1
        download.ranges_broken |= isinstance(error, RangesContradictError | ChecksumMismatchError) or (
            # One garbled answer is a hiccup on the way; the same again may be the server's way with ranges.
            isinstance(error, SourceProtocolError) and download.fruitless_attempts > 1
        )
        if isinstance(error, SourceChangedError):
            download.source_changes += 1
            download.ranges_broken |= download.source_changes >= MAX_SOURCE_CHANGES
        if self._watch is not None:
            download.bytes_done = moved
        if not download.mark_progress(
            high_water=download.high_water,
            fruitless_attempts=download.fruitless_attempts,
            ranges_broken=download.ranges_broken,
            source_changes=download.source_changes,
            bytes_done=download.bytes_done,
            bytes_fetched=F("bytes_fetched") + self._newly_fetched(),
        ):
            raise Interrupted(Interruption.FENCED) from None

    def _note(self, outcome: AttemptOutcome, error: TransferError | None = None) -> None:
        DownloadAttempt.objects.filter(pk=self._record.pk).update(
            ended_at=Now(),
            outcome=outcome,
            start_offset=self._record.start_offset,
            bytes_fetched=self._watch.fetched if self._watch is not None else 0,
            error_code=error.code if error else "",
            error=error.message if error else "",
        )

    def _moved(self) -> int:
        """Bytes of the file that are here, whoever fetched them."""
        ours = self._watch.moved if self._watch is not None else 0
        return max(ours, self._parts.moved()) if self._parts is not None else ours

    def _newly_fetched(self) -> int:
        """Bytes fetched since this was last asked."""
        with self._telling:
            fetched = self._watch.fetched if self._watch is not None else 0
            new, self._told_fetched = fetched - self._told_fetched, fetched
        tally.add("bytes_moved", new, kind="download")
        return new

    def _replaces(self) -> bool:
        stored = self.download.stored_file
        return stored is not None and stored.path == self.download.save_path and stored.untouched()

    def _check(self) -> None:
        if self._reason is not None:
            raise Interrupted(self._reason)
