"""Waiting for somebody who may take long, and cannot be told to end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")

LOOK_SECONDS = 0.1
"""How often it is looked whether there is a reason not to wait any longer."""


def waited_for(ask: Callable[[], T], check: Callable[[], None]) -> T:
    """What `ask` gives or raises, unless `check` raises before: then `ask` ends by itself, and nobody hears of it.

    It runs in a thread of its own, and must need no database.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            answer.set_exception(error)

    threading.Thread(target=run, name="asking", daemon=True).start()
    while not wait([answer], LOOK_SECONDS).done:
        check()
    return answer.result()
