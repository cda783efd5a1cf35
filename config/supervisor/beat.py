"""Loaded by the supervisor's beat after its tasks: rings for periodic work, in a thread of its own.

Celery's own `--beat` forks a process for it, which stays behind when its parent is killed.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import Any

from celery.beat import Service
from celery.signals import task_postrun, worker_ready
from django.conf import settings

from config import presence
from config.celery import app
from config.supervisor.run_folder import RunFolder

# Meant for workers that share a queue and have many threads: with one, Celery 5.7 takes a task a second at most.
app.conf["worker_disable_prefetch"] = False


@worker_ready.connect
def begin(sender: Any, **_: Any) -> None:
    """Ring from now on, since there is somebody who does the work; the thread ends with the process."""
    schedule = sender.controller.schedule_filename
    threading.Thread(target=_ring, args=(schedule,), name="beat", daemon=True).start()


@task_postrun.connect
def note(**_: Any) -> None:
    """Touch the file that the health check looks at: what was rung for came back, and is done."""
    with suppress(OSError):  # on a full disk the work goes on without the note
        RunFolder(settings.ENVIRONMENT.run_dir).ready_file("beat").touch()


def _ring(schedule: str) -> None:
    app.set_current()
    try:
        Service(app, schedule_filename=schedule).start()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)  # it never ends by itself: the supervisor starts it anew


presence.announce_worker("beat")
