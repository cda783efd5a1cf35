"""Loaded by the supervisor's workers after their tasks: waits for the database, and tells when work is taken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery.signals import worker_ready

from config import presence
from config.supervisor import gate
from config.supervisor.run_folder import KIND_VARIABLE, READY_FILE_VARIABLE

READY_FILE = Path(os.environ[READY_FILE_VARIABLE])


@worker_ready.connect
def announce(**_: Any) -> None:
    """Make the file that the supervisor waits for: the worker is connected and takes work."""
    READY_FILE.touch()


gate.wait_until_open()
presence.announce_worker(os.environ[KIND_VARIABLE], READY_FILE)
