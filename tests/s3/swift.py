"""The strict server: OpenStack's swift behind its S3 interface."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.s3 import swift_process
from tests.s3.server import ACCESS_KEY, SECRET_KEY, S3Server, running


@contextmanager
def running_swift(min_part_bytes: int = 1) -> Iterator[S3Server]:
    """Run it in a folder that goes with the context; it refuses parts, but the last, of fewer bytes than this.

    AssertionError when it is not installed, or the temporary folder's file system keeps no extended attributes, where
    it has all it knows of an object.
    """
    if sys.platform != "linux":
        pytest.skip("swift runs on Linux only")
    assert importlib.util.find_spec("swift"), "there is no swift beside this Python: install requirements/dev.txt"
    with tempfile.TemporaryDirectory(prefix="carryon-swift-") as folder:
        _check_attributes(Path(folder))

        def command(port: int) -> list[str]:
            options = [folder, str(port), ACCESS_KEY, SECRET_KEY, str(min_part_bytes)]
            return [sys.executable, "-P", swift_process.__file__, *options]  # -P: this file is not the swift it wants

        with running(S3Server("swift", command, Path(folder, "log"))) as server:
            yield server


def _check_attributes(folder: Path) -> None:
    try:
        os.setxattr(folder, "user.carryon", b"1")
    except OSError as error:
        raise AssertionError(f"swift needs extended attributes, {folder} has none: choose another TMPDIR") from error
