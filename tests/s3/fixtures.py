"""Session fixtures, for a conftest to import: the servers, and the keys to them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.s3.rclone import running_rclone
from tests.s3.server import S3Server, credentials
from tests.s3.swift import running_swift


@pytest.fixture(scope="session")
def s3_credentials() -> Iterator[None]:
    """The environment has the servers' keys."""
    with credentials():
        yield


@pytest.fixture(scope="session")
def swift(s3_credentials: None) -> Iterator[S3Server]:
    """The strict server."""
    with running_swift() as server:
        yield server


@pytest.fixture(scope="session")
def rclone(s3_credentials: None) -> Iterator[S3Server]:
    """The sloppy server."""
    with running_rclone() as server:
        yield server


@pytest.fixture(scope="session", params=["swift", "rclone"])
def store(request: pytest.FixtureRequest) -> S3Server:
    """Each of the two."""
    server: S3Server = request.getfixturevalue(request.param)
    return server
