"""The admin's pages of uploads in a real browser, while parts come in at the real service."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import DESKTOP, PHONE, Complaints
from tests.e2e.carryon import Carryon
from tests.e2e.uploads import Uploads
from tests.servers import manage

NAME, PASSWORD = "operator", "correct horse battery"
LIST = "/admin/transfers/upload/"
PART = b"x" * 1000
SOON_MS = 30_000
"""How long a change may take to be seen: the page asks every few seconds, less often the less happens."""
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def sender(carryon: Carryon) -> Uploads:
    """Somebody who sends files; an operator is there too."""
    superuser = ("createsuperuser", "--noinput", "--username", NAME, "--email", "operator@carryon.test")
    manage(carryon.data_dir, *superuser, **carryon.variables, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    token = manage(carryon.data_dir, "create_token", "--user", "sender", **carryon.variables).splitlines()[-1]
    return Uploads(carryon.service.url, token)


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, chromium: Browser, sender: Uploads) -> Iterator[Page]:
    """A page of an operator who has logged in."""
    with closing(chromium.new_context(viewport=request.param, base_url=sender.url)) as context:
        complaints = Complaints(context)
        page = context.new_page()
        page.goto(LIST)
        page.locator("[name=username]").fill(NAME)
        page.locator("[name=password]").fill(PASSWORD)
        with page.expect_navigation():
            page.locator("[type=submit]").first.click()
        yield page
        complaints.check()


@pytest.fixture
def name() -> str:
    """A name that no other upload has."""
    return f"film-{next(_numbers)}.mov"


def never_loaded_again(page: Page) -> None:
    """Note that the page is this one, for `is_still_there`."""
    page.evaluate("window.sameAsBefore = true")


def is_still_there(page: Page) -> bool:
    return bool(page.evaluate("window.sameAsBefore === true"))


def fits(page: Page) -> bool:
    """Whether nothing makes the page wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_the_list_follows_parts_and_completion(page: Page, sender: Uploads, name: str) -> None:
    upload = sender.begin(name, fileSize=4000)
    page.goto(LIST)
    row = page.locator(f'[data-upload="{upload}"][data-live="progress"]')
    expect(row).to_have_text("0 B of 3.9 KiB · 0 %")
    never_loaded_again(page)
    told = sender.send(upload, {1: PART, 2: PART})
    expect(row).to_have_text("2.0 KiB of 3.9 KiB · 50 %", timeout=SOON_MS)
    expect(row.locator("progress")).to_have_js_property("value", 2000)
    told |= sender.send(upload, {3: PART, 4: PART})
    sender.finished(upload, told)
    state = page.locator(f'[data-upload="{upload}"][data-live="state"]')
    expect(state).to_have_text("completed", timeout=SOON_MS)
    assert is_still_there(page)
    assert fits(page)


def test_the_page_follows_parts_and_stays_as_it_was_left(page: Page, sender: Uploads, name: str) -> None:
    upload = sender.begin(name, fileSize=4000)
    told = sender.send(upload, {1: PART, 3: PART})
    page.goto(f"{LIST}{upload}/change/")
    parts = page.locator('[data-live="parts"]')
    expect(parts).to_contain_text("1, 3")
    parts.locator("summary").click()
    expect(parts.locator("table")).to_be_hidden()
    never_loaded_again(page)
    told |= sender.send(upload, {2: PART, 4: PART})
    expect(parts).to_contain_text("1–4", timeout=SOON_MS)  # noqa: RUF001 - a range
    expect(parts.locator("table")).to_be_hidden()
    sender.finished(upload, told)
    expect(page.get_by_role("button", name="Remove…")).to_be_hidden(timeout=SOON_MS)
    assert is_still_there(page)
    assert fits(page)


def test_an_upload_is_removed_after_a_question(page: Page, sender: Uploads, name: str) -> None:
    upload = sender.begin(name)
    sender.send(upload, {1: PART})
    page.goto(f"{LIST}{upload}/change/")
    page.get_by_role("button", name="Remove…").click()
    expect(page.get_by_text("Remove for good?")).to_be_visible()
    assert fits(page)
    page.get_by_role("link", name="No, take me back").click()
    expect(page.get_by_role("button", name="Remove…")).to_be_visible()
    assert sender.state(upload).status == 200
    page.get_by_role("button", name="Remove…").click()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_text(f"Removed: {name}.")).to_be_visible()
    sender.state(upload).problem(404, "no_such_upload")
