"""Whether this container's process works, for its health check: `python -I -S config/supervisor/health.py web`.

It runs every few seconds beside each process, so it imports nothing of the service, nor of any package.
"""

import http.client
import os
import sys
import time
from pathlib import Path

ANSWER_SECONDS = 5
WORKER_SECONDS = 15
"""A worker's loop touches its file every second, while it has its connection to the broker."""
BEAT_SECONDS = 300
"""Beat looks for work every `REAP_SECONDS`, 120 at most, but for the time that it takes to tidy up."""


def web() -> bool:
    """Whether the web process answers."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT", "8008")), timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/livez", headers={"Host": "localhost"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def worker() -> bool:
    """Whether the worker takes work: it is connected, and its loop runs."""
    return written_lately("worker-*.ready", WORKER_SECONDS)


def beat() -> bool:
    """Whether beat has rung, heard it through the broker, and done what was to be done, lately."""
    return written_lately("beat.ready", BEAT_SECONDS)


def written_lately(pattern: str, seconds: float) -> bool:
    """Whether one of these files in the run folder was written to in the last so many seconds."""
    written = [path.stat().st_mtime for path in run_folder().glob(pattern)]
    return bool(written) and time.time() - max(written) < seconds


def run_folder() -> Path:
    """Where the process leaves its notes."""
    return Path(os.environ.get("DATA_DIR", "data")) / "run"


CHECKS = {"web": web, "worker": worker, "worker-cpu": worker, "beat": beat}

if __name__ == "__main__":
    sys.exit(0 if CHECKS[sys.argv[1]]() else 1)
