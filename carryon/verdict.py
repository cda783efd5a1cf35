"""What the server makes of the whole file, once it has read it again."""

from __future__ import annotations

import time
from itertools import chain, repeat

from carryon.answers import Stored
from carryon.errors import NotCarryonError, RefusedError
from carryon.retry import Patience
from carryon.server import Server

BEGIN_SECONDS = 60.0
BYTES_PER_SECOND = 50e6
"""How long a server may take to read a file again: a time until it begins, and a speed."""
_LOOK_SECONDS = (0.05, 0.1, 0.2, 0.4)


def await_verdict(server: Server, stored: Stored, size: int, patience: Patience) -> bool | None:
    """Whether the file of `size` bytes is the one it was announced to be; None when the server does not tell in time.

    Stopped, TransientError, and what else makes every request fail.
    """
    gives_up = time.monotonic() + BEGIN_SECONDS + size / BYTES_PER_SECOND
    for pause in chain(_LOOK_SECONDS, repeat(1.0)):
        try:
            verdict = patience.call(lambda: server.verified(stored))
        except (RefusedError, NotCarryonError):
            return None  # it has the file, and tells nothing more of it
        if verdict is not None or time.monotonic() > gives_up:
            return verdict
        patience.stop.pause(pause)
    raise AssertionError("the pauses never end")
