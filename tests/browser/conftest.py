"""One service for all tests of the browser, one browser for each module, and a page for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, StorageState

from tests.browser.chromium import Complaints, running_chromium
from tests.browser.upload_page import NAME, PASSWORD, UploadPage
from tests.e2e.carryon import Carryon, running_carryon
from tests.servers import manage

MAX_BYTES = 300 * 2**20
"""What the service takes; a larger file is refused."""
ORDER_MAX_BYTES = 250 * 2**20
"""What one zip may have."""
_USER = "from django.contrib.auth.models import User; User.objects.create_user({name!r}, password={password!r})"


@pytest.fixture(scope="session")
def carryon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carryon]:
    """A service with a user who is not staff and has a password."""
    limits = {"UPLOAD_MAX_BYTES": str(MAX_BYTES), "ORDER_MAX_BYTES": str(ORDER_MAX_BYTES), "RATE_LIMIT_LOGIN": "off"}
    with running_carryon(tmp_path_factory.mktemp("carryon"), **limits) as running:
        manage(
            running.data_dir, "shell", "-v", "0", "-c", _USER.format(name=NAME, password=PASSWORD), **running.variables
        )
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser; no longer than for a module, because Django's ORM does not work beside it."""
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def session(chromium: Browser, carryon: Carryon) -> StorageState:
    """The cookies of a user who has logged in."""
    with closing(chromium.new_context()) as context:
        page = UploadPage(context.new_page(), carryon.service.url).open()
        page.log_in()
        return context.storage_state()


@pytest.fixture
def context(chromium: Browser, session: StorageState) -> Iterator[BrowserContext]:
    """A profile whose user is logged in, and that has no other past."""
    with closing(chromium.new_context(storage_state=session)) as context:
        yield context


@pytest.fixture
def complaints(context: BrowserContext) -> Iterator[Complaints]:
    """The consoles' errors, which the test must have expected."""
    complaints = Complaints(context)
    yield complaints
    complaints.check()


@pytest.fixture
def upload_page(context: BrowserContext, complaints: Complaints, carryon: Carryon) -> UploadPage:
    """The page, open."""
    return UploadPage(context.new_page(), carryon.service.url).open()


@pytest.fixture
def make_file(tmp_path: Path) -> Callable[..., Path]:
    """Make a file whose content no other has."""

    def made(name: str, size: int) -> Path:
        path = tmp_path / name
        block = os.urandom(min(size, 2**20))
        with path.open("wb") as file:
            for number in range(-(-size // 2**20)):
                file.write((number.to_bytes(8, "big") + block[8:])[: size - number * 2**20])
        return path

    return made
