"""The admin's pages of orders and their jobs in a real browser, while the real service makes zips."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import DESKTOP, PHONE, Complaints
from tests.browser.list_page import Files
from tests.e2e.carryon import Carryon
from tests.servers import manage

NAME, PASSWORD = "orders-overseer", "correct horse battery"
ADMIN = "/admin/transfers/"
MiB = 2**20
SOON_MS = 30_000
END_MS = 120_000
LONG = "upper-and-lower-jaw-second-visit-before-treatment-full-resolution-" * 2


@pytest.fixture(scope="module")
def files(carryon: Carryon) -> Files:
    """Somebody who orders files; an operator is there too."""
    superuser = ("createsuperuser", "--noinput", "--username", NAME, "--email", "orders-overseer@carryon.test")
    manage(carryon.data_dir, *superuser, **carryon.variables, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    token = manage(carryon.data_dir, "create_token", "--user", "customer", **carryon.variables).splitlines()[-1]
    return Files(carryon.service.url, token)


@pytest.fixture(scope="module")
def films(files: Files) -> list[str]:
    """Files that take a worker a moment to put together, and one that is small."""
    folder = files.folder()
    large = [files.send(folder, f"film-{number}.mp4", os.urandom(MiB) * 60) for number in range(4)]
    return [*large, files.send(folder, f"{LONG}.mp4", b"film")]


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, chromium: Browser, files: Files) -> Iterator[Page]:
    """A page of an operator who has logged in."""
    with closing(chromium.new_context(viewport=request.param, base_url=files.url)) as context:
        complaints = Complaints(context)
        page = context.new_page()
        page.goto(f"{ADMIN}order/")
        page.locator("[name=username]").fill(NAME)
        page.locator("[name=password]").fill(PASSWORD)
        with page.expect_navigation():
            page.locator("[type=submit]").first.click()
        yield page
        complaints.check()


def ordered(files: Files, *file_ids: str) -> str:
    """An order of these files, which nobody has started; its id."""
    for file_id in file_ids:
        files.ask("POST", "/download/list/me/add", json={"fileHandleId": file_id})
    subset = [{"fileHandleId": file_id} for file_id in file_ids]
    order = files.ask("PUT", "/download/list/me/order", json={"zipFileName": LONG, "subSet": subset})
    return str(order["orderId"])


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


def test_the_list_follows_a_zip(page: Page, files: Files, films: list[str]) -> None:
    order = ordered(files, *films[:4])
    opened(page, f"{ADMIN}order/?q={order}")
    cell = page.locator(f'[data-key="order-{order}"]')
    expect(cell).to_have_text("–")  # noqa: RUF001 - an empty cell's dash
    files.ask("POST", f"/download/order/{order}/async/start")
    expect(cell.locator('[data-live="state"]')).to_have_text("completed", timeout=END_MS)
    expect(cell).to_contain_text("4 files · 240.0 MiB")
    assert is_still_there(page)
    assert fits(page)


def test_the_page_of_a_job_follows_it(page: Page, files: Files, films: list[str]) -> None:
    order = ordered(files, *films[:4])
    job = files.ask("POST", f"/download/order/{order}/async/start")["jobId"]
    opened(page, f"{ADMIN}listjob/{job}/change/")
    expect(page.locator('[data-live="state"]')).to_have_text("completed", timeout=END_MS)
    expect(page.get_by_role("button", name="Remove the zip")).to_be_visible()
    assert is_still_there(page)
    assert fits(page)


def test_an_order_is_zipped_and_its_zip_removed_from_its_page(page: Page, files: Files, films: list[str]) -> None:
    order = ordered(files, films[4])
    page.goto(f"{ADMIN}order/{order}/change/")
    expect(page.get_by_text("Its zip was never asked for.")).to_be_visible()
    assert fits(page)
    page.get_by_role("button", name="Make the zip").click()
    expect(page.get_by_text(f"Started: {LONG}.zip.")).to_be_visible()
    expect(page.locator('[data-live="state"]')).to_have_text("completed", timeout=END_MS)
    assert fits(page)
    page.get_by_role("button", name="Remove the zip").click()
    expect(page.locator('[data-live="state"]')).to_have_text("expired", timeout=END_MS)
    expect(page.get_by_role("button", name="Make the zip")).to_be_visible()
    assert fits(page)


def test_what_is_asked_to_be_added_is_told(page: Page, files: Files, films: list[str]) -> None:
    assert films
    job = files.ask("POST", "/download/list/me/add/async/start", json={"query": {"text": "film-1", "minSize": 5}})
    opened(page, f"{ADMIN}listjob/?q={job['jobId']}")
    expect(page.locator('[data-live="state"]')).to_have_text("completed", timeout=SOON_MS)
    expect(page.get_by_text("files named like “film-1”, of at least 5 bytes")).to_be_visible()
    assert fits(page)
    page.goto(f"{ADMIN}downloadlist/?q=customer")
    page.locator("#result_list a[href*=change]").first.click()
    expect(page.get_by_role("link", name="film-1.mp4")).to_be_visible()
    assert fits(page)
