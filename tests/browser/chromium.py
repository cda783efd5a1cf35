"""The system's own Chromium, without a window, and what it complains of."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize, sync_playwright

VARIABLE = "CHROMIUM"
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""The first is the same without the parts that draw windows, which cost a quarter of the tests' processor time."""
MISSING = (
    f"These tests need Chromium or Chrome, and none of {', '.join(NAMES)} is on the PATH. Install one "
    f"(Debian: `apt-get install chromium-headless-shell`), or name it: {VARIABLE}=/path/to/its/executable."
)
PHONE: ViewportSize = {"width": 375, "height": 740}
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
LEAST_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, for text of this size."""
_CONTRASTS = """
(selector) => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const light = (colors) => {
    for (const color of ["white", ...colors]) {
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
    }
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  // Grounds may be translucent: all of them, the lowest first.
  const grounds = (element) =>
    element ? [...grounds(element.parentElement), getComputedStyle(element).backgroundColor] : [];
  const shown = [...document.querySelectorAll(selector)].filter((element) => element.checkVisibility() &&
    [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()));
  return shown.map((element) => {
    const under = grounds(element);
    const [one, other] = [light([...under, getComputedStyle(element).color]), light(under)];
    return [element.textContent.trim(), (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)];
  });
}
"""


def found_chromium() -> str | None:
    """The browser's executable, or None where there is none."""
    return os.environ.get(VARIABLE) or next(filter(None, map(shutil.which, NAMES)), None)


def chromium_path() -> str:
    """The browser's executable; the test fails where there is none."""
    return found_chromium() or pytest.fail(MISSING, pytrace=False)


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """A browser, which ends with the block. Inside it Django's ORM refuses to work in this thread."""
    executable = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        try:
            yield browser
        finally:
            browser.close()


class Complaints:
    """What the consoles of a context's pages say that is an error or a warning, and exceptions nobody caught."""

    def __init__(self, context: BrowserContext) -> None:
        self._texts: list[str] = []
        self._expected: list[str] = []
        context.on("console", self._hear)
        context.on("weberror", lambda error: self._texts.append(f"uncaught: {error.error}"))

    def expect(self, pattern: str) -> None:
        """Let pass what matches: the browser itself reports each request that fails."""
        self._expected.append(pattern)

    def check(self) -> None:
        """AssertionError when there was any other."""
        left = [text for text in self._texts if not any(re.search(pattern, text) for pattern in self._expected)]
        assert not left, left

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._texts.append(f"{message.text} ({message.location.get('url', '')})")


class Network:
    """How well a page's requests get through."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)

    def set(self, *, bytes_per_second: float = 0, offline: bool = False) -> None:
        """Let it send no faster than this from now on, 0 being unlimited, or nothing at all."""
        conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_second or -1}
        self._session.send("Network.emulateNetworkConditions", {"offline": offline, **conditions})


def contrasts(page: Page, selector: str = "body *") -> list[tuple[str, float]]:
    """Every piece of text that is shown right in what the selector finds, with its contrast to its ground."""
    found: list[tuple[str, float]] = page.evaluate(_CONTRASTS, selector)
    return found
