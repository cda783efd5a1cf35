"""The sloppy server: `rclone serve s3` over a folder."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.s3.server import ACCESS_KEY, SECRET_KEY, S3Server, running


@contextmanager
def running_rclone() -> Iterator[S3Server]:
    """Run the program of the tests' wheel on a folder that goes with the context."""
    program = Path(sys.executable).with_name("rclone")
    assert program.exists(), "there is no rclone beside this Python: install requirements/dev.txt"
    with tempfile.TemporaryDirectory(prefix="carryon-rclone-") as folder:
        root = Path(folder, "root")
        root.mkdir()

        def command(port: int) -> list[str]:
            options = [
                "--addr",
                f"127.0.0.1:{port}",
                "--auth-key",
                f"{ACCESS_KEY},{SECRET_KEY}",
                "--config",
                "/dev/null",
            ]
            return [str(program), "serve", "s3", *options, "--cache-dir", str(Path(folder, "cache")), str(root)]

        with running(S3Server("rclone", command, Path(folder, "log"))) as server:
            yield server
