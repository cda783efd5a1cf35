"""The JavaScript client as a web team uses it: an ES module, a token, its own callbacks and errors."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, Route

from tests.browser.chromium import Complaints
from tests.browser.upload_page import API
from tests.e2e.carryon import Carryon

_CLIENT = "/static/transfers/upload/carryon-upload.js"
_SEND = """
async ([client, text, name, options]) => {
  const { Upload, UploadError } = await import(client);
  const told = [];
  const file = new File([text], name, { type: "text/plain" });
  const upload = new Upload(file, { ...options, onProgress: (progress) => told.push(progress) });
  const began = performance.now();
  try {
    const stored = await upload.start();
    return { stored, told, seconds: (performance.now() - began) / 1000 };
  } catch (error) {
    const { name, message, status, code, detail, problem } = error;
    const known = error instanceof UploadError;
    const lastCode = told.at(-1).error?.code;
    return { error: { name, message, status, code, detail, problem, known }, told, lastCode, state: upload.state };
  }
}
"""


class ClientPage:
    """A page of somebody who has a token and no session."""

    def __init__(self, page: Page, url: str, token: str) -> None:
        self.page, self.url, self.token = page, url, token
        page.goto(f"{url}/login/")

    def send(self, text: str, name: str = "notes.txt", **options: Any) -> dict[str, Any]:
        """Send a file of this text; what was stored or went wrong, and what was told."""
        chosen = {"catalog": "letters", "token": self.token, **options}
        outcome: dict[str, Any] = self.page.evaluate(_SEND, [_CLIENT, text, name, chosen])
        return outcome

    def answer(self, *answers: tuple[int, dict[str, str], str], only: str = "part") -> None:
        """Answer the first requests for this (a form's field, or its option) in the service's place."""
        left = list(answers)

        def route(route: Route) -> None:
            body = (route.request.post_data_buffer or b"").decode("latin-1")
            wanted = f'name="{only}"' in body or f'name="option"\r\n\r\n{only}' in body
            if not wanted or not left:
                route.fallback()
                return
            status, headers, text = left.pop(0)
            route.fulfill(status=status, headers=headers, body=text)

        self.page.route(f"**{API}", route)

    def remembered(self) -> Any:
        """What localStorage has."""
        return json.loads(self.page.evaluate("localStorage.getItem('carryon-uploads')") or "null")


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A profile without a past."""
    with closing(chromium.new_context()) as context:
        yield context


@pytest.fixture(scope="module")
def token(carryon: Carryon) -> str:
    """The web team's."""
    return carryon.user("web-team").token


@pytest.fixture
def client(context: BrowserContext, complaints: Complaints, carryon: Carryon, token: str) -> ClientPage:
    """A page of theirs."""
    return ClientPage(context.new_page(), carryon.service.url, token)


def problem(code: str) -> str:
    return json.dumps({"title": "Refused", "status": 0, "detail": "These are its words.", "code": code})


def test_a_token_sends_a_file(client: ClientPage) -> None:
    outcome = client.send("the text of one", mode=31, notes="read me")
    stored = outcome["stored"]
    assert {"fileId", "id", "fileName", "size", "md5", "url"} <= stored.keys()
    assert (stored["fileName"], stored["size"]) == ("notes.txt", 15)
    headers = {"X-Access-Token": client.token}
    assert requests.get(stored["url"], headers=headers, timeout=10).text == "the text of one"
    upload = requests.get(f"{client.url}{API}/{stored['fileId']}", headers=headers, timeout=10).json()
    assert (upload["mode"], upload["notes"], upload["catalog"], upload["contentType"]) == (
        31,
        "read me",
        "letters",
        "text/plain",
    )


def test_progress_is_told_at_every_change_of_state(client: ClientPage) -> None:
    told = client.send("the text of two")["told"]
    states = list(dict.fromkeys(progress["state"] for progress in told))
    assert states == ["hashing", "waiting", "uploading", "completing", "done"]
    assert told[-1] == {"state": "done", "bytes": 15, "total": 15, "speed": 0, "secondsLeft": None, "error": None}


def test_the_record_is_the_one_of_the_source(client: ClientPage, complaints: Complaints) -> None:
    complaints.expect("409")
    client.answer((409, {}, problem("of_no_use")), only="complete")
    assert client.send("the text of three")["error"]["code"] == "of_no_use"
    md5 = hashlib.md5(b"the text of three", usedforsecurity=False).hexdigest()
    ((key, entry),) = client.remembered().items()
    assert key == md5
    assert entry.keys() == {"fileId", "parts"}
    assert isinstance(entry["fileId"], int)
    assert entry["parts"] == {"1": md5}


@pytest.mark.parametrize(
    ("only", "status"), [("initiate", 429), ("initiate", 503), ("part", 408), ("part", 500), ("complete", 502)]
)
def test_what_may_pass_is_tried_again(client: ClientPage, complaints: Complaints, status: int, only: str) -> None:
    complaints.expect(str(status))
    client.answer((status, {}, "a proxy's page"), (status, {}, problem("busy")), only=only)
    outcome = client.send(f"text {only} {status}")
    assert outcome["stored"]["size"] > 0
    assert any(told["error"] for told in outcome["told"])


def test_retry_after_is_waited_for(client: ClientPage, complaints: Complaints) -> None:
    complaints.expect("503")
    client.answer((503, {"Retry-After": "2"}, problem("busy")))
    assert 2 <= client.send("the text of four")["seconds"] < 10


def test_a_part_harmed_on_its_way_is_sent_again(client: ClientPage, complaints: Complaints) -> None:
    complaints.expect("422")
    wrong = json.dumps({"fileId": 1, "part": 1, "md5string": "0" * 32})
    client.answer((422, {}, problem("md5_mismatch")), (200, {}, wrong), (200, {}, "<html>A portal</html>"))
    assert client.send("the text of five")["stored"]["size"] == 16


@pytest.mark.parametrize(
    ("status", "code"), [(413, "quota_exceeded"), (403, "permission_denied"), (507, "out_of_space")]
)
def test_what_will_not_pass_is_told_at_once(client: ClientPage, complaints: Complaints, status: int, code: str) -> None:
    complaints.expect(str(status))
    client.answer((status, {"Content-Type": "application/problem+json"}, problem(code)))
    began = time.monotonic()
    outcome = client.send(f"text {status}")
    assert time.monotonic() - began < 5
    error = outcome["error"]
    assert (error["status"], error["code"], error["detail"]) == (status, code, "These are its words.")
    assert (error["known"], error["message"], error["name"]) == (True, "These are its words.", "UploadError")
    assert error["problem"]["title"] == "Refused"
    assert outcome["state"] == "failed"
    assert outcome["lastCode"] == code


def test_what_fails_too_often_fails(client: ClientPage, complaints: Complaints) -> None:
    complaints.expect("503")
    client.answer(*[(503, {}, problem("busy"))] * 3)
    assert client.send("the text of six", attempts=3)["error"]["code"] == "busy"


def test_a_token_that_opens_nothing_is_told(client: ClientPage, complaints: Complaints) -> None:
    complaints.expect("401")
    error = client.send("the text of seven", token="nobody's")["error"]
    assert error["status"] == 401


def test_a_record_that_leads_to_another_files_upload_is_not_followed(client: ClientPage) -> None:
    text = "the text of eight"
    md5 = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    fields = {"option": "initiate", "catalog": "letters", "fileName": "other.bin", "fileSize": "5000"}
    headers = {"X-Access-Token": client.token}
    form = {name: (None, value) for name, value in fields.items()}
    other = requests.post(f"{client.url}{API}", headers=headers, files=form, timeout=10).json()
    record = json.dumps({md5: {"fileId": other["fileId"]}})
    client.page.evaluate("record => localStorage.setItem('carryon-uploads', record)", record)
    outcome = client.send(text)
    assert outcome["stored"]["fileId"] != other["fileId"]


def test_without_addresses_parts_go_through_the_service(client: ClientPage, complaints: Complaints) -> None:
    complaints.expect("409")
    assert client.send("the text of nine", direct=True)["stored"]["size"] == 16


def test_parts_go_straight_to_a_store_that_has_addresses(client: ClientPage, complaints: Complaints) -> None:
    """The store of this test hands what it gets to the service."""
    complaints.expect("favicon")
    seen: list[dict[str, str]] = []

    def tell_address(route: Route) -> None:
        file_id, number = re.findall(r"\d+", route.request.url.partition(API)[2])
        address = f"http://store.example/{file_id}/{number}"
        told = {"url": address, "method": "PUT", "headers": {"x-signed": "yes"}, "expiresOn": "2030-01-01T00:00:00Z"}
        route.fulfill(body=json.dumps(told), content_type="application/json")

    def store(route: Route) -> None:
        seen.append(route.request.all_headers())
        file_id, number = route.request.url.split("/")[-2:]
        reply = requests.put(
            f"{client.url}{API}/{file_id}/parts/{number}",
            data=route.request.post_data_buffer,
            headers={"X-Access-Token": client.token},
            timeout=10,
        )
        route.fulfill(status=reply.status_code, headers={"Access-Control-Allow-Origin": "*"})

    client.page.goto(f"{client.url}/livez")  # without a policy that keeps it from other hosts
    client.page.route("**/parts/*/url", tell_address)
    client.page.route("http://store.example/**", store)
    outcome = client.send("the text of eleven", direct=True)
    assert outcome["stored"]["size"] == 18
    (headers,) = seen
    assert headers["x-signed"] == "yes"
    assert "x-access-token" not in headers


def test_a_store_that_cannot_be_reached_is_done_without(client: ClientPage, complaints: Complaints) -> None:
    complaints.expect("store.example|favicon")
    address = {"url": "http://store.example/1", "method": "PUT", "headers": {}, "expiresOn": "2030-01-01T00:00:00Z"}
    client.page.goto(f"{client.url}/livez")
    client.page.route("**/parts/*/url", lambda route: route.fulfill(body=json.dumps(address)))
    client.page.route("http://store.example/**", lambda route: route.abort())
    assert client.send("the text of twelve", direct=True)["stored"]["size"] == 18


def test_it_works_without_locks_and_storage(client: ClientPage) -> None:
    client.page.add_init_script(
        """
        Object.defineProperty(navigator, "locks", { value: undefined });
        Object.defineProperty(window, "localStorage", { get() { throw new DOMException("no", "SecurityError"); } });
        """
    )
    client.page.reload()
    assert client.send("the text of ten")["stored"]["size"] == 15


def test_it_is_loaded_from_another_origin(client: ClientPage, complaints: Complaints) -> None:
    """As a module of the service on a page of somebody else's: the worker still starts."""
    elsewhere = client.url.replace("127.0.0.1", "localhost")
    complaints.expect("favicon|413")
    client.page.goto(f"{elsewhere}/livez")
    client.page.route(
        f"{client.url}{API}",
        lambda route: route.fulfill(
            status=413,
            headers={"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"},
            body=problem("too_large"),
        ),
    )
    error = client.page.evaluate(
        _SEND, [f"{client.url}{_CLIENT}", "text", "a.txt", {"catalog": "a", "token": "t", "address": client.url}]
    )["error"]
    assert error["code"] == "too_large"
