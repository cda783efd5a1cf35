"""`/ws/events/`: joins, sends where things stand, then forwards what is told."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from transfers import progress
from transfers.services import download as downloads

SNAPSHOT_SECONDS = 15.0
"""How often the present state is sent again: a lost frame is made up for by the next snapshot at the latest."""


class EventsConsumer(AsyncWebsocketConsumer):
    """Events of the user's transfers (staff: everybody's), narrowed by `?cid=` and `?fid=`.

    Each frame is a JSON array of two: the event's name, and a string that holds the event as JSON.
    """

    async def connect(self) -> None:
        """Join first and look then, so that nothing falls between."""
        query = parse_qs(self.scope["query_string"].decode("latin-1"))
        self.filters = {name: query[name][0] for name in ("cid", "fid") if query.get(name)}
        user = self.scope["user"]
        self.group = progress.EVERYBODY if user.is_staff else progress.group_of(user.pk)
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept(subprotocol=self.scope.get("carryon_subprotocol"))  # type: ignore[no-untyped-call]
        await self._send_snapshot(ended=True)
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

    async def progress(self, event: dict[str, Any]) -> None:
        """Forward an event that matches."""
        if all(event["keys"].get(name) == value for name, value in self.filters.items()):
            await self._send_frame(event["name"], event["body"])

    async def _repeat_snapshot(self) -> None:
        while True:
            await asyncio.sleep(SNAPSHOT_SECONDS)
            await self._send_snapshot(ended=False)

    async def _send_snapshot(self, *, ended: bool) -> None:
        read = database_sync_to_async(downloads.snapshot)
        filters = {"cid": "", "fid": "", **self.filters}
        for event in await read(user=self.scope["user"], ended=ended, **filters):
            await self._send_frame(event.name, event.body)

    async def _send_frame(self, name: str, body: dict[str, Any]) -> None:
        inner = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        await self.send(text_data=json.dumps([name, inner], separators=(",", ":"), ensure_ascii=False))  # type: ignore[no-untyped-call]
