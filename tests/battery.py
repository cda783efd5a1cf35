"""How long the long tests are: `make test` takes a sample, `make test-long` takes its time."""

from __future__ import annotations

import os

LONG = os.environ.get("CARRYON_LONG") == "1"


def rounds(short: int, long: int) -> int:
    """How often a battery repeats what it tests, in this run."""
    return long if LONG else short
