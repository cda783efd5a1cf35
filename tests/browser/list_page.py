"""The page at /list/ as its visitors use it, and the files that they find there."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from playwright.sync_api import Locator, Page, expect

from tests.browser.chromium import Network

UPLOADS = "/ehealth-base/multipart/upload"
ANSWER_SECONDS = 60
END_MS = 60_000
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Files:
    """A user's files at the service, asked for with a token."""

    url: str
    token: str

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of the answer, if it has any; AssertionError when it is a refusal."""
        headers = {"Authorization": f"Token {self.token}"}
        answer = requests.request(method, self.url + path, headers=headers, timeout=ANSWER_SECONDS, **options)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def send(self, folder: str, name: str, content: bytes, content_type: str = "video/mp4") -> str:
        """Upload a file; its id."""
        facts = {"catalog": folder, "fileName": name, "fileSize": len(content), "contentType": content_type}
        begun = self.ask("POST", UPLOADS, files=_form({"option": "initiate", **facts}))
        self.ask("PUT", f"{UPLOADS}/{begun['fileId']}/parts/1", data=content)
        parts = json.dumps({1: hashlib.md5(content, usedforsecurity=False).hexdigest()})
        done = self.ask("POST", UPLOADS, files=_form({"option": "complete", "fileId": begun["fileId"], "parts": parts}))
        return str(done["id"])

    def folder(self) -> str:
        """The name of a folder that no other test has."""
        return f"folder-{next(_numbers)}"

    def listed(self) -> list[str]:
        """The ids on the download list."""
        return [file["fileHandleId"] for file in self.ask("GET", "/download/list/me")["files"]]

    def is_hashed(self, file_id: str) -> bool:
        """Whether its checksums are known."""
        return bool(self.ask("GET", f"/files/{file_id}")["crc32"])


class ListPage:
    """One open page; `url` is the service's."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.network = Network(page)

    def open(self) -> ListPage:
        """Go there, and wait until it has read where things stand."""
        self.page.goto(f"{self.url}/list/")
        self.settle()
        return self

    def reload(self) -> None:
        """Load it anew."""
        self.page.reload()
        self.settle()

    def settle(self) -> None:
        """Wait until every pane shows something."""
        for rows, none in (("children", "no-children"), ("items", "no-items"), ("order-rows", "no-orders")):
            shown = self.page.locator(f"#{rows} > li, #{none}:not([hidden])").first
            expect(shown).to_be_visible(timeout=END_MS)

    # Files

    def enter(self, folder: str) -> None:
        """Open a folder, wherever in the list of folders it is."""
        button = self.page.locator("#children").get_by_role("button", name=folder, exact=True)
        more = self.page.locator("#more-children")
        expect(button.or_(more).first).to_be_visible(timeout=END_MS)
        while not button.is_visible() and more.is_visible():
            count = self.page.locator("#children > li").count()
            more.click()
            expect(self.page.locator("#children > li").nth(count)).to_be_visible()
        button.click()
        expect(self.page.locator("#crumbs [aria-current]")).to_have_text(folder)

    def child(self, name: str) -> Locator:
        """A folder's or file's row."""
        return self.page.locator("#children > li").filter(has=self.page.get_by_text(name, exact=True))

    def add(self, name: str) -> None:
        """Put the file on the list."""
        self.page.get_by_role("button", name=f"Add {name}", exact=True).click()
        expect(self.page.get_by_role("button", name=f"Take {name} off the list", exact=True)).to_be_visible()

    def search(self, text: str) -> None:
        """Look for files."""
        self.page.get_by_label("Search all folders by name").fill(text)
        self.page.get_by_role("button", name="Search").click()
        expect(self.page.locator("#crumbs [aria-current]")).to_have_text(f"Search: {text}")

    def add_all(self) -> None:
        """Have all files of the folder, or all that the search found, put on the list."""
        self.page.locator("#add-all").click()
        expect(self.page.get_by_role("status").filter(has_text="Added")).to_have_count(1, timeout=END_MS)

    # The list

    def item(self, name: str) -> Locator:
        """A row of the list."""
        return self.page.locator("#items > li").filter(has=self.page.get_by_text(name, exact=True))

    @property
    def amount(self) -> Locator:
        """How much is on the list."""
        return self.page.locator("#amount")

    def tick(self, *names: str) -> None:
        """Tick these."""
        for name in names:
            self.item(name).get_by_role("checkbox").check()

    def order(self, zip_name: str) -> Locator:
        """Order what is ticked, else all; the order's row."""
        self.page.get_by_label("Name of the zip").fill(zip_name)
        before = self.page.locator("#order-rows > li").count()
        self.page.locator("#order-button").click()
        expect(self.page.locator("#order-rows > li")).to_have_count(before + 1)
        return self.page.locator("#order-rows > li").first

    def expect_state(self, order: Locator, state: str) -> None:
        """Wait until the order stands so."""
        expect(order).to_have_attribute("data-state", state, timeout=END_MS)


def _form(fields: Mapping[str, object]) -> dict[str, tuple[None, str]]:
    """The fields, as `requests` sends a multipart form."""
    return {name: (None, str(value)) for name, value in fields.items()}
