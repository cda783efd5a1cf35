"""Every page of the service keeps to the policy that it is served under, and what is against it does not run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.chromium import DESKTOP, Complaints
from tests.browser.list_page import Files
from tests.e2e.carryon import Carryon
from tests.servers import manage

NAME, PASSWORD = "inspector", "correct horse battery"
SCRIPT = b"<script>document.title = 'run'; fetch('/files/')</script>"
MOST_PAGES = 150
SOON_SECONDS = 20
_LINKS = "[...document.links].map((link) => link.href)"
_INSERT = """
(html) => {
  const place = document.body.appendChild(document.createElement("div"));
  place.append(document.createRange().createContextualFragment(html));
}
"""


@pytest.fixture(scope="module")
def files(carryon: Carryon) -> Files:
    """Somebody who has files, a list, and a download that failed; an operator is there too."""
    superuser = ("createsuperuser", "--noinput", "--username", NAME, "--email", "inspector@carryon.test")
    manage(carryon.data_dir, *superuser, **carryon.variables, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    token = manage(carryon.data_dir, "create_token", "--user", "owner", **carryon.variables).splitlines()[-1]
    files = Files(carryon.service.url, token)
    folder = files.folder()
    number = files.send(folder, "page.html", b"<html><body>before" + SCRIPT, "text/html")
    files.send(folder, "picture.svg", b'<svg xmlns="http://www.w3.org/2000/svg">' + SCRIPT + b"</svg>", "image/svg+xml")
    files.send(folder, "notes.txt", b"plain " + SCRIPT, "text/plain")
    files.ask("POST", "/download/list/me/add", json={"fileHandleId": number})
    with contextlib.suppress(AssertionError):  # it fails, and has a page in the admin
        files.ask("POST", "/api/file/download", json={"fileUrl": "http://127.0.0.1:1/x", "cid": "c", "fid": "f"})
    return files


@pytest.fixture
def context(chromium: Browser, files: Files) -> Iterator[BrowserContext]:
    """A profile of an operator who has logged in."""
    with closing(chromium.new_context(viewport=DESKTOP, base_url=files.url)) as context:
        page = context.new_page()
        page.goto("/admin/login/")
        page.locator("[name=username]").fill(NAME)
        page.locator("[name=password]").fill(PASSWORD)
        with page.expect_navigation():
            page.locator("[type=submit]").first.click()
        page.close()
        yield context


def followed(page: Page, start: str) -> list[str]:
    """Go to the page, and to every page of the admin that it leads to and these lead to; one of each kind."""
    seen: dict[str, str] = {}
    waiting = [start]
    while waiting and len(seen) < MOST_PAGES:
        address = waiting.pop(0)
        parts = urlsplit(address)
        kind = "/".join(word for word in parts.path.split("/") if not any(letter.isdigit() for letter in word))
        if kind in seen or not parts.path.startswith("/admin/") or "logout" in parts.path:
            continue
        seen[kind] = parts.path
        page.goto(address)
        page.wait_for_load_state("networkidle")
        waiting += page.evaluate(_LINKS)
    return list(seen.values())


def test_every_page_of_the_admin_keeps_to_its_policy(context: BrowserContext, files: Files) -> None:
    complaints = Complaints(context)
    complaints.expect("favicon.ico")  # of what leads to no page
    paths = followed(context.new_page(), f"{files.url}/admin/")
    for model in ("transfers/download", "transfers/upload", "transfers/storedfile", "auth/user", "axes/accessattempt"):
        assert f"/admin/{model}/" in paths, paths
    assert len([path for path in paths if path.endswith("/change/")]) >= 4, paths
    complaints.check()


def test_the_admin_s_own_scripts_work_under_it(context: BrowserContext, files: Files) -> None:
    complaints = Complaints(context)
    page = context.new_page()
    page.goto("/admin/auth/user/")
    assert page.evaluate("typeof Alpine") == "object"
    page.locator("#action-toggle").first.check()
    expect(page.locator(".action-counter, [name=action]").first).to_be_visible()
    complaints.check()


@pytest.mark.parametrize("path", ["/upload", "/list", "/api/docs/", "/api/docs", "/login"])
def test_every_other_page_keeps_to_its_policy(context: BrowserContext, path: str) -> None:
    complaints = Complaints(context)
    page = context.new_page()
    answer = page.goto(path)
    page.wait_for_load_state("networkidle")
    assert answer is not None
    assert "default-src 'none'" in (answer.header_value("content-security-policy") or "")
    complaints.check()


def test_the_interactive_page_shows_the_api_and_tries_it_out(context: BrowserContext) -> None:
    complaints = Complaints(context)
    page = context.new_page()
    page.goto("/api/docs/")
    operation = page.locator(".opblock").filter(has_text="/files/usage")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text('"used"')
    complaints.check()


@pytest.mark.parametrize("path", ["/upload", "/list", "/api/docs/", "/admin/", "/admin/auth/user/"])
@pytest.mark.parametrize(
    "html",
    [
        "<script>document.title = 'run'</script>",
        '<img src="x:" onerror="document.title = \'run\'">',
        '<iframe src="/login"></iframe>',
        '<script src="https://evil.example/x.js"></script>',
        '<object data="/upload"></object>',
    ],
    ids=["script", "handler", "frame", "foreign script", "object"],
)
def test_what_somebody_smuggles_into_a_page_does_not_run(context: BrowserContext, path: str, html: str) -> None:
    page = context.new_page()
    page.goto(path)
    page.evaluate("window.refused = 0; addEventListener('securitypolicyviolation', () => window.refused++)")
    page.evaluate(_INSERT, html)
    deadline = time.monotonic() + SOON_SECONDS
    while not page.evaluate("window.refused"):  # what waits in the page evaluates text, which is refused too
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)
    assert page.title() != "run"


@pytest.mark.parametrize("name", ["page.html", "picture.svg"])
@pytest.mark.parametrize("query", ["", "?disposition=inline"])
def test_a_file_is_never_a_page_of_ours(context: BrowserContext, files: Files, name: str, query: str) -> None:
    number = files.ask("GET", f"/files/?text={name}")["results"][0]["id"]
    page = context.new_page()
    page.goto("/login")
    with page.expect_download() as saved:
        page.evaluate("(to) => { location.href = to }", f"/files/{number}/content{query}")
    assert saved.value.suggested_filename == name
    assert page.title() != "run"


def test_a_text_that_is_shown_is_text_and_of_no_origin(context: BrowserContext, files: Files) -> None:
    number = files.ask("GET", "/files/?text=notes.txt")["results"][0]["id"]
    page = context.new_page()
    answer = page.goto(f"/files/{number}/content?disposition=inline")
    assert answer is not None
    assert page.title() != "run"
    assert page.evaluate("window.origin") == "null"


def test_no_other_page_can_frame_one_of_ours(context: BrowserContext, files: Files) -> None:
    page = context.new_page()
    page.route("https://evil.example/", lambda route: route.fulfill(body=f'<iframe src="{files.url}/admin/"></iframe>'))
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto("https://evil.example/")
    page.wait_for_timeout(1000)
    assert not [frame for frame in page.frames if "/admin/" in frame.url and "chrome-error" not in frame.url] or any(
        "frame" in text.lower() for text in refused
    )


def test_whoever_is_asked_to_wait_sees_a_page_that_keeps_to_the_policy(chromium: Browser, files: Files) -> None:
    with closing(chromium.new_context(base_url=files.url)) as context:
        complaints = Complaints(context)
        complaints.expect("429")
        page = context.new_page()
        for _ in range(11):
            page.goto("/login")
            if page.locator("[name=password]").count() == 0:
                break
            page.locator("[name=username]").fill("guessed")
            page.locator("[name=password]").fill("wrong")
            with page.expect_navigation():
                page.get_by_role("button", name="Log in").click()
            if page.get_by_role("heading", name="Too many attempts").count():
                break
        expect(page.get_by_role("alert")).to_contain_text("Try again in 15 minutes")
        complaints.check()
