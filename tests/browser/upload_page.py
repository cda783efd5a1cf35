"""The page at /upload/ as its visitors use it, and what it sends."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from playwright.sync_api import Error, Locator, Page, expect

from tests.browser.chromium import Network

NAME, PASSWORD = "ann", "correct horse battery"
API = "/ehealth-base/multipart/upload"
END_MS = 60_000
GOES = 5
SURE_MS = 4_000
"""How long a button remembers that it was pressed."""
_LISTEN = """
window.sentForms = [];
window.seenBars = [];
window.partsToSend = Infinity;
window.heldParts = [];
const WORKING = ["hashing", "waiting", "uploading", "completing"];
const { send, abort } = XMLHttpRequest.prototype;
XMLHttpRequest.prototype.abort = function () {
  this.dropped = true;
  abort.call(this);
};
XMLHttpRequest.prototype.send = function (body) {
  const fields = body instanceof FormData ? [...body].filter(([, value]) => !(value instanceof Blob)) : [];
  const form = Object.fromEntries(fields);
  const go = () => {
    if (this.dropped) return;
    if (body instanceof FormData) sentForms.push(form);
    send.call(this, body);
  };
  if ("part" in form && partsToSend-- <= 0) heldParts.push(go);
  else go();
};
addEventListener("DOMContentLoaded", () => new MutationObserver(() => {
  const rows = [...document.querySelectorAll(".row")];
  const atWork = rows.filter(({ dataset }) => WORKING.includes(dataset.state)).length;
  for (const row of rows) {
    const { value, max } = row.querySelector("progress");
    const seen = { state: row.dataset.state, share: value / max, pace: row.querySelector(".pace").textContent };
    seenBars.push({ ...seen, title: document.title, atWork });
  }
}).observe(document.documentElement, { subtree: true, childList: true, characterData: true, attributes: true }));
"""


class UploadPage:
    """One open page; `url` is the service's."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.network = Network(page)
        page.add_init_script(_LISTEN)
        page.on("dialog", lambda dialog: dialog.accept())  # that leaving would interrupt an upload

    def open(self) -> UploadPage:
        """Go there."""
        self.page.goto(f"{self.url}/upload/")
        return self

    def log_in(self, name: str = NAME, password: str = PASSWORD) -> None:
        """Fill in the login page's form."""
        self.page.get_by_label("Username").fill(name)
        self.page.get_by_label("Password").fill(password)
        with self.page.expect_navigation():
            self.page.get_by_role("button", name="Log in").click()

    def reload(self) -> None:
        """Load the page anew, whatever is on its way."""
        self.page.reload()

    def choose(self, *files: Path) -> None:
        """Choose files."""
        self.page.locator("#files").set_input_files(list(files))

    def choose_again(self, name: str, file: Path) -> None:
        """Choose a file for the row of one that was left unfinished."""
        with self.page.expect_file_chooser() as chooser:
            self.press(name, "Choose file")
        chooser.value.set_files(file)

    def row(self, name: str) -> Locator:
        """The row of the file."""
        title = self.page.locator(".name", has_text=re.compile(f"^{re.escape(name)}$"))
        return self.page.locator(".row").filter(has=title)

    def press(self, name: str, label: str) -> None:
        """Press a button of the file's row."""
        self.row(name).get_by_role("button", name=f"{label}: {name}").click()

    def press_twice(self, name: str, label: str, sure: str) -> None:
        """Press a button, and once more before it forgets that: on a busy machine it takes more than one go."""
        button = self.row(name).get_by_role("button", name=f"{sure}: {name}")
        for _ in range(GOES):
            self.press(name, label)
            with suppress(Error):
                button.click(timeout=SURE_MS)
                return
        raise AssertionError(f"{sure!r} was never to be pressed")

    def expect_state(self, name: str, state: str) -> None:
        """Wait until the row has the state; AssertionError when it does not come to it."""
        expect(self.row(name)).to_have_attribute("data-state", state, timeout=END_MS)

    def expect_text(self, name: str, text: str) -> None:
        """Wait until the row says this."""
        expect(self.row(name)).to_contain_text(text, timeout=END_MS)

    def link(self, name: str) -> str:
        """Where the finished file is."""
        href = self.row(name).get_by_role("link").get_attribute("href")
        assert href
        return href

    def content(self, name: str) -> bytes:
        """The finished file, as its owner gets it."""
        answer = self.page.context.request.get(self.link(name))
        assert answer.ok, answer.text()
        return answer.body()

    # What it sends

    def hold_after(self, parts: int) -> None:
        """Send so many more parts; the others wait until they are released, or the page is loaded anew."""
        self.page.evaluate("parts => { partsToSend = parts; }", parts)

    def release(self) -> None:
        """Send what waits, and hold nothing back from now on."""
        self.page.evaluate("() => { partsToSend = Infinity; heldParts.splice(0).forEach((go) => go()); }")

    def send_one_part(self, file: Path) -> None:
        """Choose a file of several parts, and return when the first is stored; the others wait."""
        self.hold_after(1)
        self.choose(file)
        wait(self.page, lambda: any(entry.get("parts") for entry in self.remembered().values()))

    def forms(self) -> list[dict[str, str]]:
        """The fields of every form that was sent since the page was loaded."""
        forms: list[dict[str, str]] = self.page.evaluate("sentForms")
        return forms

    def sent_parts(self) -> list[int]:
        """The numbers of all parts that were sent since the page was loaded, as often as they were."""
        return sorted(int(form["part"]) for form in self.forms() if "part" in form)

    def options(self) -> list[str]:
        """What was asked for since the page was loaded, parts aside."""
        return [form["option"] for form in self.forms() if "option" in form]

    def seen(self) -> list[dict[str, Any]]:
        """How rows looked at each change: state, share of the bar, pace, the page's title, how many were atWork."""
        seen: list[dict[str, Any]] = self.page.evaluate("seenBars")
        return seen

    # What it remembers

    def remembered(self) -> dict[str, dict[str, Any]]:
        """What localStorage has: fileId and parts by MD5."""
        record: dict[str, dict[str, Any]] = self.page.evaluate(
            "JSON.parse(localStorage.getItem(document.getElementById('drop').dataset.storageKey) ?? '{}')"
        )
        return record

    def remember(self, record: str) -> None:
        """Put this in place of what localStorage has."""
        self.page.evaluate(
            "record => localStorage.setItem(document.getElementById('drop').dataset.storageKey, record)", record
        )

    def upload(self, file_id: int) -> dict[str, Any]:
        """What the service tells of an upload; empty when it has none."""
        answer = self.page.context.request.get(f"{self.url}{API}/{file_id}")
        body: dict[str, Any] = answer.json()
        return body if answer.ok else {}

    def file_id(self) -> int:
        """The one upload that is remembered."""
        (entry,) = self.remembered().values()
        return int(entry["fileId"])


def wait(page: Page, condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until it is true; AssertionError after the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        page.wait_for_timeout(20)


def ascends(numbers: Sequence[float]) -> bool:
    """Whether none is less than the one before."""
    return all(one <= next_one for one, next_one in pairwise(numbers))
