"""The browser code that docs/tasks.md gives to frontend developers, as it stands there."""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import closing
from typing import Any

import requests
from playwright.sync_api import Browser, Page

from tests.e2e.carryon import Carryon
from tests.servers import REPOSITORY
from tests.service import wait_until

TIMEOUT_SECONDS = 10
LISTS = "/api/v1/tasks/downloads/"
SHOWING = "window.shown = []; const show = (kind, task) => shown.push([kind, task.id, task.status, task.percent]);"


def code() -> str:
    return re.findall(r"```js\n(.*?)```", (REPOSITORY / "docs" / "tasks.md").read_text(), re.DOTALL)[0]


def asks(url: str, token: str, method: str, path: str, **fields: Any) -> dict[str, Any]:
    address = f"{url}/api/v1/tasks/{path}"
    answer = requests.request(method, address, data=fields, headers={"HTTP_TOKEN": token}, timeout=TIMEOUT_SECONDS)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()["data"]
    return told


def shown(page: Page) -> list[list[Any]]:
    page.wait_for_timeout(50)  # also lets what the page hears come through
    found: list[list[Any]] = page.evaluate("window.shown")
    return found


def test_the_documents_code_polls_and_listens(chromium: Browser, carryon: Carryon) -> None:
    url, token = carryon.service.url, carryon.user("frontend").token
    new = {"series_id": 1, "uuid": "u", "source_name": "film.mov"}
    upload = asks(url, token, "POST", "upload/pbulic", **new)
    block = {"hash": "QmTxvr8VXe37apeBjyPeAGZi5JiRSbwn8mr2DuuqR517Lo", "size": 5}
    asks(url, token, "PATCH", f"upload/pbulic/{upload['id']}", status=8, **block)
    download = asks(url, token, "GET", "download", source_id=upload["source_id"])["id"]
    polls: Counter[int] = Counter()
    with closing(chromium.new_context()) as context:
        page = context.new_page()
        page.on("response", lambda answer: polls.update([answer.status] if answer.url.endswith(LISTS) else []))
        page.goto(f"{url}/login")
        page.evaluate(f"{SHOWING} const token = {json.dumps(token)}; {code()}")
        wait_until(lambda: shown(page) == [["download", download, 0, 0]], TIMEOUT_SECONDS)
        wait_until(lambda: shown(page) and polls[304] > 0, TIMEOUT_SECONDS)
        assert polls[200] == 1
        asks(url, token, "PATCH", f"download/{download}", status=4, percent=30)
        wait_until(lambda: ["download", download, 4, 30] in shown(page), TIMEOUT_SECONDS)
        wait_until(lambda: shown(page) and polls[200] == 2, TIMEOUT_SECONDS)
        assert shown(page) == [["download", download, 0, 0], *[["download", download, 4, 30]] * 2]
