"""`make screenshots`: pictures of the pages for docs/screenshots, of a service that has just done real work.

They are taken in the system's own Chromium, light and dark, the public pages at a phone's width too. Nothing in them is
of this machine: names, folders and addresses are made up.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from tests.browser.chromium import DESKTOP, PHONE, running_chromium
from tests.browser.list_page import Files, ListPage
from tests.browser.upload_page import UploadPage
from tests.e2e.carryon import Carryon, running_carryon
from tests.e2e.resolver import ALLOWED, NAMES_VARIABLE, python_path
from tests.origin import Behaviour, GeneratedFile, Origin
from tests.servers import manage
from tests.service import REPOSITORY, wait_until
from tests.tour import Tour

FOLDER = REPOSITORY / "docs" / "screenshots"
MAX_BYTES = 300_000
NAME, PASSWORD = "ada", "correct horse battery staple"
SOURCE = "films.example"
MIB = 2**20
END_MS = 60_000
SLOW = 300_000
"""Bytes a second that what is under way in the pictures comes with."""
HOST = "films-1"
"""What this machine is called in them."""
_RENAME = """([mine, shown]) => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const name = new RegExp(`\\\\b${mine}\\\\b`, "g");
  while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll(name, shown);
}"""
_STAFF = "from django.contrib.auth.models import User; User.objects.create_superuser({name!r}, '', {password!r})"
_TAKES = ("interview-1.mov", "interview-2.mov", "harbour-at-dawn.mov", "harbour-at-night.mov")
_FLAWS = (re.escape(str(REPOSITORY)), rf"\b{re.escape(os.uname().nodename)}\b", re.escape(tempfile.gettempdir()))
"""What no picture may have."""
Scheme = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture: its file's name, and what leads to it."""

    name: str
    go: Callable[[Page, Studio], None]
    is_public: bool = False
    """Whether people look at it on phones, too."""


@dataclass(frozen=True, slots=True)
class Studio:
    """A service that has something to show."""

    carryon: Carryon
    files: Files
    films: Path
    """Folder of files to be sent."""

    @property
    def url(self) -> str:
        """Where it is."""
        return self.carryon.service.url


@contextmanager
def studio(folder: Path) -> Iterator[Studio]:
    """Run a service, and have it do a bit of everything; some of it goes on."""
    (sources := folder / "scans").mkdir()
    (films := folder / "films").mkdir()
    variables = {
        "SYNC_SOURCE_ROOTS": str(sources),
        "PYTHONPATH": python_path(),
        NAMES_VARIABLE: json.dumps({SOURCE: [[ALLOWED]]}),
        "FETCH_ALLOW": f"127.0.0.1,{SOURCE}",
        "WORKERS": "2",
    }
    with Origin() as origin, running_carryon(folder / "data", **variables) as carryon:
        made = _STAFF.format(name=NAME, password=PASSWORD)
        manage(carryon.data_dir, "shell", "-v", "0", "-c", made, **carryon.variables)
        token = manage(carryon.data_dir, "create_token", "--user", NAME, **carryon.variables).splitlines()[-1]
        tour = Tour(carryon, origin, sources, token=token)
        for part in (tour.tasks, tour.syncs):
            part()
        _fetch(tour)
        files = Files(carryon.service.url, token)
        _fill(files)
        yield Studio(carryon, files, films)


def _fetch(tour: Tour) -> None:
    """Some downloads: whole, failed, stopped, under way."""

    def begun(path: str, behaviour: Behaviour, size: int = 4 * MIB) -> str:
        url = tour.origin.add(path, GeneratedFile(size, seed=len(path)), behaviour).replace("127.0.0.1", SOURCE)
        asked = {"fileUrl": url, "outputFolder": "films", "cid": "studio", "fid": path.strip("/")}
        headers = {"Prefer": "respond-async"}
        return str(tour.ask("download_start", "POST", "/api/file/download", asked, headers=headers)["data"]["id"])

    ended = [begun(f"/{name}", Behaviour()) for name in _TAKES]
    ended.append(begun("/gone.mov", Behaviour(status=404)))
    for download in ended:
        path = f"/api/file/download/{download}"
        tour.until(lambda answer: answer["data"]["state"] in ("completed", "failed"), "download_detail", "GET", path)
    for number in (1, 2, 3):
        begun(f"/rushes-{number}.mov", Behaviour(rate=SLOW * number), 200 * MIB)


def _fill(files: Files) -> None:
    """Files in folders, some of them on the list, an order with its zip."""
    ids = [files.send("harbour", name, os.urandom(MIB * number)) for number, name in enumerate(_TAKES, start=1)]
    ids += [files.send("titles", f"title-{number}.png", os.urandom(100_000), "image/png") for number in (1, 2)]
    for file_id in ids:
        wait_until(lambda: files.is_hashed(file_id), END_MS / 1000)  # noqa: B023 - asked at once
    for file_id in ids[:2]:
        files.ask("POST", "/download/list/me/add", json={"fileHandleId": file_id})
    order = files.ask("PUT", "/download/list/me/order", json={"zipFileName": "interviews"})
    files.ask("POST", f"/download/order/{order['orderId']}/async/start")
    for file_id in ids[2:]:
        files.ask("POST", "/download/list/me/add", json={"fileHandleId": file_id})


# What is shown


def _upload(page: Page, studio: Studio) -> None:
    upload = UploadPage(page, studio.url).open()
    whole, half = studio.films / "opening.mov", studio.films / "credits.mov"
    for path, size in ((whole, 3), (half, 60)):
        if not path.exists():
            path.write_bytes(os.urandom(size * MIB))
    upload.choose(whole)
    upload.expect_state(whole.name, "done")
    page.evaluate("partsToSend = 1")
    upload.choose(half)
    expect(page.locator(".row").filter(has_text=half.name).locator("progress")).to_have_js_property(
        "value", 20 * MIB, timeout=END_MS
    )


def _list(page: Page, studio: Studio) -> None:
    shown = ListPage(page, studio.url).open()
    shown.enter("harbour")


def _admin(path: str) -> Callable[[Page, Studio], None]:
    def go(page: Page, studio: Studio) -> None:
        page.goto(f"{studio.url}/admin/{path}")
        page.wait_for_load_state("load")
        page.wait_for_timeout(2500)  # numbers that follow the socket

    return go


SHOTS = (
    Shot("upload", _upload, is_public=True),
    Shot("list", _list, is_public=True),
    Shot("admin", _admin("")),
    Shot("downloads", _admin("transfers/download/")),
    Shot("uploads", _admin("transfers/upload/")),
    Shot("orders", _admin("transfers/order/")),
    Shot("audit", _admin("admin/logentry/")),
    Shot("tasks", _admin("tasks_api/publicupload/")),
    Shot("tasks-attention", _admin("tasks_api/downloadtask/attention/")),
    Shot("syncs", _admin("sync/job/")),
    Shot("cases", _admin("sync/case/")),
)


def take(shots: Sequence[Shot], to: Path) -> list[Path]:
    """Take the pictures; AssertionError for one that is too large, or shows something of this machine."""
    to.mkdir(parents=True, exist_ok=True)
    taken = []
    with (
        tempfile.TemporaryDirectory(prefix="shots-", dir="/tmp") as name,
        studio(Path(name)) as shown,
        running_chromium() as chromium,
    ):
        for scheme in ("light", "dark"):
            with _logged_in(chromium, shown, scheme, DESKTOP) as context:
                taken += [_take(context, shot, shown, to / f"{shot.name}-{scheme}.png") for shot in shots]
            with _logged_in(chromium, shown, scheme, PHONE) as context:
                public = (shot for shot in shots if shot.is_public)
                taken += [_take(context, shot, shown, to / f"{shot.name}-phone-{scheme}.png") for shot in public]
    return taken


@contextmanager
def _logged_in(chromium: Browser, studio: Studio, scheme: Scheme, size: ViewportSize) -> Iterator[BrowserContext]:
    with closing(chromium.new_context(color_scheme=scheme, viewport=size)) as context:
        page = context.new_page()
        UploadPage(page, studio.url).open().log_in(NAME, PASSWORD)
        page.close()
        yield context


def _take(context: BrowserContext, shot: Shot, studio: Studio, path: Path) -> Path:
    page = context.new_page()
    shot.go(page, studio)
    page.evaluate(_RENAME, [os.uname().nodename, HOST])
    text = page.locator("body").inner_text()
    assert not [flaw for flaw in _FLAWS if re.search(flaw, text)], f"{path.name} shows something of this machine"
    page.screenshot(path=path, animations="disabled", full_page=not shot.is_public)
    page.close()
    size = path.stat().st_size
    assert size < MAX_BYTES, f"{path.name} has {size} bytes"
    return path


if __name__ == "__main__":
    for picture in take(SHOTS, FOLDER):
        print(f"{picture.stat().st_size:8} {picture.relative_to(REPOSITORY)}")
