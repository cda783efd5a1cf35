"""Waiting for somebody who may take long."""

from __future__ import annotations

import threading
import time

import pytest

from sync.tasks.waiting import LOOK_SECONDS, waited_for
from transfers.errors import CaseApiError, Interrupted, Interruption


def go_on() -> None:
    """Nobody wants it to end."""


def end() -> None:
    raise Interrupted(Interruption.STOPPED)


def test_what_comes_of_it_is_given() -> None:
    assert waited_for(lambda: 5, go_on) == 5
    assert waited_for(lambda: time.sleep(3 * LOOK_SECONDS), go_on) is None


def test_what_it_raises_is_raised() -> None:
    def fail() -> None:
        raise CaseApiError("no")

    with pytest.raises(CaseApiError, match="no"):
        waited_for(fail, go_on)


def test_whoever_is_to_end_waits_no_longer() -> None:
    over = threading.Event()
    began = time.monotonic()
    try:
        with pytest.raises(Interrupted):
            waited_for(lambda: over.wait(30), end)
    finally:
        over.set()
    assert time.monotonic() - began < 10
