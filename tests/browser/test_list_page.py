"""Picking, ordering and getting files on the page at /list/, in a real browser, from the real service."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, StorageState, ViewportSize, expect

from tests.browser.chromium import DESKTOP, Complaints
from tests.browser.conftest import ORDER_MAX_BYTES
from tests.browser.list_page import END_MS, Files, ListPage
from tests.browser.test_pages import assert_sound
from tests.browser.upload_page import NAME, UploadPage, ascends
from tests.e2e.carryon import Carryon, frozen
from tests.servers import manage

MiB = 2**20
FILM_BYTES = 60 * MiB
NARROW: ViewportSize = {"width": 360, "height": 740}
HOSTILE = {"plain.mp4": "invoice\u202e4pm.exe.mp4", "plain.mov": "<img src=x onerror=alert(1)>.mov"}
_RENAME = (
    "from transfers.models import StoredFile\nfor pk, name in {!r}: StoredFile.objects.filter(pk=pk).update(name=name)"
)
_NO_SOCKET = "window.WebSocket = class { constructor() { setTimeout(() => this.onclose({ code: 1006 })); } };"
_WATCH = """
window.seen = [];
new MutationObserver(() => {
  const bar = document.querySelector("#order-rows progress");
  if (bar && !bar.hidden && bar.hasAttribute("value")) seen.push(bar.value / bar.max);
}).observe(document.getElementById("orders"), { subtree: true, attributes: true, childList: true });
"""


@pytest.fixture(scope="module")
def files(carryon: Carryon) -> Files:
    """What the visitor has at the service."""
    token = manage(carryon.data_dir, "create_token", "--user", NAME, **carryon.variables).splitlines()[-1]
    return Files(carryon.service.url, token)


@pytest.fixture(scope="module")
def films(files: Files) -> str:
    """A folder of five films, four of which go into one zip."""
    folder = files.folder()
    for number in range(5):
        files.send(folder, f"film-{number}.mp4", os.urandom(MiB) * (FILM_BYTES // MiB))
    return folder


@pytest.fixture
def page(context: BrowserContext, complaints: Complaints, files: Files) -> ListPage:
    """The page, open, with an empty list."""
    files.ask("DELETE", "/download/list/me")
    return ListPage(context.new_page(), files.url)


def sent(files: Files, *names: str) -> str:
    """A new folder with small files of these names, whose checksums are known."""
    folder = files.folder()
    ids = [files.send(folder, name, os.urandom(3000)) for name in names]
    wait_until_hashed(files, ids)
    return folder


def wait_until_hashed(files: Files, ids: list[str]) -> None:
    """Wait until a zip of these files can be laid out."""
    deadline = time.monotonic() + 60
    while not all(files.is_hashed(file_id) for file_id in ids):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def entries(content: bytes) -> list[str]:
    """The names in a zip, all of whose bytes are right."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        assert archive.testzip() is None
        return archive.namelist()


# Browsing and picking --------------------------------------------------------------------------------------------


def test_who_is_not_logged_in_is_asked_to_and_comes_back(chromium: Browser, carryon: Carryon) -> None:
    with closing(chromium.new_context()) as context:
        page = UploadPage(context.new_page(), carryon.service.url)
        page.page.goto(f"{page.url}/list/")
        page.log_in()
        expect(page.page.get_by_role("heading", name="Get files")).to_be_visible()


def test_the_pages_lead_to_each_other(page: ListPage) -> None:
    page.open()
    page.page.get_by_role("link", name="Send files").click()
    expect(page.page.get_by_role("heading", name="Send files")).to_be_visible()
    expect(page.page.get_by_role("link", name="Send files")).to_have_attribute("aria-current", "page")
    page.page.get_by_role("link", name="Get files").click()
    expect(page.page.get_by_role("heading", name="Get files")).to_be_visible()


def test_folders_tell_what_is_in_them_and_files_are_picked(page: ListPage, files: Files) -> None:
    folder = sent(files, "a.mp4", "b.mp4")
    page.open()
    expect(page.child(folder)).to_contain_text("2 files · up to 1 MiB")
    page.enter(folder)
    expect(page.page.locator("#place")).to_have_text("2 files · up to 1 MiB")
    expect(page.child("a.mp4")).to_contain_text("2.9 KiB")
    page.add("b.mp4")
    expect(page.item("b.mp4")).to_contain_text(f"2.9 KiB · in {folder}")
    expect(page.amount).to_have_text("1 file · 2.9 KiB of 250.0 MiB")
    page.add("a.mp4")
    expect(page.amount).to_have_text("2 files · 5.9 KiB of 250.0 MiB")
    page.page.get_by_role("button", name="Take b.mp4 off the list").click()
    expect(page.amount).to_have_text("1 file · 2.9 KiB of 250.0 MiB")
    page.page.go_back()
    expect(page.child(folder)).to_be_visible()
    page.page.go_forward()
    page.page.get_by_role("button", name="All folders").click()
    expect(page.child(folder)).to_be_visible()


def test_a_folder_is_added_as_a_whole(page: ListPage, files: Files) -> None:
    folder = sent(files, *(f"{number}.mp4" for number in range(7)))
    page.open()
    page.page.get_by_role("button", name=f"Add all files of {folder}").click()
    expect(page.amount).to_contain_text("7 files", timeout=END_MS)
    page.enter(folder)
    expect(page.page.get_by_text("On the list")).to_have_count(7)
    assert len(files.listed()) == 7


def test_long_folders_and_lists_come_in_pages(page: ListPage, files: Files) -> None:
    folder = files.folder()
    for number in range(60):
        files.send(folder, f"{number:02}.mp4", b"film")
    page.open()
    page.enter(folder)
    expect(page.page.locator("#children > li")).to_have_count(50)
    page.page.locator("#more-children").click()
    expect(page.page.locator("#children > li")).to_have_count(60)
    expect(page.page.get_by_role("button", name="Add 50.mp4")).to_be_focused()
    page.add_all()
    expect(page.page.locator("#items > li")).to_have_count(50)
    expect(page.page.get_by_text("On the list")).to_have_count(60)
    page.page.locator("#more-items").click()
    expect(page.page.locator("#items > li")).to_have_count(60)
    expect(page.page.locator("#more-items")).to_be_hidden()


def test_what_a_search_finds_is_added(page: ListPage, files: Files) -> None:
    mark = files.folder()
    sent(files, f"{mark}-one.mp4", "other.mp4")
    sent(files, f"{mark.upper()}-two.mp4")
    page.open()
    page.search(mark)
    expect(page.page.locator("#place")).to_have_text("2 files found")
    page.add_all()
    expect(page.amount).to_contain_text("2 files")
    page.search("no file has this name")
    expect(page.page.get_by_text("No file has that in its name.")).to_be_visible()
    expect(page.page.locator("#add-all")).to_be_hidden()


# The list --------------------------------------------------------------------------------------------------------


def test_files_are_removed_one_by_one_or_as_ticked(page: ListPage, files: Files) -> None:
    folder = sent(files, "a.mp4", "b.mp4", "c.mp4", "d.mp4")
    page.open()
    page.enter(folder)
    page.add_all()
    page.page.get_by_role("button", name="Remove b.mp4").click()
    expect(page.item("b.mp4")).to_have_count(0)
    expect(page.page.get_by_role("button", name="Remove c.mp4")).to_be_focused()
    page.tick("a.mp4", "d.mp4")
    page.page.get_by_role("button", name="Remove 2 ticked").click()
    expect(page.amount).to_contain_text("1 file ·")
    assert len(files.listed()) == 1


def test_clearing_is_asked_once_more(page: ListPage, files: Files) -> None:
    folder = sent(files, "a.mp4")
    page.open()
    page.enter(folder)
    page.add("a.mp4")
    page.page.get_by_role("button", name="Clear").click()
    page.page.wait_for_timeout(500)
    assert len(files.listed()) == 1
    page.page.get_by_role("button", name="Really clear?").click()
    expect(page.page.locator("#no-items")).to_be_visible()
    assert files.listed() == []
    expect(page.page.get_by_role("button", name="Add a.mp4")).to_be_visible()


def test_nothing_is_lost_on_reload(page: ListPage, files: Files) -> None:
    folder = sent(files, "a.mp4", "b.mp4")
    page.open()
    page.enter(folder)
    page.add_all()
    page.tick("b.mp4")
    page.page.get_by_label("Name of the zip").fill("kept.zip")
    page.reload()
    expect(page.page.locator("#crumbs [aria-current]")).to_have_text(folder)
    expect(page.item("b.mp4").get_by_role("checkbox")).to_be_checked()
    expect(page.item("a.mp4").get_by_role("checkbox")).not_to_be_checked()
    expect(page.page.get_by_label("Name of the zip")).to_have_value("kept.zip")
    expect(page.page.locator("#order-button")).to_have_text("Order 1 ticked file")


def test_more_than_one_zip_may_have_cannot_be_ordered_at_once(page: ListPage, films: str) -> None:
    page.open()
    page.enter(films)
    page.add_all()
    expect(page.amount).to_have_text("5 files · 300.0 MiB of 250.0 MiB")
    expect(page.page.get_by_role("meter")).to_have_attribute("aria-valuetext", "5 files · 300.0 MiB of 250.0 MiB")
    assert int(page.page.locator("#panes").get_attribute("data-max-bytes") or 0) == ORDER_MAX_BYTES
    page.page.locator("#order-button").click()
    expect(page.page.get_by_role("alert").filter(has_text="one zip may have 250.0 MiB: tick fewer")).to_be_visible()
    page.page.get_by_label("All shown").check()
    page.page.locator("#order-button").click()
    expect(page.page.get_by_text("What is ticked has 300.0 MiB, and one zip may have 250.0 MiB")).to_be_visible()
    expect(page.page.locator("#items > li")).to_have_count(5)


@pytest.mark.parametrize(("name", "told"), [("", "The zip needs a name."), ("a/b", "Must be a plain file name")])
def test_a_wrong_name_is_told_beside_it(
    page: ListPage, files: Files, complaints: Complaints, name: str, told: str
) -> None:
    complaints.expect("400")
    folder = sent(files, "a.mp4")
    page.open()
    page.enter(folder)
    page.add("a.mp4")
    page.page.get_by_label("Name of the zip").fill(name)
    page.page.locator("#order-button").click()
    expect(page.page.locator("#order-fault")).to_contain_text(told)
    expect(page.page.get_by_label("Name of the zip")).to_have_attribute("aria-invalid", "true")
    assert len(files.listed()) == 1


# Orders ----------------------------------------------------------------------------------------------------------


def test_what_is_ticked_is_ordered_and_downloaded_without_being_made(page: ListPage, files: Files) -> None:
    folder = sent(files, "a.mp4", "b.mp4", "c.mp4")
    page.open()
    page.enter(folder)
    page.add_all()
    page.tick("a.mp4", "c.mp4")
    order = page.order("two")
    page.expect_state(order, "new")
    expect(page.amount).to_contain_text("1 file ·")
    with page.page.expect_download() as download:
        order.get_by_role("button", name="Download now").click()
    assert download.value.suggested_filename == "two.zip"
    assert entries(Path(download.value.path()).read_bytes()) == [f"{folder}/a.mp4", f"{folder}/c.mp4"]
    page.expect_state(order, "new")


def test_a_zip_is_made_while_its_progress_is_told(page: ListPage, films: str) -> None:
    page.open()
    page.page.evaluate(_WATCH)
    page.enter(films)
    page.add_all()
    page.tick("film-0.mp4", "film-1.mp4", "film-2.mp4", "film-3.mp4")
    order = page.order("films.zip")
    order.get_by_role("button", name="Make the zip").click()
    page.expect_state(order, "going")
    page.expect_state(order, "done")
    expect(order).to_contain_text("4 files · 240.0 MiB")
    expect(page.page.locator("#news")).to_have_text("films.zip can be downloaded.")
    assert ascends(page.page.evaluate("seen"))
    link = order.get_by_role("link", name="Download")
    with page.page.expect_download() as download:
        link.click()
    content = Path(download.value.path()).read_bytes()
    assert len(entries(content)) == 4
    address = page.url + (link.get_attribute("href") or "")
    rest = page.page.context.request.get(address, headers={"Range": f"bytes={200 * MiB}-"})
    assert (rest.status, rest.body()) == (206, content[200 * MiB :])
    page.reload()
    page.expect_state(page.page.locator("#order-rows > li").first, "done")


def test_a_zip_is_stopped_and_made_again(page: ListPage, films: str, carryon: Carryon) -> None:
    page.open()
    page.enter(films)
    page.add_all()
    page.tick("film-0.mp4", "film-1.mp4", "film-2.mp4", "film-4.mp4")
    order = page.order("halved.zip")
    with frozen(carryon.pid("worker-cpu")):  # or the zip might be there before anybody can press the button
        order.get_by_role("button", name="Make the zip").click()
        order.get_by_role("button", name="Stop").click()
        page.expect_state(order, "stopped")
    expect(order).to_contain_text("Nothing half is left of the zip.")
    order.get_by_role("button", name="Make the zip").click()
    page.expect_state(order, "done")


def test_what_has_to_be_made_first_is(page: ListPage, files: Files, complaints: Complaints) -> None:
    complaints.expect("409")
    folder = files.folder()
    wait_until_hashed(files, [files.send(folder, "notes.txt", b"words " * 50_000, "text/plain")])
    page.open()
    page.enter(folder)
    page.add("notes.txt")
    order = page.order("notes")
    order.get_by_role("button", name="Download now").click()
    page.expect_state(order, "done")
    with page.page.expect_download() as download:
        order.get_by_role("link", name="Download").click()
    assert entries(Path(download.value.path()).read_bytes()) == [f"{folder}/notes.txt"]


def test_which_files_failed_and_why_is_told(page: ListPage, files: Files) -> None:
    folder = files.folder()
    ids = [files.send(folder, name, os.urandom(3000)) for name in ("a.mp4", "b.mp4")]
    wait_until_hashed(files, ids)
    page.open()
    page.enter(folder)
    page.add_all()
    order = page.order("partly")
    files.ask("DELETE", f"/files/{ids[1]}")
    order.get_by_role("button", name="Make the zip").click()
    page.expect_state(order, "done")
    order.get_by_text("1 file could not be put in").click()
    expect(order.get_by_role("listitem")).to_contain_text(f"{folder}/b.mp4The file was deleted.")
    expect(order).to_contain_text("1 file ·")


def test_without_a_socket_it_is_asked(page: ListPage, files: Files) -> None:
    page.page.add_init_script(_NO_SOCKET)
    folder = sent(files, "a.mp4", "b.mp4")
    page.open()
    page.enter(folder)
    page.add_all()
    order = page.order("polled")
    order.get_by_role("button", name="Make the zip").click()
    page.expect_state(order, "done")


def test_earlier_orders_come_in_pages(page: ListPage, files: Files) -> None:
    file_id = files.send(files.folder(), "a.mp4", b"film")
    for number in range(21):
        files.ask("POST", "/download/list/me/add", json={"fileHandleId": file_id})
        files.ask("PUT", "/download/list/me/order", json={"zipFileName": f"history-{number}"})
    page.open()
    expect(page.page.locator("#order-rows > li")).to_have_count(10)
    expect(page.page.locator("#order-rows > li").first).to_contain_text("history-20.zip")
    page.page.locator("#more-orders").click()
    expect(page.page.locator("#order-rows > li")).to_have_count(20)
    expect(page.page.locator("#order-rows > li").last).to_contain_text("history-1.zip")


def test_an_order_of_another_tab_is_shown_when_this_one_is_looked_at(page: ListPage, files: Files) -> None:
    page.open()
    file_id = files.send(files.folder(), "a.mp4", b"film")
    files.ask("POST", "/download/list/me/add", json={"fileHandleId": file_id})
    files.ask("PUT", "/download/list/me/order", json={"zipFileName": "elsewhere"})
    page.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.page.locator("#order-rows > li").first).to_contain_text("elsewhere.zip")


# What goes wrong -------------------------------------------------------------------------------------------------


def test_a_lost_connection_is_told_and_recovers(page: ListPage, files: Files, complaints: Complaints) -> None:
    complaints.expect("net::ERR_INTERNET_DISCONNECTED")
    folder = sent(files, "a.mp4")
    page.open()
    page.enter(folder)
    page.network.set(offline=True)
    page.page.get_by_role("button", name="Add a.mp4").click()
    expect(page.child("a.mp4").get_by_role("alert")).to_have_text("The service cannot be reached.")
    expect(page.page.get_by_text("The connection is lost. Trying again…")).to_be_visible()
    files.ask("POST", "/download/list/me/add", json={"fileHandleId": files.send(folder, "b.mp4", b"film")})
    page.network.set()
    expect(page.page.get_by_text("The connection is lost. Trying again…")).to_be_hidden(timeout=END_MS)
    expect(page.item("b.mp4")).to_be_visible()
    page.add("a.mp4")
    expect(page.child("a.mp4").get_by_role("alert")).to_be_hidden()


def test_who_is_logged_out_meanwhile_is_told_where_to_log_in(
    page: ListPage, files: Files, context: BrowserContext, complaints: Complaints
) -> None:
    complaints.expect("401|WebSocket")
    folder = sent(files, "a.mp4")
    page.open()
    page.enter(folder)
    context.clear_cookies(name="sessionid")
    page.page.get_by_role("button", name="Add a.mp4").click()
    alert = page.page.get_by_role("alert").filter(has_text="You are logged out.")
    with context.expect_page() as opened:
        alert.get_by_role("link", name="Log in").click()
    UploadPage(opened.value, page.url).log_in()
    page.add("a.mp4")
    expect(alert).to_be_hidden()


def test_names_are_shown_harmlessly(page: ListPage, files: Files, carryon: Carryon) -> None:
    folder = files.folder()
    renamed = [(files.send(folder, name, b"film"), hostile) for name, hostile in HOSTILE.items()]
    manage(carryon.data_dir, "shell", "-v", "0", "-c", _RENAME.format(renamed), **carryon.variables)
    page.open()
    page.enter(folder)
    shown = [name.replace("\u202e", "\ufffd") for name in HOSTILE.values()]
    for name in shown:
        page.add(name)
        expect(page.item(name)).to_be_visible()
    assert page.page.locator("#panes img").count() == 0


def test_everything_can_be_done_from_the_keyboard(page: ListPage, files: Files) -> None:
    folder = sent(files, "a.mp4")
    page.open()
    keyboard = page.page.keyboard
    page.enter(folder)
    expect(page.page.get_by_role("button", name="Add a.mp4")).to_be_visible()
    page.page.locator("#add-all").focus()
    keyboard.press("Tab")
    expect(page.page.get_by_role("button", name="Add a.mp4")).to_be_focused()
    keyboard.press("Enter")
    expect(page.item("a.mp4")).to_be_visible()
    for _ in range(2):
        keyboard.press("Tab")
    expect(page.page.locator("#clear")).to_be_focused()
    keyboard.press("Tab")
    keyboard.press("Space")
    expect(page.page.locator("#order-button")).to_have_text("Order 1 ticked file")
    page.page.get_by_label("Name of the zip").focus()
    keyboard.press("Enter")
    expect(page.page.locator("#order-rows > li").first.get_by_role("button", name="Download now")).to_be_focused()


# How it looks ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["phone", "desktop"])
def screen(request: pytest.FixtureRequest) -> ViewportSize:
    return NARROW if request.param == "phone" else DESKTOP


@pytest.fixture(params=["light", "dark"])
def dressed(
    request: pytest.FixtureRequest, chromium: Browser, session: StorageState, screen: ViewportSize
) -> Iterator[BrowserContext]:
    """A profile of somebody logged in, with that screen and that taste."""
    phone = screen is NARROW
    taste = request.param
    with closing(
        chromium.new_context(
            storage_state=session, viewport=screen, color_scheme=taste, is_mobile=phone, has_touch=phone
        )
    ) as context:
        complaints = Complaints(context)
        complaints.expect("400")
        yield context
        complaints.check()


def test_it_looks_right(dressed: BrowserContext, files: Files, tmp_path: Path) -> None:
    files.ask("DELETE", "/download/list/me")
    long = f"{'a_name_without_any_place_to_break_it_' * 3}.mp4"
    folder = sent(files, "Interview with the harbour master.mp4", long)
    page = ListPage(dressed.new_page(), files.url).open()
    assert_sound(page.page, tmp_path / "empty.png")
    page.enter(folder)
    page.add_all()
    page.tick(long)
    page.page.get_by_label("Name of the zip").fill("a/b")
    page.page.locator("#order-button").click()
    expect(page.page.locator("#order-fault")).to_be_visible()
    assert_sound(page.page, tmp_path / "picked.png")
    order = page.order(long.replace(".mp4", ""))
    order.get_by_role("button", name="Make the zip").click()
    page.expect_state(order, "done")
    assert_sound(page.page, tmp_path / "ordered.png")


def test_on_a_phone_the_panes_are_a_tap_away(page: ListPage, files: Files) -> None:
    folder = sent(files, *(f"{number}.mp4" for number in range(20)))
    page.page.set_viewport_size(NARROW)
    page.open()
    page.enter(folder)
    page.add("19.mp4")
    page.page.get_by_role("link", name="List 1").click()
    expect(page.page.get_by_role("heading", name="Your list")).to_be_in_viewport()
    expect(page.page.get_by_role("heading", name="Your list")).to_be_focused()
    expect(page.page.locator("#crumbs [aria-current]")).to_have_text(folder)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


def test_it_loads_nothing_but_our_own_files(page: ListPage) -> None:
    answer = page.page.goto(f"{page.url}/list/")
    assert answer is not None
    policy = answer.header_value("content-security-policy") or ""
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page.settle()
    assert page.page.locator("script:not([src]), style, [style], [onclick]").count() == 0
