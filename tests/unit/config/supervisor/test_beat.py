from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.service import REPOSITORY


def test_the_process_ends_when_its_thread_cannot_go_on(tmp_path: Path) -> None:
    """The supervisor then starts it again; a worker without a beat would look sound and do nothing."""
    schedule = str(tmp_path / "nowhere" / "schedule")
    ring = f"import django; django.setup(); from config.supervisor import beat; beat._ring({schedule!r})"
    ended = subprocess.run([sys.executable, "-c", ring], cwd=REPOSITORY, capture_output=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGTERM, ended.stderr
