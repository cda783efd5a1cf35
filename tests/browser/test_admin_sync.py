"""The admin's pages of cases and syncs in a real browser, while the real service syncs."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import DESKTOP, PHONE, Complaints
from tests.e2e.carryon import Carryon
from tests.e2e.syncs import CaseClient, write
from tests.servers import manage

NAME, PASSWORD = "supervisor", "correct horse battery"
ADMIN = "/admin/sync/"
MANY = 2000
SOON_MS = 30_000
END_MS = 120_000
_numbers = itertools.count(1)
_REMEMBER = """
window.sameAsBefore = true;
window.seen = new Set();
new MutationObserver(() => {
  for (const piece of document.querySelectorAll('[data-live="amount"]')) window.seen.add(piece.textContent);
}).observe(document.body, { childList: true, subtree: true, characterData: true });
"""


@pytest.fixture(scope="module")
def overseen(carryon: Carryon) -> Carryon:
    """The service, with an operator."""
    superuser = ("createsuperuser", "--noinput", "--username", NAME, "--email", "supervisor@carryon.test")
    manage(carryon.data_dir, *superuser, **carryon.variables, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    return carryon


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, chromium: Browser, overseen: Carryon) -> Iterator[Page]:
    """A page of an operator who has logged in."""
    with closing(chromium.new_context(viewport=request.param, base_url=overseen.service.url)) as context:
        complaints = Complaints(context)
        page = context.new_page()
        page.goto(f"{ADMIN}case/")
        page.locator("[name=username]").fill(NAME)
        page.locator("[name=password]").fill(PASSWORD)
        with page.expect_navigation():
            page.locator("[type=submit]").first.click()
        yield page
        complaints.check()


@pytest.fixture
def case(overseen: Carryon) -> CaseClient:
    """A case that was synced, with one file and a name that no line has room for."""
    name = f"upper-and-lower-jaw-second-visit-before-treatment-full-resolution-{next(_numbers)}"
    case = CaseClient(overseen, name, overseen.admin.token)
    write(case.local, "note.txt", name)
    case.sync(up=True)
    return case


def fill(case: CaseClient) -> None:
    """Give it more to do than is done at once."""
    for number in range(MANY):
        write(case.local, f"scans/{number // 500}/{number}.bin", os.urandom(500))


def opened(page: Page, path: str) -> None:
    """Go there, wait for the socket, and note that the page is this one, for `is_still_there`."""
    with page.expect_websocket():
        page.goto(path)
    page.evaluate(_REMEMBER)


def is_still_there(page: Page) -> bool:
    return bool(page.evaluate("window.sameAsBefore === true"))


def seen(page: Page) -> list[str]:
    """What the page said of progress since it was opened."""
    told: list[str] = page.evaluate("[...window.seen]")
    return told


def fits(page: Page) -> bool:
    """Whether nothing makes the page wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def page_of(page: Page, case: CaseClient) -> str:
    """Where the case's page is, as its place in the list tells."""
    page.goto(f"{ADMIN}case/?q={case.uuid}")
    address = page.locator("[data-case]").get_attribute("data-key")
    assert address is not None
    return f"{ADMIN}case/{address.removeprefix('case-')}/change/"


def test_the_list_follows_a_sync(page: Page, case: CaseClient) -> None:
    opened(page, f"{ADMIN}case/?q={case.uuid}")
    cell = page.locator(f'[data-case="{case.uuid}"][data-live="last"]')
    expect(cell).to_contain_text("completed")
    fill(case)
    job = case.begin(up=True)
    expect(cell).to_contain_text("running", timeout=SOON_MS)
    expect(cell.locator(f'[data-key="job-{job}"][data-live="state"]')).to_have_text("completed", timeout=END_MS)
    expect(cell).to_contain_text(f"{MANY:,} files")
    assert is_still_there(page)
    assert fits(page)


def test_the_page_of_a_job_follows_it(page: Page, case: CaseClient) -> None:
    fill(case)
    job = case.begin(up=True)
    opened(page, f"{ADMIN}job/{job}/change/")
    expect(page.locator('[data-live="state"]')).to_have_text("completed", timeout=END_MS)
    expect(page.get_by_role("button", name="Sync again")).to_be_visible()
    assert any(re.match(rf"[\d,]+ of {MANY:,} files · .+ of .+ · \d+ %$", amount) for amount in seen(page)), seen(page)
    assert is_still_there(page)
    assert fits(page)


def test_a_case_is_synced_and_stopped_on_its_page(page: Page, case: CaseClient) -> None:
    opened(page, page_of(page, case))
    fill(case)
    page.get_by_role("button", name="Sync up").click()
    expect(page.get_by_text(f"Asked to sync up: case {case.uuid}.")).to_be_visible()
    page.evaluate(_REMEMBER)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text(f"Stopped: case {case.uuid}.")).to_be_visible()
    page.evaluate(_REMEMBER)
    expect(page.locator('[data-live="state"]')).to_have_text("stopped", timeout=SOON_MS)
    expect(page.get_by_role("button", name="Sync up")).to_be_visible()
    assert is_still_there(page)
    assert fits(page)


def test_a_dry_run_shows_its_plan(page: Page, case: CaseClient) -> None:
    for number in range(150):
        write(case.local, f"scans/{'long-name-' * 8}{number:03}.bin", b"x" * 1000)
    page.goto(page_of(page, case))
    page.get_by_role("button", name="Dry run up").click()
    expect(page.locator('[data-live="state"]')).to_have_text("completed", timeout=SOON_MS)
    assert fits(page)
    page.locator(".transfer-table a", has_text="dry run up").first.click()
    expect(page.get_by_text("150 · 146.5 KiB")).to_be_visible()
    assert fits(page)
    page.get_by_role("link", name=re.compile(r"All 15[01]$")).click()  # the note may be too new to be trusted unread
    expect(page.locator(".transfer-path")).to_have_count(100)
    assert fits(page)
    page.get_by_role("link", name="2", exact=True).click()
    expect(page.locator(".transfer-path", has_text="long-name")).to_have_count(50)
    page.get_by_role("link", name="Back").first.click()
    expect(page.get_by_role("button", name="Sync again")).to_be_visible()
    assert not list(case.cloud.rglob("*.bin"))


def test_failures_and_stored_files_are_told(page: Page, case: CaseClient) -> None:
    (case.local / "elsewhere").symlink_to("/etc/passwd")
    job = case.begin(up=True)
    case.wait(job)
    page.goto(f"{ADMIN}job/?q={job}")
    expect(page.locator(f'[data-key="job-{job}"][data-live="state"]')).to_have_text("completed with failures")
    assert fits(page)
    page.goto(f"{ADMIN}job/{job}/change/")
    expect(page.get_by_text("it is a link")).to_be_visible()
    assert fits(page)
    page.goto(page_of(page, case))
    page.locator('a[href$="/files/"]').click()
    expect(page.get_by_role("link", name="note.txt")).to_be_visible()
    assert fits(page)
