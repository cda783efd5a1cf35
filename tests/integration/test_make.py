"""The Makefile, run by the real make."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.service import REPOSITORY, STOP_SECONDS, is_alive, running_service

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
VENV = Path(sys.prefix)
INSTALLED = ("-o", f"{VENV}/.base", f"VENV={VENV}")
"""The tests run in an environment that has everything: make need not install it again."""


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=REPOSITORY,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def targets() -> set[str]:
    text = (REPOSITORY / "Makefile").read_text()
    return set(" ".join(re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)).split())


def test_help_is_the_default_and_tells_every_target() -> None:
    answer = make()
    assert answer.returncode == 0
    assert answer.stdout == make("help").stdout
    told = set(re.findall(r"^  ([a-z-]+) +\S", answer.stdout, re.MULTILINE))
    assert told == targets()
    assert {"run", "test", "test-long", "lint", "types", "layers", "checks", "lock", "clean"} <= told


def test_a_python_that_is_too_old_is_told(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.18" && exit\nexit 1\n')
    old.chmod(0o755)
    answer = make("run", f"PYTHON={old}", f"VENV={tmp_path}/venv")
    assert answer.returncode == 2
    assert f"Carryon needs Python 3.11 or newer; {old} is Python 3.9.18." in answer.stderr
    assert not (tmp_path / "venv").exists()


def test_a_missing_python_is_told(tmp_path: Path) -> None:
    answer = make("run", f"PYTHON={tmp_path}/python", f"VENV={tmp_path}/venv")
    assert answer.returncode == 2
    assert "Carryon needs Python 3.11 or newer" in answer.stderr


def test_a_bad_configuration_ends_make(tmp_path: Path) -> None:
    answer = make(*INSTALLED, "run", PORT="x", DATA_DIR=str(tmp_path))
    assert answer.returncode == 2
    assert "PORT:" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("how", ["terminal", "make alone"])
def test_run_stops_with_make(tmp_path: Path, how: str) -> None:
    command = ["make", "--no-print-directory", *INSTALLED, "run"]
    with running_service(tmp_path, command) as service:
        if how == "terminal":
            service.wait_until_ready()
        else:
            service.wait_for(r"^prepare +\|")
        pids = service.pids()
        began = time.monotonic()
        if how == "terminal":
            os.killpg(service.process.pid, signal.SIGINT)  # what Ctrl-C does
        else:
            service.signal(signal.SIGTERM)
        service.wait()
        assert time.monotonic() - began < STOP_SECONDS
        assert not any(is_alive(pid) for pid in pids.values())
        assert list((tmp_path / "run").iterdir()) == []
        assert re.search(r"^carryon +\| stopped", service.output, re.MULTILINE)
