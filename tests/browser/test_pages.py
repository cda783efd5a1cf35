"""Logging in and out, and how the pages look: on a phone and a desktop, by day and by night."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, ViewportSize, expect

from tests.browser.chromium import DESKTOP, LEAST_CONTRAST, PHONE, Complaints, contrasts
from tests.browser.upload_page import NAME, UploadPage
from tests.e2e.carryon import Carryon

MiB = 2**20


@pytest.fixture
def stranger(chromium: Browser, carryon: Carryon) -> Iterator[UploadPage]:
    """A page of somebody who is not logged in."""
    with closing(chromium.new_context()) as context:
        complaints = Complaints(context)
        yield UploadPage(context.new_page(), carryon.service.url)
        complaints.check()


def test_who_is_not_logged_in_is_asked_to_and_then_comes_back(stranger: UploadPage) -> None:
    stranger.open()
    assert stranger.page.url.startswith(f"{stranger.url}/login")
    stranger.log_in()
    expect(stranger.page.get_by_role("heading", name="Send files")).to_be_visible()
    assert stranger.page.get_by_role("link", name="Admin").count() == 0


def test_a_wrong_password_opens_nothing(stranger: UploadPage) -> None:
    stranger.open()
    stranger.log_in(password="wrong")
    expect(stranger.page.get_by_role("alert")).to_contain_text("correct username and password")
    stranger.open()
    expect(stranger.page.get_by_role("heading", name="Log in")).to_be_visible()


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", r"/\evil.example"]
)
def test_nobody_is_sent_on_to_another_site(stranger: UploadPage, target: str) -> None:
    stranger.page.goto(f"{stranger.url}/login/?next={target}")
    stranger.log_in()
    assert stranger.page.url.rstrip("/") == f"{stranger.url}/upload"


def test_logging_out_ends_the_session(stranger: UploadPage) -> None:
    stranger.open()
    stranger.log_in()
    stranger.page.get_by_role("button", name="Log out").click()
    expect(stranger.page.get_by_role("heading", name="Log in")).to_be_visible()
    stranger.open()
    expect(stranger.page.get_by_role("heading", name="Log in")).to_be_visible()


def test_staff_find_the_admin(stranger: UploadPage, carryon: Carryon) -> None:
    password = carryon.service.told("password")
    assert password
    stranger.open()
    stranger.log_in(carryon.service.told("user") or "admin", password)
    stranger.page.get_by_role("link", name="Admin").click()
    assert "/admin/" in stranger.page.url


def test_pages_load_nothing_but_our_own_files(upload_page: UploadPage) -> None:
    answer = upload_page.page.reload()
    assert answer is not None
    policy = answer.header_value("content-security-policy") or ""
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert upload_page.page.locator("script:not([src]), style, [style], [onclick]").count() == 0
    addresses = upload_page.page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
    assert addresses
    assert all(address.startswith(upload_page.url) for address in addresses)


def assert_sound(page: Page, picture: Path) -> None:
    """Nothing is wider than the screen or hard to read; a picture of it is kept while the test fails."""
    page.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 5_000
    assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth"), picture
    weak = [(text, contrast) for text, contrast in contrasts(page) if contrast < LEAST_CONTRAST]
    assert not weak, picture


@pytest.fixture(params=["phone", "desktop"])
def screen(request: pytest.FixtureRequest) -> ViewportSize:
    """A screen's size."""
    return PHONE if request.param == "phone" else DESKTOP


@pytest.fixture(params=["light", "dark"])
def context(
    request: pytest.FixtureRequest, chromium: Browser, session: StorageState, screen: ViewportSize
) -> Iterator[BrowserContext]:
    """A profile of somebody logged in, with that screen and that taste."""
    phone = screen is PHONE
    with closing(
        chromium.new_context(
            storage_state=session,
            color_scheme=request.param,
            viewport=screen,
            is_mobile=phone,
            has_touch=phone,
            device_scale_factor=2 if phone else 1,
        )
    ) as context:
        yield context


def test_login_looks_right(context: BrowserContext, complaints: Complaints, carryon: Carryon, tmp_path: Path) -> None:
    page = UploadPage(context.new_page(), carryon.service.url)
    page.page.goto(f"{page.url}/login/")
    page.log_in(password="wrong")
    expect(page.page.get_by_role("alert")).to_be_visible()
    assert_sound(page.page, tmp_path / "login.png")


def test_uploads_look_right(upload_page: UploadPage, make_file: Callable[..., Path], tmp_path: Path) -> None:
    dark = upload_page.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    ground = upload_page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(15, 15, 18)" if dark else "rgb(247, 247, 248)")
    assert_sound(upload_page.page, tmp_path / "empty.png")
    upload_page.choose(make_file("notes.txt", 1200))
    upload_page.expect_state("notes.txt", "done")
    names = ["Interview with the harbour master.mov", f"{'a_name_without_any_place_to_break_it_' * 3}.tif", "third.bin"]
    upload_page.send_one_part(make_file(names[0], 50 * MiB))
    upload_page.choose(*(make_file(name, MiB) for name in names[1:]))
    upload_page.expect_state(names[1], "uploading")
    assert_sound(upload_page.page, tmp_path / "going.png")
    upload_page.press(names[1], "Pause")
    upload_page.press(names[0], "Cancel")
    assert_sound(upload_page.page, tmp_path / "asking.png")
    upload_page.reload()
    upload_page.expect_state(names[0], "left")
    assert_sound(upload_page.page, tmp_path / "left.png")
    assert NAME in (upload_page.page.get_by_role("button", name="Log out").get_attribute("title") or "")
