"""Lets web and workers load their code while the database is still being prepared, and holds them until it is."""

from __future__ import annotations

import os
import time
from pathlib import Path

VARIABLE = "CARRYON_GATE_FILE"
"""Names the file that is there once the database is prepared."""
_POLL_SECONDS = 0.02


def wait_until_open() -> None:
    """Wait for the file that the environment names, if any; SystemExit when the supervisor goes away before."""
    if VARIABLE not in os.environ:
        return
    gate = Path(os.environ[VARIABLE])
    supervisor = os.getppid()
    while not gate.exists():
        if os.getppid() != supervisor:
            raise SystemExit(1)
        time.sleep(_POLL_SECONDS)
