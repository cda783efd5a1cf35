"""Debian's packages, unpacked for tests: nothing is installed, and no server of the system's started."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path


def unpacked(packages: Sequence[str], folder: Path) -> bool:
    """Unpack these into the folder; False where apt-get is not, or does not get them all."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return False
    if _unpacked(packages, folder):
        return True
    if os.geteuid() != 0:
        return False
    subprocess.run(["apt-get", "--quiet=2", "update"], check=False)
    return _unpacked(packages, folder)


def _unpacked(packages: Sequence[str], folder: Path) -> bool:
    with tempfile.TemporaryDirectory() as downloads:
        # As its own user, whom it would take for downloads, it might not enter there, and would say so.
        download = ["apt-get", "--quiet=2", "-o", "APT::Sandbox::User=root", "download", *packages]
        if subprocess.run(download, cwd=downloads, check=False).returncode:
            return False
        folder.mkdir(parents=True, exist_ok=True)
        for package in Path(downloads).glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True)
    return True
