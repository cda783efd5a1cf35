"""Asking the web process over its real socket whether it answers."""

from __future__ import annotations

import asyncio

_ANSWER_SECONDS = 5
_REQUEST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def is_live(address: tuple[str, int]) -> bool:
    """Whether /livez answers 200; while no process serves yet, the question waits in the socket's backlog."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(*address)
            try:
                writer.write(_REQUEST)
                return (await reader.readline()).split(b" ")[1:2] == [b"200"]
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return False
