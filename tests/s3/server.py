"""A real S3 server as a process: started, killed, started again on the same port."""

from __future__ import annotations

import functools
import itertools
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config

from config.supervisor.child import tethered
from transfers.engine.s3 import S3Place

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

ACCESS_KEY = "test:tester"
SECRET_KEY = "a-secret-of-the-tests"
BUCKET = "carryon"
_READY = re.compile(r"http://127\.0\.0\.1:(\d+)")
_START_SECONDS = 30


class S3Server:
    """A server whose command takes a port (0 for a free one) and tells its address on its output."""

    def __init__(self, name: str, command: Callable[[int], Sequence[str]], log: Path) -> None:
        self.name = name
        self.port = 0
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def place(self, prefix: str = "") -> S3Place:
        """A place in the bucket that every server here has."""
        return S3Place(BUCKET, prefix, self.url)

    def new_key(self) -> str:
        """A key that nothing has yet."""
        return f"tests/{next(self._numbers)}/file.bin"

    @functools.cached_property
    def plain(self) -> S3Client:
        """The plain library, for what a test looks at and prepares by itself."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            config=Config(request_checksum_calculation="when_required", response_checksum_validation="when_required"),
        )

    def content(self, key: str) -> bytes | None:
        """The object's bytes; None when there is none."""
        try:
            return self.plain.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        except self.plain.exceptions.NoSuchKey:
            return None

    def start(self) -> None:
        """Start it, on the port that it had before if it had one."""
        with self._log.open("wb") as log:
            command = tethered(self._command(self.port))
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while (told := _READY.search(self._log.read_text())) is None:
            assert self._process.poll() is None, f"{self.name} does not start:\n{self._log.read_text()}"
            assert time.monotonic() < deadline, f"{self.name} does not start in time"
            time.sleep(0.02)
        self.port = int(told[1])

    def kill(self) -> None:
        """End it by SIGKILL, as a crash does; nothing it has is needed any more, or all of it is on disk."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running(server: S3Server) -> Iterator[S3Server]:
    """Run the server with an empty bucket."""
    try:
        server.start()
        server.plain.create_bucket(Bucket=BUCKET)
        yield server
    finally:
        server.plain.close()
        server.kill()


@contextmanager
def credentials() -> Iterator[None]:
    """Give the environment the servers' keys, and nothing of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        patch.setenv("AWS_CONFIG_FILE", "/dev/null")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"):
            patch.delenv(name, raising=False)
        yield
