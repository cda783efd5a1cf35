"""One running service for all tests that leave it as they found it, and an origin for each test."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.carryon import Carryon, running_carryon
from tests.e2e.client import Listener
from tests.e2e.resolver import NAMES, NAMES_VARIABLE, python_path
from tests.origin import Certificate, Origin, self_signed
from tests.s3 import S3Server, running_swift
from tests.s3.server import credentials


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """What the service trusts."""
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def carryon(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Carryon]:
    """A service that loses patience soon, and knows the names of `resolver.NAMES`."""
    variables = {
        "DOWNLOAD_RETRY_SECONDS": "0.05",
        "DOWNLOAD_STALL_SECONDS": "1",
        "DOWNLOAD_CONNECT_TIMEOUT_SECONDS": "2",
        "DOWNLOAD_MAX_ATTEMPTS": "4",
        "DOWNLOAD_PARALLEL_MIN_BYTES": str(32 * 2**20),
        "SSL_CERT_FILE": str(certificate.path),
        "PYTHONPATH": python_path(),
        NAMES_VARIABLE: json.dumps(NAMES),
    }
    with running_carryon(tmp_path_factory.mktemp("carryon"), **variables) as running:
        yield running


@pytest.fixture
def everything(carryon: Carryon) -> Iterator[Listener]:
    """A socket that hears of every download."""
    with carryon.admin.listening() as listener:
        yield listener


@pytest.fixture
def origin() -> Iterator[Origin]:
    """An honest server, until it is told otherwise."""
    with Origin() as running:
        yield running


@pytest.fixture(scope="module")
def keys_to_the_stores() -> Iterator[None]:
    """The services started meanwhile inherit the keys to the stores."""
    with credentials():
        yield


@pytest.fixture(scope="module")
def swift(keys_to_the_stores: None) -> Iterator[S3Server]:
    """The strict store, the module's own, for some tests kill it."""
    with running_swift() as server:
        yield server
