"""Joining a large download that another worker holds."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import structlog
from django.conf import settings
from django.db.models import F, QuerySet

from transfers import leases, running, tally
from transfers.engine.base import SourceInfo
from transfers.engine.copying import Watch, copy
from transfers.engine.local import LocalSink
from transfers.engine.plan import Plan
from transfers.errors import Interrupted, Interruption, TransferError
from transfers.limits import Pacer, Slots
from transfers.models import Download
from transfers.models.download import Desired, DownloadState
from transfers.tasks.parts import LeasedParts
from transfers.tasks.source import RemoteFile, source_of

log = structlog.get_logger(__name__)


class Join:
    """A worker's help with a download: it takes parts until there are none to be had, and decides nothing."""

    def __init__(self, download: Download) -> None:
        self._download = download
        self._source: RemoteFile | None = None
        self._watch: Watch | None = None
        self._parts: LeasedParts | None = None
        self._reason: Interruption | None = None
        self._told_fetched = 0

    def run(self) -> None:
        """Help, if this process is not at it already; whatever goes wrong is the holder's to deal with."""
        plan = self._download.plan
        if plan is None or len(plan) < 2:  # noqa: PLR2004 - a single part is not shared
            return
        environment = settings.ENVIRONMENT
        slots = Slots(self._download.host, environment.download_connections_per_host)
        with running.working_on(self._download.pk, self, alone=True) as alone, slots:
            if not alone or not slots.acquire(environment.download_connections_per_file):
                return
            try:
                self._help(plan, slots)
            except (TransferError, Interrupted) as error:
                log.info("stopped helping", download=str(self._download.pk), code=error.code)

    def interrupt(self, reason: Interruption) -> None:
        """End soon, from any thread."""
        self._reason = self._reason or reason
        if self._watch is not None:
            self._watch.interrupt(reason)
        if self._source is not None:
            self._source.abort()

    def _help(self, plan: Plan, slots: Slots) -> None:
        download = self._download
        with ExitStack() as closing:
            known = SourceInfo(download.size, download.validator, ranges=True)
            self._source = source = closing.enter_context(source_of(download, known=known))
            sink = LocalSink(Path(download.save_path), generation=download.generation)
            closing.callback(sink.close)
            if not sink.join(plan):
                return
            self._watch = Watch(plan, sink.stored_parts(), pacer=Pacer(download.host))
            self._parts = LeasedParts(download, plan, leases.new_owner())
            beat = leases.Heartbeat(
                self._beat,
                lambda: self.interrupt(Interruption.FENCED),
                settings.ENVIRONMENT.heartbeat_seconds,
            )
            closing.callback(self._tell_fetched)
            with beat:
                if self._reason is not None:
                    self._watch.interrupt(self._reason)
                copy(source, sink, self._parts, self._watch, connections=slots.count)

    def _beat(self) -> bool:
        ours = self._watch is None or self._parts is None or self._parts.renew(self._watch)
        self._tell_fetched()
        return ours and self._same().filter(desired=Desired.RUN, state=DownloadState.RUNNING).exists()

    def _tell_fetched(self) -> None:
        fetched = self._watch.fetched if self._watch is not None else 0
        new, self._told_fetched = fetched - self._told_fetched, fetched
        tally.add("bytes_moved", new, kind="download")
        if new:
            self._same().update(bytes_fetched=F("bytes_fetched") + new)

    def _same(self) -> QuerySet[Download]:
        return Download.objects.filter(pk=self._download.pk, generation=self._download.generation)
