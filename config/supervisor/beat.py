"""Loaded by the supervisor's beat after its tasks: rings for periodic work, in a thread of its own.

Celery's own `--beat` forks a process for it, which stays behind when its parent is killed.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from celery.beat import Service
from celery.signals import worker_ready

from config import presence
from config.celery import app

# Meant for workers that share a queue and have many threads: with one, Celery 5.7 takes a task a second at most.
app.conf["worker_disable_prefetch"] = False


@worker_ready.connect
def begin(sender: Any, **_: Any) -> None:
    """Ring from now on, since there is somebody who does the work; the thread ends with the process."""
    schedule = sender.controller.schedule_filename
    threading.Thread(target=_ring, args=(schedule,), name="beat", daemon=True).start()


def _ring(schedule: str) -> None:
    app.set_current()
    try:
        Service(app, schedule_filename=schedule).start()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)  # it never ends by itself: the supervisor starts it anew


presence.announce_worker("beat")
