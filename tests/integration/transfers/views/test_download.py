"""`/api/file/download` to the letter: what goes in, what comes out, and what is refused."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from knox.models import AuthToken
from pytest_django.fixtures import Settings

from tests.integration.transfers.rows import in_seconds, new_download, new_user, use
from transfers import leases
from transfers.models import Download, DownloadAttempt, StoredFile
from transfers.services import download as downloads
from transfers.views.download import WAITERS

pytestmark = pytest.mark.django_db

START, STOP, CHECK = "/api/file/download", "/api/file/download/stop", "/api/file/download/check"
FILM = "https://media.example/films/film.mov"
PAYLOAD = {"fileUrl": FILM, "cid": "studio", "fid": "film-1", "outputFolder": "films"}
NOBODYS = "00000000-0000-0000-0000-000000000000"
WAIT_SECONDS = 10


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path) -> Path:
    """The download folder; a start call waits for nothing here, as no worker runs."""
    folder = tmp_path.resolve() / "downloads"
    use(settings, download_root=folder, download_start_wait_seconds=0)
    return folder


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def api(ann: User) -> Client:
    """A client of ann's."""
    return client_of(ann)


def client_of(user: User) -> Client:
    _, token = AuthToken.objects.create(user)  # type: ignore[no-untyped-call]
    return Client(headers={"Authorization": f"Token {token}"})


def post(api: Client, path: str, payload: object, **headers: str) -> tuple[int, Any]:
    response = api.post(path, json.dumps(payload), content_type="application/json", headers=headers)
    return response.status_code, response.json()


def get(api: Client, path: str) -> tuple[int, Any]:
    response = api.get(path)
    return response.status_code, response.json()


def failure(errmsg: str, errors: object = ()) -> dict[str, Any]:
    """The fail envelope of the source."""
    return {"status": "fail", "errmsg": errmsg, "errors": errors or [], "errDev": {}}


ALREADY = failure("ALREADY DOWNLOADING")
NOT_FOUND = failure("NOT FIND DOWNLOADING")


# The envelopes -------------------------------------------------------------------------------------------------------


def test_a_start(api: Client, root: Path) -> None:
    status, body = post(api, START, PAYLOAD)
    row = Download.objects.get()
    assert (status, body) == (
        200,
        {
            "status": "success",
            "data": {**PAYLOAD, "savePath": str(root / "films" / "film.mov"), "id": str(row.pk)},
        },
    )
    assert (row.state, row.cid, row.fid, row.output_folder) == ("queued", "studio", "film-1", "films")


@pytest.mark.parametrize("nothing", [{}, {"fid": "", "outputFolder": ""}, {"fid": None, "outputFolder": None}])
def test_a_start_with_no_more_than_is_needed(api: Client, root: Path, nothing: dict[str, Any]) -> None:
    status, body = post(api, START, {"fileUrl": FILM, "cid": "studio", **nothing})
    assert status == 200
    assert body["data"] == {
        "fileUrl": FILM,
        "outputFolder": str(root),
        "cid": "studio",
        "fid": "",
        "savePath": str(root / "film.mov"),
        "id": str(Download.objects.get().pk),
    }


def test_the_sources_own_example(api: Client, root: Path) -> None:
    payload = {**PAYLOAD, "outputFolder": "C:\\Ray\\RAYTeams\\data"}
    status, body = post(api, START, payload)
    assert status == 200
    assert body["data"]["outputFolder"] == "C:\\Ray\\RAYTeams\\data"
    assert body["data"]["savePath"] == "C:\\Ray\\RAYTeams\\data\\film.mov"
    assert Download.objects.get().save_path == str(root / "C/Ray/RAYTeams/data/film.mov")


def test_a_start_of_what_runs(api: Client) -> None:
    post(api, START, PAYLOAD)
    assert post(api, START, PAYLOAD) == (409, ALREADY)
    assert post(api, START, {**PAYLOAD, "fid": "other"}) == (409, ALREADY)
    assert post(client_of(new_user("bob")), START, PAYLOAD) == (409, ALREADY)


def test_a_stop(api: Client) -> None:
    post(api, START, PAYLOAD)
    row = Download.objects.get()
    assert post(api, STOP, PAYLOAD) == (200, {"status": "success", "data": {"origin": PAYLOAD, "id": str(row.pk)}})
    row.refresh_from_db()
    assert row.state == "stopped"
    assert post(api, STOP, PAYLOAD) == (404, NOT_FOUND)


def test_a_check(api: Client) -> None:
    post(api, START, PAYLOAD)
    row = Download.objects.get()
    Download.objects.update(bytes_done=147752809, size=165051921)
    event = {
        "action": "stream_status",
        "status": "STREAM_RUNNING",
        "data": {"downloaded": 147752809, "totalSize": 165051921},
    }
    expected = (200, {"status": "success", "data": {"lastEvent": event, "id": str(row.pk)}})
    assert post(api, CHECK, PAYLOAD) == expected
    post(api, STOP, PAYLOAD)
    assert post(api, CHECK, PAYLOAD) == (404, NOT_FOUND)


@pytest.mark.parametrize("path", [STOP, CHECK])
def test_nothing_to_stop_or_check(api: Client, path: str) -> None:
    assert post(api, path, PAYLOAD) == (404, NOT_FOUND)
    post(api, START, PAYLOAD)
    for other in ({"fid": "other"}, {"cid": "other"}, {"outputFolder": "other"}, {"fileUrl": f"{FILM}?v=2"}):
        assert post(api, path, {**PAYLOAD, **other}) == (404, NOT_FOUND)
    assert post(client_of(new_user("bob")), path, PAYLOAD) == (404, NOT_FOUND)


def test_credentials_are_taken_and_never_shown(api: Client) -> None:
    with_credentials = {**PAYLOAD, "fileUrl": FILM.replace("//", "//ann:5ecre7@")}
    answers = [post(api, path, with_credentials) for path in (START, CHECK, START, STOP, STOP)]
    assert [status for status, _ in answers] == [200, 200, 409, 200, 404]
    answers += [get(api, START), get(api, f"{START}/{Download.objects.get().pk}")]
    assert "5ecre7" not in json.dumps(answers)
    assert answers[0][1]["data"]["fileUrl"] == FILM


@pytest.mark.parametrize("path", [START, STOP, CHECK])
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_path_with_and_without_a_slash(api: Client, path: str, slash: str) -> None:
    assert post(api, path + slash, PAYLOAD)[0] == (200 if path == START else 404)


def test_the_list_and_one_of_it_with_and_without_a_slash(api: Client) -> None:
    post(api, START, PAYLOAD)
    for path in (START, f"{START}/{Download.objects.get().pk}"):
        assert get(api, path) == get(api, f"{path}/")


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", STOP), ("get", CHECK), ("put", START), ("delete", START), ("patch", f"{START}/{NOBODYS}")],
)
def test_other_methods_are_refused_in_the_same_envelope(api: Client, method: str, path: str) -> None:
    response = getattr(api, method)(path)
    assert response.status_code == 405
    assert response.json()["errmsg"] == "METHOD NOT ALLOWED"
    assert set(response.json()) == {"status", "errmsg", "errors", "errDev"}


@pytest.mark.parametrize("path", [START, STOP, CHECK])
@pytest.mark.parametrize("token", [None, "", "unknown"])
def test_nobody_is_refused(path: str, token: str | None) -> None:
    client = Client(headers={} if token is None else {"Authorization": f"Token {token}"})
    response = client.post(path, json.dumps(PAYLOAD), content_type="application/json")
    assert response.status_code == 401
    assert response.json()["status"] == "fail"
    assert response["WWW-Authenticate"] == 'Bearer realm="carryon"'
    assert not Download.objects.exists()


# What is wrong with a payload ----------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "url-missing": ({"fileUrl": ...}, "fileUrl"),
    "url-null": ({"fileUrl": None}, "fileUrl"),
    "url-empty": ({"fileUrl": ""}, "fileUrl"),
    "url-blank": ({"fileUrl": "  "}, "fileUrl"),
    "url-number": ({"fileUrl": 5}, "fileUrl"),
    "url-boolean": ({"fileUrl": True}, "fileUrl"),
    "url-list": ({"fileUrl": [FILM]}, "fileUrl"),
    "url-object": ({"fileUrl": {"url": FILM}}, "fileUrl"),
    "url-too-long": ({"fileUrl": f"{FILM}?{'x' * 8192}"}, "fileUrl"),
    "url-without-scheme": ({"fileUrl": "media.example/film.mov"}, "fileUrl"),
    "url-relative": ({"fileUrl": "/film.mov"}, "fileUrl"),
    "url-of-a-file": ({"fileUrl": "file:///etc/passwd"}, "fileUrl"),
    "url-of-ftp": ({"fileUrl": "ftp://media.example/film.mov"}, "fileUrl"),
    "url-of-gopher": ({"fileUrl": "gopher://127.0.0.1:6379/_FLUSHALL"}, "fileUrl"),
    "url-of-javascript": ({"fileUrl": "javascript:alert(1)"}, "fileUrl"),
    "url-without-host": ({"fileUrl": "https:///film.mov"}, "fileUrl"),
    "url-with-port-alone": ({"fileUrl": "https://:443/film.mov"}, "fileUrl"),
    "url-with-credentials-alone": ({"fileUrl": "https://ann:x@/film.mov"}, "fileUrl"),
    "url-without-slashes": ({"fileUrl": "https:media.example/film.mov"}, "fileUrl"),
    "url-with-port-0": ({"fileUrl": "https://media.example:0/"}, "fileUrl"),
    "url-with-port-65536": ({"fileUrl": "https://media.example:65536/"}, "fileUrl"),
    "url-with-port-in-words": ({"fileUrl": "https://media.example:http/"}, "fileUrl"),
    "url-with-half-a-bracket": ({"fileUrl": "https://[::1/film.mov"}, "fileUrl"),
    "url-with-no-address-in-brackets": ({"fileUrl": "https://[media.example]/"}, "fileUrl"),
    "url-with-a-host-that-hides-a-slash": ({"fileUrl": "https://media.example\u2100/"}, "fileUrl"),
    "url-with-space": ({"fileUrl": "https://media.example/a film.mov"}, "fileUrl"),
    "url-with-newline": ({"fileUrl": "https://media.example/film.mov\r\nHost: x"}, "fileUrl"),
    "url-with-tab": ({"fileUrl": "https://media.\texample/"}, "fileUrl"),
    "url-with-nul": ({"fileUrl": "https://media.example/\0"}, "fileUrl"),
    "url-with-unseen-character": ({"fileUrl": "https://media.example/\u202efilm"}, "fileUrl"),
    "cid-missing": ({"cid": ...}, "cid"),
    "cid-null": ({"cid": None}, "cid"),
    "cid-empty": ({"cid": ""}, "cid"),
    "cid-blank": ({"cid": " \n"}, "cid"),
    "cid-too-long": ({"cid": "c" * 256}, "cid"),
    "cid-nul": ({"cid": "a\0b"}, "cid"),
    "cid-boolean": ({"cid": False}, "cid"),
    "cid-list": ({"cid": []}, "cid"),
    "cid-object": ({"cid": {}}, "cid"),
    "fid-too-long": ({"fid": "f" * 256}, "fid"),
    "fid-nul": ({"fid": "\0"}, "fid"),
    "fid-boolean": ({"fid": True}, "fid"),
    "fid-list": ({"fid": ["film-1"]}, "fid"),
    "folder-number": ({"outputFolder": False}, "outputFolder"),
    "folder-list": ({"outputFolder": ["films"]}, "outputFolder"),
    "folder-nul": ({"outputFolder": "a\0"}, "outputFolder"),
    "folder-outside": ({"outputFolder": "../films"}, "outputFolder"),
    "folder-absolute": ({"outputFolder": "/etc"}, "outputFolder"),
    "folder-of-a-share": ({"outputFolder": r"\\server\share"}, "outputFolder"),
    "folder-too-long": ({"outputFolder": "a/" * 2000}, "outputFolder"),
    "folder-with-a-part-too-long": ({"outputFolder": "n" * 256}, "outputFolder"),
    "folder-with-a-path-too-long": ({"outputFolder": "日/" * 1000}, "outputFolder"),
    "folder-with-newline": ({"outputFolder": "a\nb"}, "outputFolder"),
}


@pytest.mark.parametrize("path", [START, STOP, CHECK])
@pytest.mark.parametrize(("words", "field"), WRONG.values(), ids=WRONG)
def test_a_wrong_field_is_named(api: Client, root: Path, path: str, words: dict[str, Any], field: str) -> None:
    payload = {name: value for name, value in {**PAYLOAD, **words}.items() if value is not ...}
    status, body = post(api, path, payload)
    assert status == 400
    assert body == failure("BAD REQUEST", {field: body["errors"][field]})
    assert all(isinstance(text, str) and text for text in body["errors"][field])
    assert not Download.objects.exists()
    assert not root.exists()


def test_every_wrong_field_is_named_at_once(api: Client) -> None:
    status, body = post(api, START, {"fileUrl": "x", "cid": "", "fid": []})
    assert (status, set(body["errors"])) == (400, {"fileUrl", "cid", "fid"})


RIGHT: dict[str, dict[str, Any]] = {
    "http": {"fileUrl": "http://media.example/"},
    "scheme-in-capitals": {"fileUrl": "HTTPS://media.example/film.mov"},
    "port": {"fileUrl": "https://media.example:8443/film.mov"},
    "ipv4": {"fileUrl": "http://192.0.2.1/film.mov"},
    "ipv6": {"fileUrl": "http://[2001:db8::1]:8080/film.mov"},
    "unicode-host": {"fileUrl": "https://bücher.example/übung.pdf"},
    "query-alone": {"fileUrl": "https://media.example?file=film.mov"},
    "fragment": {"fileUrl": f"{FILM}#t=10"},
    "as-long-as-it-may-be": {"fileUrl": (f"{FILM}?" + "x" * 8192)[:8192]},
    "spaces-around": {"fileUrl": f" {FILM} ", "cid": " studio "},
    "numbers-for-keys": {"cid": 5, "fid": 7.5},
    "longest-keys": {"cid": "c" * 255, "fid": "日" * 255},
    "hostile-keys": {"cid": "'; DROP TABLE x; --", "fid": "<script>\n\u202e{}[]"},
    "more-fields": {"id": NOBODYS, "state": "completed", "user": 1, "savePath": "/etc/passwd"},
}


@pytest.mark.parametrize("words", RIGHT.values(), ids=RIGHT)
def test_what_is_unusual_and_right(api: Client, ann: User, words: dict[str, Any]) -> None:
    payload = {**PAYLOAD, **words}
    assert post(api, START, payload)[0] == 200
    row = Download.objects.get()
    assert (row.user, row.state, row.fid) == (ann, "queued", str(payload["fid"]))
    assert row.pk != uuid.UUID(NOBODYS)
    assert [post(api, path, payload)[0] for path in (START, CHECK, STOP)] == [409, 200, 200]


BODIES: dict[str, tuple[bytes, str, int]] = {
    "empty": (b"", "application/json", 400),
    "null": (b"null", "application/json", 400),
    "list": (b"[]", "application/json", 400),
    "text": (b'"fileUrl"', "application/json", 400),
    "number": (b"5", "application/json", 400),
    "no-json": (b"{fileUrl}", "application/json", 400),
    "cut-off": (b'{"fileUrl": "htt', "application/json", 400),
    "not-utf-8": (b'{"fileUrl": "\xff"}', "application/json", 400),
    "half-a-surrogate-pair": (rb'{"fileUrl": "https://a.example/\ud800", "cid": "c"}', "application/json", 400),
    "nested-too-deeply": (b"[" * 100_000, "application/json", 400),
    "a-number-too-long": (b'{"cid": ' + b"9" * 5000 + b"}", "application/json", 400),
    "not-a-number": (b'{"fileUrl": "https://a.example/", "cid": NaN}', "application/json", 400),
    "too-large": (b'{"cid": "' + b"c" * 2**21 + b'"}', "application/json", 413),
    "a-form": (b"fileUrl=https://a.example/&cid=c", "application/x-www-form-urlencoded", 415),
    "no-type": (b"{}", "", 415),
}


@pytest.mark.parametrize("path", [START, STOP, CHECK])
@pytest.mark.parametrize(("body", "content_type", "status"), BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_payload(api: Client, path: str, body: bytes, content_type: str, status: int) -> None:
    response = api.post(path, body, content_type=content_type)
    assert response.status_code == status
    assert response.json()["status"] == "fail"
    assert set(response.json()) == {"status", "errmsg", "errors", "errDev"}
    assert response.json()["errors"]
    assert not Download.objects.exists()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
WORDS = st.text(st.characters(codec="utf-8"), max_size=40)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(
    path=st.sampled_from([START, STOP, CHECK]),
    payload=VALUES
    | st.fixed_dictionaries(
        {
            "fileUrl": VALUES
            | WORDS.map(lambda text: f"https://media.example/{text}")
            | WORDS.map(lambda t: f"http://{t}"),
            "cid": VALUES | WORDS,
        },
        optional={"fid": VALUES | WORDS, "outputFolder": VALUES | WORDS | st.text("./\\C:a ", max_size=30)},
    ),
)
def test_no_payload_whatever_is_our_fault(api: Client, root: Path, path: str, payload: object) -> None:
    status, body = post(api, path, payload)  # the client raises what a view did not foresee
    assert status in (200, 400, 404, 409)
    assert set(body) == ({"status", "data"} if status == 200 else {"status", "errmsg", "errors", "errDev"})
    assert all(Path(row.save_path).is_relative_to(root) for row in Download.objects.all())


# What a start call waits for -----------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("legacy", [None, 200], ids=["honest", "legacy"])
def test_a_failure_within_the_wait_comes_back_in_the_answer(
    api: Client, settings: Settings, legacy: int | None
) -> None:
    use(settings, download_start_wait_seconds=WAIT_SECONDS, legacy_fail_status=legacy)
    worker = in_background(lambda row: row.mark_failed("source_refused", "media.example answered 404"))
    status, body = post(api, START, PAYLOAD)
    worker.join()
    assert status == (legacy or 502)
    assert body == {
        "status": "fail",
        "errmsg": "STREAM_FAIL",
        "errors": {
            "action": "stream_status",
            "status": "STREAM_FAIL",
            "data": {"error": "Error: media.example answered 404", "code": "source_refused"},
        },
        "errDev": {},
    }


@pytest.mark.django_db(transaction=True)
def test_a_beginning_within_the_wait_ends_it(api: Client, settings: Settings) -> None:
    use(settings, download_start_wait_seconds=60)
    worker = in_background(lambda row: row.mark_streaming(size=7))
    began = time.monotonic()
    status, body = post(api, START, PAYLOAD)
    worker.join()
    assert (status, body["status"]) == (200, "success")
    assert time.monotonic() - began < 30


def in_background(move: Callable[[Download], object]) -> threading.Thread:
    """Do what a worker does with the next download: claim it, and make this move."""

    def work() -> None:
        try:
            deadline = time.monotonic() + WAIT_SECONDS
            while (row := Download.objects.first()) is None or not (
                mine := Download.objects.claim(row.pk, leases.new_owner())
            ):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            move(mine)
        finally:
            connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    return worker


@pytest.mark.parametrize(
    ("configured", "prefer", "answer", "waited"),
    [
        (0.3, "", 200, 0.3),
        (0, "", 200, 0),
        (60, "respond-async", 202, 0),
        (60, "wait=0", 200, 0),
        (0, "wait=1", 200, 1),
        (0.3, "x-respond-async", 200, 0.3),
    ],
)
def test_how_long_a_busy_queue_is_waited_for(
    api: Client, settings: Settings, *, configured: float, prefer: str, answer: int, waited: float
) -> None:
    use(settings, download_start_wait_seconds=configured)
    began = time.monotonic()
    status, body = post(api, START, PAYLOAD, Prefer=prefer)
    assert (status, body["status"]) == (answer, "success")
    assert set(body["data"]) == {*PAYLOAD, "savePath", "id"}
    assert waited <= time.monotonic() - began < waited + 5


@pytest.mark.parametrize(("prefer", "told"), [("respond-async", "respond-async"), ("wait=0", "wait=0"), ("", None)])
def test_an_answer_tells_which_preference_it_honours(api: Client, prefer: str, told: str | None) -> None:
    response = api.post(START, json.dumps(PAYLOAD), content_type="application/json", headers={"Prefer": prefer})
    assert response.headers.get("Preference-Applied") == told


def test_who_finds_too_many_waiting_waits_no_more(api: Client) -> None:
    with ExitStack() as waiting:
        while WAITERS.acquire(blocking=False):
            waiting.callback(WAITERS.release)
        began = time.monotonic()
        response = api.post(START, json.dumps(PAYLOAD), content_type="application/json", headers={"Prefer": "wait=60"})
    assert (response.status_code, response.json()["data"]["cid"]) == (200, "studio")
    assert "Preference-Applied" not in response.headers
    assert time.monotonic() - began < 10


def test_some_threads_are_left_by_those_who_wait(api: Client, settings: Settings) -> None:
    with ExitStack() as waiting:
        count = 0
        while WAITERS.acquire(blocking=False):
            waiting.callback(WAITERS.release)
            count += 1
    assert count == settings.ENVIRONMENT.web_threads // 2
    post(api, START, PAYLOAD, Prefer="wait=0")
    assert WAITERS.acquire(blocking=False)
    WAITERS.release()


@pytest.mark.django_db(transaction=True)
def test_a_stop_within_the_wait_comes_back_in_the_answer(api: Client, settings: Settings) -> None:
    use(settings, download_start_wait_seconds=WAIT_SECONDS)
    worker = in_background(lambda row: downloads.stop_download(download=row))
    status, body = post(api, START, PAYLOAD)
    worker.join()
    assert (status, body["errmsg"]) == (409, "STREAM_FAIL")
    assert body["errors"]["status"] == "STREAM_FAIL"
    assert body["errors"]["data"] == {"error": "Error: aborted", "code": "stopped"}


# LEGACY_FAIL_STATUS --------------------------------------------------------------------------------------------------


def test_old_clients_get_every_fail_envelope_with_the_status_they_read(api: Client, settings: Settings) -> None:
    use(settings, legacy_fail_status=200)
    assert post(api, STOP, PAYLOAD) == (200, NOT_FOUND)
    assert post(api, START, {})[0] == 200
    assert post(api, START, {})[1]["errmsg"] == "BAD REQUEST"
    assert post(api, START, PAYLOAD)[1]["status"] == "success"
    assert post(api, START, PAYLOAD) == (200, ALREADY)
    assert get(api, f"{START}/{NOBODYS}")[0] == 200
    assert post(Client(), START, PAYLOAD)[0] == 200
    assert post(api, START, {**PAYLOAD, "fid": "2", "outputFolder": "b"}, Prefer="respond-async")[0] == 202


# Looking back --------------------------------------------------------------------------------------------------------


def listed(api: Client, query: str = "") -> list[str]:
    status, body = get(api, f"{START}{query}")
    assert status == 200
    return [row["id"] for row in body["data"]["results"]]


def test_a_list_is_the_callers_own_newest_first(api: Client, ann: User) -> None:
    rows = [new_download(ann, requested_at=in_seconds(-number)) for number in (30, 10, 20)]
    new_download(new_user("bob"))
    assert listed(api) == [str(rows[index].pk) for index in (1, 2, 0)]
    staff = client_of(new_user("root", is_staff=True))
    assert len(listed(staff)) == 4, "staff see everything"


def test_a_row_of_the_list_to_the_letter(api: Client, ann: User) -> None:
    row = new_download(
        ann, cid="studio", fid="film-1", output_folder=r"C:\films", save_path="/d/C/films/film.mov", state="failed",
        url_shown=FILM, bytes_done=5, size=9, error="it answered 404", error_code="source_refused",
    )  # fmt: skip
    _, body = get(api, START)
    shown = body["data"]["results"][0]
    for name, value in (("requestedOn", row.requested_at), ("endedOn", row.ended_at)):
        assert datetime.fromisoformat(shown.pop(name)) == value
    assert shown == {
        "id": str(row.pk), "fileUrl": FILM, "outputFolder": r"C:\films", "cid": "studio", "fid": "film-1",
        "savePath": r"C:\films\film.mov", "state": "failed", "downloaded": 5, "totalSize": 9, "bytesPerSecond": 0,
        "error": "it answered 404", "errorCode": "source_refused",
    }  # fmt: skip
    assert {name: body["data"][name] for name in ("count", "next", "previous")} == {
        "count": 1, "next": None, "previous": None,
    }  # fmt: skip


def test_a_folder_is_told_alike_everywhere(api: Client, root: Path) -> None:
    _, started = post(api, START, {"fileUrl": FILM, "cid": "studio"})
    shown = [get(api, START)[1]["data"]["results"][0], get(api, f"{START}/{started['data']['id']}")[1]["data"]]
    assert [data["outputFolder"] for data in (started["data"], *shown)] == [str(root)] * 3


def test_filters(api: Client, ann: User) -> None:
    one = new_download(ann, cid="a", fid="1", state="failed")
    two = new_download(ann, cid="a", fid="2")
    three = new_download(ann, cid="b", fid="1", state="completed")
    keys = {
        "?cid=a": {one, two},
        "?cid=A": set(),
        "?fid=1": {one, three},
        "?state=failed": {one},
        "?state=queued&cid=a": {two},
        "?cid=a&fid=1&state=failed": {one},
        "?cid=": set(),
        "?cid=none": set(),
        "?cid=%27%20OR%201%3D1": set(),
        "?unknown=x": {one, two, three},
    }
    assert {query: set(listed(api, query)) for query in keys} == {
        query: {str(row.pk) for row in rows} for query, rows in keys.items()
    }


@pytest.mark.parametrize("state", ["paused", "", "QUEUED", "queued,failed"])
def test_an_unknown_state_is_refused(api: Client, state: str) -> None:
    status, body = get(api, f"{START}?state={state}")
    assert (status, body["errmsg"], list(body["errors"])) == (400, "BAD REQUEST", ["state"])


@pytest.mark.parametrize("name", ["cid", "fid"])
def test_a_filter_that_no_database_can_look_for_is_refused(api: Client, name: str) -> None:
    status, body = get(api, f"{START}?{name}=a%00b")
    assert (status, list(body["errors"])) == (400, [name])


def test_pages(api: Client, ann: User) -> None:
    rows = [str(new_download(ann, requested_at=in_seconds(-number)).pk) for number in range(7)]
    assert listed(api, "?page_size=3") == rows[:3]
    assert listed(api, "?page_size=3&page=3") == rows[6:]
    assert listed(api, "?page_size=3&page=last") == rows[6:]
    status, body = get(api, f"{START}?page_size=3&page=2&cid=studio")
    assert (status, body["data"]["count"]) == (200, 7)
    path = body["data"]["next"].removeprefix("http://testserver")
    assert [row["id"] for row in get(api, path)[1]["data"]["results"]] == rows[6:]
    assert "page=1" in body["data"]["previous"] or "page=" not in body["data"]["previous"].replace("page_size=", "")


@pytest.mark.parametrize("page", ["0", "-1", "3", "x", "1.5", "9" * 30, "9" * 5000, "%00"])
def test_a_page_that_is_not_there(api: Client, ann: User, page: str) -> None:
    new_download(ann)
    status, body = get(api, f"{START}?page={page}")
    assert (status, body["errmsg"]) == (404, "NOT FOUND")


@pytest.mark.parametrize("size", ["0", "-1", "501", "x", "", "9" * 30, "9" * 5000, "%00", "%D9%A3"])
def test_a_page_size_that_cannot_be_is_refused(api: Client, ann: User, size: str) -> None:
    new_download(ann)
    status, body = get(api, f"{START}?page_size={size}")
    assert (status, body["errors"]) == (400, {"page_size": ["must be a number from 1 to 500"]})
    assert len(listed(api, "?page_size=500")) == len(listed(api, "?page_size=1")) == 1


def test_a_list_costs_as_many_queries_for_many_as_for_one(api: Client, ann: User) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            listed(api)
        return len(queries)

    new_download(ann)
    one = count()
    for _ in range(30):
        row = new_download(ann, state="completed")
        row.stored_file = StoredFile.objects.create(owner=ann, name="a", path=row.save_path, size=1)
        row.save()
    assert count() == one <= 4


def test_one_download_to_the_letter(api: Client, ann: User) -> None:
    stored = StoredFile.objects.create(
        owner=ann, name="film.mov", folder="studio", path="/d/film.mov", size=9, content_type="video/quicktime",
        md5="m", sha256="s", crc32="c", verified=True,
    )  # fmt: skip
    row = new_download(
        ann, state="completed", url_shown=FILM, save_path="/d/film.mov", bytes_done=9, size=9, bytes_fetched=12,
        validator_kind="etag", validator_value='"v1"', stored_file=stored,
        requested_at=in_seconds(-60), ended_at=in_seconds(0),
    )  # fmt: skip
    for epoch, outcome, error in ((1, "failed", "cut"), (2, "completed", "")):
        DownloadAttempt.objects.create(
            download=row,
            epoch=epoch,
            worker="w",
            outcome=outcome,
            error=error,
            error_code=error and "x",
            bytes_fetched=6,
        )
    with CaptureQueriesContext(connection) as queries:
        status, body = get(api, f"{START}/{row.pk}")
    assert (status, body["status"]) == (200, "success")
    assert len(queries) <= 4
    data = body["data"]
    listed_fields = set(get(api, START)[1]["data"]["results"][0])
    assert set(data) == listed_fields | {
        "bytesFetched", "bytesRefetched", "remainingSeconds", "durationSeconds", "validator", "attempts", "storedFile",
    }  # fmt: skip
    assert (data["bytesFetched"], data["bytesRefetched"], data["remainingSeconds"]) == (12, 3, None)
    assert data["durationSeconds"] == pytest.approx(60, abs=2)
    assert data["validator"] == 'etag: "v1"'
    assert [(attempt["outcome"], attempt["error"]) for attempt in data["attempts"]] == [
        ("failed", "cut"),
        ("completed", ""),
    ]
    assert set(data["attempts"][0]) == {
        "worker", "beganOn", "endedOn", "startOffset", "bytesFetched", "outcome", "errorCode", "error",
    }  # fmt: skip
    assert [(attempt["errorCode"], attempt["bytesFetched"]) for attempt in data["attempts"]] == [("x", 6), ("", 6)]
    created = datetime.fromisoformat(data["storedFile"].pop("createdOn"))
    assert created - stored.created_at < timedelta(seconds=1)
    assert data["storedFile"] == {
        "id": stored.pk, "name": "film.mov", "size": 9, "contentType": "video/quicktime", "folder": "studio",
        "md5": "m", "sha256": "s", "crc32": "c", "verified": True,
    }  # fmt: skip


def test_the_description_says_what_may_be_null(api: Client) -> None:
    schemas = api.get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"}).json()["components"]
    fields = schemas["schemas"]["DownloadDetail"]["properties"]
    assert all(fields[name]["nullable"] for name in ("durationSeconds", "validator", "remainingSeconds", "storedFile"))


def test_a_download_that_has_hardly_begun(api: Client, ann: User) -> None:
    _, body = get(api, f"{START}/{new_download(ann).pk}")
    data = body["data"]
    assert (data["attempts"], data["storedFile"], data["validator"], data["durationSeconds"]) == ([], None, None, None)
    assert (data["totalSize"], data["endedOn"]) == (None, None)


def test_what_is_not_yours_is_not_there(api: Client) -> None:
    theirs = new_download(new_user("bob"))
    missing = get(api, f"{START}/{NOBODYS}")
    assert missing[0] == 404
    assert get(api, f"{START}/{theirs.pk}") == missing, "ids leak nothing"
    assert get(client_of(new_user("root", is_staff=True)), f"{START}/{theirs.pk}")[0] == 200


@pytest.mark.parametrize("pk", ["x", "1", f"{NOBODYS}0", NOBODYS.replace("-", ""), "%00", "..%2f.."])
def test_what_is_no_id(api: Client, pk: str) -> None:
    assert get(api, f"{START}/{pk}")[0] == 404


def test_rows_of_former_times_do_not_spoil_the_list(api: Client, ann: User) -> None:
    # The download folder was another one then, and the secret key too.
    new_download(ann, output_folder="/old/downloads/a", save_path="/old/downloads/a/film.mov", url_encrypted="?")
    status, body = get(api, START)
    assert (status, body["data"]["results"][0]["savePath"]) == (200, "/old/downloads/a/film.mov")
