"""How long to wait before starting again what died."""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 8
"""Well under the lease of dead work, so that the pause of a worker is no part of the time its work waits."""
LIVED_WELL_SECONDS = 10


@dataclass
class Backoff:
    """The pauses of one process: doubled by each early death, the first again after a life that lasted."""

    _next_seconds: float = field(default=FIRST_SECONDS, init=False)

    def pause(self, lived_seconds: float) -> float:
        """Seconds to wait after a life of that length."""
        if lived_seconds >= LIVED_WELL_SECONDS:
            self._next_seconds = FIRST_SECONDS
        pause = self._next_seconds
        self._next_seconds = min(pause * 2, LONGEST_SECONDS)
        return pause
