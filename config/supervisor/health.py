"""Whether this container's process works, for its health check: `python -I -S config/supervisor/health.py web`.

It runs every few seconds beside each process, so it imports nothing of the service, nor of any package.
"""

import http.client
import os
import sys
import time
from pathlib import Path

ANSWER_SECONDS = 5
BEAT_SECONDS = 600
"""Beat writes its schedule every 180 s (`beat_sync_every` of Celery), and whenever it starts."""


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
    """Whether the worker has been connected and has taken work since it was started."""
    return any(run_folder().glob("worker-*.ready"))


def beat() -> bool:
    """Whether beat has written its schedule lately."""
    written = [path.stat().st_mtime for path in run_folder().glob("beat-schedule*")]
    return bool(written) and time.time() - max(written) < BEAT_SECONDS


def run_folder() -> Path:
    """Where the process leaves its notes."""
    return Path(os.environ.get("DATA_DIR", "data")) / "run"


CHECKS = {"web": web, "worker": worker, "worker-cpu": worker, "beat": beat}

if __name__ == "__main__":
    sys.exit(0 if CHECKS[sys.argv[1]]() else 1)
