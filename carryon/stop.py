"""The wish to leave, which every thread hears."""

from __future__ import annotations

import threading

from carryon.errors import Stopped


class Stop:
    """Said once, by any thread; the others ask for it wherever they may spend time."""

    def __init__(self) -> None:
        self._said = threading.Event()

    def say(self) -> None:
        """Have every later `check` and `pause`, and those that wait now, end in Stopped."""
        self._said.set()

    def check(self) -> None:
        """Raise Stopped once it was said."""
        if self._said.is_set():
            raise Stopped

    def pause(self, seconds: float) -> None:
        """Wait so long; Stopped as soon as it is said."""
        if self._said.wait(seconds):
            raise Stopped
