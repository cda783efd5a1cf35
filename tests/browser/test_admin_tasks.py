"""The admin's pages of tasks in a real browser, while a client reports to the real service."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import DESKTOP, PHONE, Complaints
from tests.e2e.carryon import Carryon
from tests.servers import manage

NAME, PASSWORD = "overseer", "correct horse battery"
ADMIN = "/admin/tasks_api/"
CID = "QmTxvr8VXe37apeBjyPeAGZi5JiRSbwn8mr2DuuqR517Lo"
LONG_NAME = "The-Long-Road-Home.S01E{:02}.Directors-Cut.2160p.HDR.master-file.final.v2.mov"
SOON_MS = 15_000
_numbers = itertools.count(1)


class Studio:
    """The client of somebody who uploads masters."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Token {token}"

    def begin(self) -> dict[str, Any]:
        number = next(_numbers)
        return self._call("POST", "upload/pbulic/", series_id=7, uuid=str(number), source_name=LONG_NAME.format(number))

    def report(self, task: dict[str, Any], **facts: Any) -> None:
        self._call("PATCH", f"upload/pbulic/{task['id']}/", **facts)

    def _call(self, method: str, path: str, **facts: Any) -> dict[str, Any]:
        answer = self._session.request(method, f"{self.url}/api/v1/tasks/{path}", data=facts, timeout=30)
        assert answer.ok, answer.text
        told: dict[str, Any] = answer.json()["data"]
        return told


@pytest.fixture(scope="module")
def studio(carryon: Carryon) -> Iterator[Studio]:
    """A studio; an operator is there too."""
    superuser = ("createsuperuser", "--noinput", "--username", NAME, "--email", "overseer@carryon.test")
    manage(carryon.data_dir, *superuser, **carryon.variables, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    token = manage(carryon.data_dir, "create_token", "--user", "studio", **carryon.variables).splitlines()[-1]
    studio = Studio(carryon.service.url, token)
    with studio._session:
        yield studio


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, chromium: Browser, studio: Studio) -> Iterator[Page]:
    """A page of an operator who has logged in."""
    with closing(chromium.new_context(viewport=request.param, base_url=studio.url)) as context:
        complaints = Complaints(context)
        page = context.new_page()
        page.goto(f"{ADMIN}publicupload/")
        page.locator("[name=username]").fill(NAME)
        page.locator("[name=password]").fill(PASSWORD)
        with page.expect_navigation():
            page.locator("[type=submit]").first.click()
        yield page
        complaints.check()


def opened(page: Page, path: str) -> None:
    """Go there, wait for the socket, and note that the page is this one, for `is_still_there`."""
    with page.expect_websocket():
        page.goto(path)
    page.evaluate("window.sameAsBefore = true")


def is_still_there(page: Page) -> bool:
    return bool(page.evaluate("window.sameAsBefore === true"))


def fits(page: Page) -> bool:
    """Whether nothing makes the page wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_the_list_follows_reports(page: Page, studio: Studio) -> None:
    task = studio.begin()
    opened(page, f"{ADMIN}publicupload/")
    live = f'[data-task="public_upload-{task["id"]}"]'
    expect(page.locator(f'{live}[data-live="state"]')).to_have_text("not started")
    studio.report(task, status=3, percent=40)
    expect(page.locator(f'{live}[data-live="progress"]')).to_have_text("40 %", timeout=SOON_MS)
    expect(page.locator(f"{live} progress")).to_have_js_property("value", 40)
    studio.report(task, status=8, hash=CID, size=5)
    expect(page.locator(f'{live}[data-live="state"]')).to_have_text("completed", timeout=SOON_MS)
    assert is_still_there(page)
    assert fits(page)


def test_the_page_of_one_follows_reports_and_marks_it_failed(page: Page, studio: Studio) -> None:
    task = studio.begin()
    opened(page, f"{ADMIN}publicupload/{task['id']}/change/")
    studio.report(task, status=2, percent=10)
    expect(page.locator('[data-live="state"]')).to_have_text("encrypting", timeout=SOON_MS)
    assert is_still_there(page)
    assert fits(page)
    page.get_by_role("button", name="Mark failed").click()
    expect(page.get_by_text("Marked failed:")).to_be_visible()
    expect(page.get_by_role("button", name="Mark failed")).to_have_count(0)
    assert fits(page)


def test_a_source_is_granted_and_revoked_on_its_page(page: Page, studio: Studio) -> None:
    path = f"{ADMIN}source/{studio.begin()['source_id']}/change/"
    page.goto(path)
    assert fits(page)
    page.get_by_text("Add another Grant").click()
    page.locator(".select2-selection").last.click()
    page.locator(".select2-results__option", has_text=NAME).click()
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("[name=grants-0-id]")).to_have_count(1)
    page.locator("[name=grants-0-DELETE]").evaluate("box => box.checked = true")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("[name=grants-0-id]")).to_have_count(0)
    assert fits(page)


def test_sources_are_granted_together(page: Page, studio: Studio) -> None:
    made = [studio.begin() for _ in range(2)]
    page.goto(f"{ADMIN}source/?q={made[0]['source_name']}")
    page.locator("input.action-select").first.check(force=True)
    page.locator("select[name=action]").first.evaluate("select => { select.value = 'grant'; select.form.submit(); }")
    expect(page.get_by_text("Who may download these")).to_be_visible()
    page.locator(".select2-selection").click()
    page.locator(".select2-results__option", has_text=NAME).click()
    page.get_by_role("button", name="Grant", exact=True).click()
    expect(page.get_by_text(f"Granted to {NAME}: {made[0]['source_name']}.")).to_be_visible()
    assert fits(page)


def test_what_needs_attention_fits(page: Page, studio: Studio) -> None:
    studio.begin()
    page.goto(f"{ADMIN}downloadtask/attention/")
    expect(page.get_by_text("Nobody waits for a private block.")).to_be_visible()
    assert fits(page)
