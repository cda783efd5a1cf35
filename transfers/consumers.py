"""`/ws/events/`: joins, sends where things stand, then forwards what is told."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import InterfaceError, OperationalError

from transfers import progress
from transfers.progress import ProgressEvent
from transfers.services import download as downloads
from transfers.services import order as orders

logger = structlog.get_logger(__name__)

UNAUTHORIZED = 4401
"""The code that a socket is closed with when its credentials are valid no more."""
SNAPSHOT_SECONDS = 15.0
"""How often the present state is sent again: whatever frame was lost, an end too, is made up for by the next one."""
FILTERS = ("cid", "fid", "jobId", "orderId")
"""Parameters that narrow what a listener is told: `?fid=film-1`, `?orderId=…`."""


class EventsConsumer(AsyncWebsocketConsumer):
    """Events of the user's transfers and tasks (staff: everybody's), narrowed by what FILTERS names.

    Each frame is a JSON array of two: the event's name, and a string that holds the event as JSON. The socket is
    closed when `scope["carryon_still_valid"]` says that its user may listen no more.
    """

    closing = False

    async def connect(self) -> None:
        """Join first and look then, so that nothing falls between."""
        query = parse_qs(self.scope["query_string"].decode("latin-1"))
        self.filters = {name: query[name][0] for name in FILTERS if query.get(name)}
        user = self.scope["user"]
        self.group = progress.EVERYBODY if user.is_staff else progress.group_of(user.pk)
        await self.channel_layer.group_add(self.group, self.channel_name)
        self.ends: dict[str, int] = {}  # revisions by id: the ends that were told and may be among the next snapshot
        await self.accept(subprotocol=self.scope.get("carryon_subprotocol"))  # type: ignore[no-untyped-call]
        await self._send_snapshot()
        self.snapshots = asyncio.create_task(self._repeat_snapshot())

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 - given by Channels
        """Leave."""
        if hasattr(self, "snapshots"):
            self.snapshots.cancel()
            with suppress(asyncio.CancelledError):
                await self.snapshots
        if hasattr(self, "group"):
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Nothing is expected from listeners, and nothing is taken amiss."""

    async def progress(self, message: dict[str, Any]) -> None:
        """Forward an event that matches."""
        if self.closing:
            return
        event = ProgressEvent(**message["event"])
        if event.matches(self.filters):
            await self._tell(event)

    async def _repeat_snapshot(self) -> None:
        while True:
            await asyncio.sleep(SNAPSHOT_SECONDS)
            try:
                if not await self.scope["carryon_still_valid"]():
                    await self._end()
                    return
                await self._send_snapshot()
            except (InterfaceError, OperationalError) as failure:  # the next round may find the database again
                logger.warning("snapshot failed", error=repr(failure))

    async def _end(self) -> None:
        """Close; the server then has us leave."""
        self.closing = True
        await self.channel_layer.group_discard(self.group, self.channel_name)
        await self.close(code=UNAUTHORIZED)  # type: ignore[no-untyped-call]

    async def _send_snapshot(self) -> None:
        told_before = set(self.ends)
        events = await database_sync_to_async(self._snapshot)()
        for event in events:
            await self._tell(event)
        for key in told_before.difference(event.body["id"] for event in events):
            del self.ends[key]

    def _snapshot(self) -> list[ProgressEvent]:
        user = self.scope["user"]
        asked = {name: self.filters.get(name, "") for name in ("cid", "fid")}
        events = downloads.snapshot(user=user, **asked) + orders.snapshot(user=user)
        wanted = [event for event in events if event.matches(self.filters)]
        return wanted + progress.others(user=user, filters=self.filters)

    async def _tell(self, event: ProgressEvent) -> None:
        """Send a frame, unless it says less than the end that was told of the same transfer."""
        if event.is_state and not self._is_news(event):
            return
        inner = json.dumps(event.body, separators=(",", ":"), ensure_ascii=False)
        await self.send(text_data=json.dumps([event.name, inner], separators=(",", ":"), ensure_ascii=False))  # type: ignore[no-untyped-call]

    def _is_news(self, event: ProgressEvent) -> bool:
        key, revision = event.body["id"], event.body["revision"]
        if revision < self.ends.get(key, -1) + event.is_end:
            return False
        if event.is_end:
            self.ends[key] = revision
        return True
