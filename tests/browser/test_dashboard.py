"""The dashboard in a real browser, while the real service downloads: by day and by night, on a desktop and a phone."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import DESKTOP, LEAST_CONTRAST, PHONE, Complaints, contrasts
from tests.e2e.carryon import Carryon
from tests.origin import Behaviour, GeneratedFile, Origin
from tests.servers import manage

NAME, PASSWORD = "overseer", "correct horse battery"
SIZE = 60_000_000
RATE = 3_000_000
SOON_MS = 30_000
OURS = "#dashboard :not(.uppercase)"
"""Everything on the dashboard but the theme's own labels."""
LOOKS = [("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE), ("dark", PHONE)]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def overseen(carryon: Carryon) -> Carryon:
    """The service, with an operator."""
    superuser = ("createsuperuser", "--noinput", "--username", NAME, "--email", "overseer@carryon.test")
    manage(carryon.data_dir, *superuser, **carryon.variables, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    return carryon


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as running:
        yield running


@pytest.fixture(params=LOOKS, ids=["day", "night", "phone by day", "phone by night"])
def page(request: pytest.FixtureRequest, chromium: Browser, overseen: Carryon) -> Iterator[Page]:
    """A page of an operator who has logged in."""
    scheme, viewport = request.param
    profile = {"color_scheme": scheme, "viewport": viewport, "base_url": overseen.service.url}
    with closing(chromium.new_context(**profile)) as context:
        complaints = Complaints(context)
        complaints.expect("503 .*dashboard/live")
        page = context.new_page()
        page.goto("/admin/")
        page.locator("[name=username]").fill(NAME)
        page.locator("[name=password]").fill(PASSWORD)
        with page.expect_navigation():
            page.locator("[type=submit]").first.click()
        yield page
        complaints.check()


def fits(page: Page) -> bool:
    """Whether nothing makes the page wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_a_bar_moves_without_loading_the_page_again(page: Page, overseen: Carryon, origin: Origin) -> None:
    name = f"film-{next(_numbers)}.bin"
    expect(page.get_by_role("heading", name="Under way")).to_be_visible()
    page.evaluate("window.sameAsBefore = true")
    url = origin.add(f"/{name}", GeneratedFile(SIZE), Behaviour(rate=RATE))
    download = overseen.admin.begin(url, name)
    row = page.locator(f'[data-key="transfers.download-{download}"]').first
    expect(row.locator("progress")).to_be_visible(timeout=SOON_MS)
    bar = row.locator("progress").element_handle()
    before = bar.evaluate("bar => bar.value")
    page.wait_for_function("([bar, before]) => bar.value > before + 3e6", arg=[bar, before], timeout=SOON_MS)
    expect(row).to_contain_text(re.compile(r"[\d.]+ MiB of 57.2 MiB · \d+ %"))
    assert fits(page)
    weak = [(text, contrast) for text, contrast in contrasts(page, OURS) if contrast < LEAST_CONTRAST]
    assert not weak, weak
    overseen.admin.stop(url, name)
    expect(row).to_be_hidden(timeout=SOON_MS)
    assert page.evaluate("window.sameAsBefore") is True
    page.get_by_role("link", name="Downloads", exact=True).last.click()
    expect(page.get_by_text(name).first).to_be_visible()


def test_it_says_when_the_server_is_away(page: Page, overseen: Carryon) -> None:
    stale = page.get_by_text("The server does not answer")
    expect(stale).to_be_hidden()
    page.route("**/dashboard/live/", lambda route: route.fulfill(status=503))
    expect(stale).to_be_visible(timeout=SOON_MS)
    page.unroute("**/dashboard/live/")
    expect(stale).to_be_hidden(timeout=SOON_MS)
