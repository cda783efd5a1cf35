"""`/api/file/raylinksync` to the letter: what goes in, what comes out, and what is refused."""

from __future__ import annotations

import json
import tracemalloc
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.http import StreamingHttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings
from rest_framework.exceptions import Throttled
from rest_framework.test import APIRequestFactory
from rest_framework.throttling import BaseThrottle

from config.settings.values import Cloud
from sync.models import Case, Job, ManifestEntry
from sync.models.job import JobQuerySet
from sync.services import job as jobs
from sync.views.base import MAX_HEADER_BYTES, for_header
from sync.views.sync import SyncView
from tests.integration.sync.rows import REGION, client_of, new_case, new_failures, new_job, new_plan
from tests.integration.transfers.rows import at_once, new_user, use

pytestmark = pytest.mark.django_db

URL = "/api/file/raylinksync"
OWN = "http://localhost:8008/api"
GROUP, LAB = "32647eac-e413-438b-b3fe-b707e722cc74", "42647eac-e413-438b-b3fe-b707e722cc75"
NAME = "Test-a-2022101101"
PREFIX = f"userdata/{GROUP}/{LAB}/P-0001/{NAME}"
CASE_ID = "77647eac-e413-438b-b3fe-b707e722cc88"
NOBODYS = "00000000-0000-0000-0000-000000000000"
REQUIRED = [
    "up",
    "apiUrl",
    "source",
    "projectname",
    "pid",
    "projecttype",
    "s3keypath",
    "ownerGroupId",
    "labId",
    "region",
]
TEXTS = REQUIRED[1:]
PARAM_ERROR = {"status": "fail", "errmsg": "Param Error"}


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    """A folder to copy from; clients call its source root `data`, on drive C."""
    root = tmp_path.resolve()
    folder = root / "sources" / "test_case_a"
    folder.mkdir(parents=True)
    (folder / "upper.stl").write_bytes(b"solid")
    use(
        settings,
        sync_source_roots=[root / "sources"],
        sync_save_path=root / "cases",
        path_map={"C:\\data": str(root / "sources")},
        case_api_hosts=["cases.example:443"],
    )
    return folder


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def api(ann: User) -> Client:
    return client_of(ann)


def payload(**words: Any) -> dict[str, Any]:
    """The source's own first example, at this service; `...` leaves a field out."""
    whole = {
        "up": True,
        "apiUrl": OWN,
        "source": "C:\\data\\test_case_a\\",
        "projectname": NAME,
        "pid": "P-0001",
        "projecttype": "TEST-PROJECT",
        "s3keypath": PREFIX,
        "ownerGroupId": GROUP,
        "labId": LAB,
        "region": REGION,
        **words,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def post(api: Client, path: str, body: object) -> Any:
    return api.post(path, json.dumps(body), content_type="application/json")


def asked(api: Client, **words: Any) -> Any:
    return post(api, URL, payload(**words))


def accepted(api: Client, **words: Any) -> Job:
    answer = asked(api, **words)
    assert answer.status_code == 200, answer.content
    return Job.objects.select_related("case").get(pk=answer.json()["data"]["jobId"])


def refused(answer: Any, status: int, code: str, **more: Any) -> None:
    told = answer.json()
    assert (answer.status_code, told["status"], set(told)) == (status, "fail", {"status", "errmsg"}), told
    assert told["errmsg"] == {"code": code, "detail": told["errmsg"]["detail"], **more}
    assert told["errmsg"]["detail"]
    assert "X-Errors" not in answer.headers


def wrong(answer: Any, *fields: str) -> None:
    """It is the contract's envelope and nothing else, and its header names these fields."""
    assert (answer.status_code, answer.json()) == (400, PARAM_ERROR), answer.content
    header = answer.headers["X-Errors"]
    assert header.isascii()
    assert header.isprintable()
    assert len(header) <= MAX_HEADER_BYTES
    told = json.loads(header)
    assert set(told) == set(fields), told
    assert all(texts and all(isinstance(text, str) and text for text in texts) for texts in told.values())


# What is accepted ----------------------------------------------------------------------------------------------------


def test_a_case_is_created_and_its_sync_accepted(api: Client, ann: User, folder: Path) -> None:
    answer = asked(api)
    job = Job.objects.select_related("case").get()
    told = {"status": "success", "data": {"jobId": str(job.pk), "caseId": str(job.case.uuid)}}
    assert (answer.status_code, answer.json()) == (200, told)
    assert (job.user, job.up, job.state, job.dry_run, job.delete_missing) == (ann, True, "queued", False, False)
    assert job.source == str(folder)
    case = job.case
    assert (case.user, case.api_url, case.region, case.s3keypath) == (ann, "", REGION, PREFIX)
    assert (case.owner_group_id, case.lab_id, case.pid) == (GROUP, LAB, "P-0001")
    assert (case.projectname, case.projecttype) == (NAME, "TEST-PROJECT")


def test_the_sources_three_examples(api: Client, settings: Settings) -> None:
    cloud = "https://api-ap-northeast-2-project-development.rayteams.com"
    use(settings, case_api_hosts=[cloud.removeprefix("https://")])
    created = accepted(api, apiUrl=cloud)
    assert (created.case.uuid, created.case.api_url) == (None, f"{cloud}:443"), "its API names it"
    Job.objects.update(state="completed")
    Case.objects.update(copied_at="2026-01-01T00:00:00Z", uuid=CASE_ID)
    saved = {"apiUrl": cloud, "_id": CASE_ID, "source": "C:\\rayteams_save_path\\...\\test_case_a\\"}
    for up in (True, False):
        answer = asked(api, up=up, **saved)
        assert (answer.status_code, answer.json()["data"]["caseId"]) == (200, CASE_ID), answer.content
        job = Job.objects.get(pk=answer.json()["data"]["jobId"])
        assert (job.up, job.source) == (up, "")
        Job.objects.update(state="completed")


@pytest.mark.parametrize("slash", ["", "/"])
def test_every_path_with_and_without_a_slash(api: Client, slash: str) -> None:
    answer = post(api, URL + slash, payload())
    assert answer.status_code == 200
    job = f"{URL}/{answer.json()['data']['jobId']}"
    assert api.get(job).json() == api.get(f"{job}/").json()
    assert post(api, f"{job}/stop{slash}", {}).status_code == 200


@pytest.mark.parametrize("nothing", [..., None, ""])
def test_an_id_that_is_none_is_none(api: Client, nothing: object) -> None:
    assert accepted(api, _id=nothing).case.uuid is not None


@pytest.mark.parametrize("given", [CASE_ID, CASE_ID.upper()])
def test_an_id_that_nobody_has_names_the_new_case(api: Client, given: str) -> None:
    assert str(accepted(api, _id=given).case.uuid) == CASE_ID


def test_a_dry_run_names_nothing_and_deletion_is_noted(api: Client) -> None:
    job = accepted(api, dryRun=True, delete=True)
    assert (job.dry_run, job.delete_missing, job.case.uuid) == (True, True, None)


@pytest.mark.parametrize("words", [{"s3keypath": "right"}, {"region": "us-east-1"}])
@pytest.mark.parametrize("real", [True, False])
def test_a_slip_in_a_dry_run_binds_nobody(api: Client, words: dict[str, str], *, real: bool) -> None:
    accepted(api, dryRun=True)
    Job.objects.update(state="completed")
    job = accepted(api, **words, dryRun=not real)
    assert [getattr(job.case, name) for name in words] == list(words.values())
    assert Case.objects.count() == 1


def test_nor_does_the_place_that_it_is_corrected_to_lie_in_anothers(api: Client) -> None:
    new_case(new_user("bob"), s3keypath="theirs")
    accepted(api, dryRun=True)
    Job.objects.update(state="completed")
    wrong(asked(api, s3keypath="theirs/inner"), "s3keypath")
    assert accepted(api, s3keypath=f"{PREFIX}/inner").case.s3keypath == f"{PREFIX}/inner", "its own is not another's"


def test_what_was_synced_or_stopped_stays_where_it_is(api: Client) -> None:
    accepted(api, dryRun=True)
    for state, dry_run in (("stopped", False), ("running", False)):
        Job.objects.update(state=state, dry_run=dry_run, lease_epoch=1)
        refused(asked(api, s3keypath="other"), 409, "CASE DIFFERS")
    Job.objects.update(state="completed", dry_run=True)
    ManifestEntry.objects.create(case=Case.objects.get(), path=b"a", size=1)
    refused(asked(api, s3keypath="other"), 409, "CASE DIFFERS")


def test_more_fields_are_ignored(api: Client, ann: User) -> None:
    more = {"user": 1, "state": "completed", "jobId": NOBODYS, "x\0": {"a": [None]}, "copied_at": "2026-01-01"}
    job = accepted(api, **more)
    assert (job.user, job.state, job.case.copied_at) == (ann, "queued", None)
    assert str(job.pk) != NOBODYS


@pytest.mark.parametrize("written", [f"/{PREFIX}", f"{PREFIX}/", f"//{PREFIX}//"])
def test_slashes_around_a_prefix_count_for_nothing(api: Client, written: str) -> None:
    assert accepted(api, s3keypath=written).case.s3keypath == PREFIX
    Job.objects.update(state="completed")
    assert accepted(api).case.s3keypath == PREFIX, "it is the same case's"


RIGHT: dict[str, dict[str, Any]] = {
    "unicode": {"projectname": "사례 가", "pid": "환자-1", "s3keypath": "userdata/사례 가/한글"},
    "spaces-are-kept": {"projectname": " a ", "pid": "P 1 ", "projecttype": " "[:0] + "t "},
    "longest": {
        "projectname": "n" * 255, "pid": "p" * 128, "ownerGroupId": "g" * 128, "labId": "l" * 128,
        "projecttype": "t" * 255, "region": "r" * 64, "s3keypath": "/".join(["k" * 224] * 4),
    },
    "hostile-and-harmless": {"projectname": "'; DROP TABLE x; --", "pid": "<b>", "labId": "../..", "projecttype": "/"},
    "dots-that-are-names": {"projectname": "...", "pid": ".a", "s3keypath": "a/.../b"},
}  # fmt: skip


@pytest.mark.parametrize("words", RIGHT.values(), ids=RIGHT)
def test_what_is_unusual_and_right(api: Client, words: dict[str, Any]) -> None:
    case = accepted(api, **words).case
    sent = payload(**words)
    assert (case.projectname, case.pid, case.projecttype) == (sent["projectname"], sent["pid"], sent["projecttype"])
    assert (case.s3keypath, case.lab_id, case.region) == (sent["s3keypath"], sent["labId"], sent["region"])


# What is wrong with a field ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("missing", [..., None], ids=["absent", "null"])
def test_every_field_that_is_missing_is_named(api: Client, name: str, missing: object) -> None:
    wrong(asked(api, **{name: missing}), name)
    assert not Case.objects.exists()


def test_all_that_are_missing_are_named_at_once(api: Client) -> None:
    wrong(post(api, URL, {}), *REQUIRED)


NO_TEXTS: dict[str, Any] = {
    "empty": "", "blank": "  ", "number": 5, "fraction": 1.5, "true": True, "list": ["a"], "object": {"a": "b"},
    "nul": "a\0b", "newline": "a\nb", "escape": "\x1b[31m", "delete": "a\x7f", "next-line": "a\x85",
    "line-separator": "a\u2028b", "too-long": "x" * 5000,
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("value", NO_TEXTS.values(), ids=NO_TEXTS)
def test_a_text_that_is_none(api: Client, name: str, value: object) -> None:
    wrong(asked(api, **{name: value}), name)
    assert not Case.objects.exists()


@pytest.mark.parametrize("name", ["up", "delete", "dryRun"])
@pytest.mark.parametrize("value", ["true", "false", "", 1, 0, 1.0, "yes", [], {}, [True], None])
def test_a_switch_that_is_none(api: Client, name: str, value: object) -> None:
    wrong(asked(api, **{name: value}), name)


@pytest.mark.parametrize(
    "value",
    [
        "x",
        1,
        True,
        [],
        {},
        [CASE_ID],
        CASE_ID.replace("-", ""),
        f"{{{CASE_ID}}}",
        f"urn:uuid:{CASE_ID}",
        f"{CASE_ID}\n",
    ],
)
def test_an_id_that_is_no_uuid(api: Client, value: object) -> None:
    wrong(asked(api, _id=value), "_id")


NO_NAMES: dict[str, str] = {
    "up": "..", "here": ".", "slash": "a/b", "absolute": "/etc", "backslash": "a\\b", "ours": ".carryon",
    "too-many-bytes": "한" * 86,
}  # fmt: skip


@pytest.mark.parametrize("name", ["projectname", "pid", "ownerGroupId"])
@pytest.mark.parametrize("value", NO_NAMES.values(), ids=NO_NAMES)
def test_a_name_that_no_folder_can_have(api: Client, name: str, value: str) -> None:
    wrong(asked(api, **{name: value}), name)
    assert not Case.objects.exists()


@pytest.mark.parametrize(
    "value",
    [
        *("/", "///", " / ", "a/../b", "..", "../..", "a/./b", "a//b", "a/.carryon/b", "a\\b", ".carryon"),
        *("a/" + "n" * 256, "k" * 901, "한" * 301),
    ],
)
def test_a_prefix_that_is_none(api: Client, value: str) -> None:
    wrong(asked(api, s3keypath=value), "s3keypath")
    assert not Case.objects.exists()


@pytest.mark.parametrize(
    "value",
    [
        *("test_case_a", "C:\\other\\case", "D:\\data", "/etc", "/", "C:\\data\\..\\..", "C:\\data", "C:\\data\\"),
        *("C:\\data\\missing", "C:\\data\\test_case_a\\upper.stl", "\\\\server\\share", "C:\\data\\" + "n" * 300),
        *("C:\\data\\" + "n\\" * 900, "~", "file:///etc"),
    ],
)
def test_a_source_that_nothing_can_be_copied_from(api: Client, value: str) -> None:
    wrong(asked(api, source=value), "source")
    assert not Case.objects.exists(), "no case is left behind"


def test_a_source_is_not_looked_at_for_a_download(api: Client) -> None:
    accepted(api)
    Job.objects.update(state="completed")
    assert accepted(api, up=False, source="/etc").source == ""


def test_a_source_that_is_no_source_is_fine_once_the_case_has_a_folder_here(api: Client, settings: Settings) -> None:
    folder = settings.ENVIRONMENT.sync_save_path / GROUP / "P-0001" / NAME
    folder.mkdir(parents=True)
    assert accepted(api, source="C:\\rayteams_save_path\\test_case_a\\").source == ""


FORBIDDEN = [
    *("cases.example", "//cases.example/", "ftp://cases.example:443/", "gopher://localhost:8008/api", "file:///etc"),
    *("https://", "https:///api", "https://:443/", "https://evil.example/", "https://cases.example:444/"),
    *("https://cases.example:0/", "https://cases.example:65536/", "https://cases.example:https/"),
    *("https://cases.example:443:443/", "https://cases.example:0443/", "http://cases.example/"),
    *("http://cases.example:443", "http://cases.example:443/api", "HTTP://Cases.Example:443/"),
    *(
        "https://ann@cases.example/",
        "https://ann:x@cases.example/",
        "https://@cases.example/",
        "https://:x@cases.example",
    ),
    *("https://cases.example:443@evil.example/", "https://cases.example:443\\@evil.example/"),
    *("https://evil.example\\.cases.example/", "https://evil.example#@cases.example/", "https://cases.example.:443/"),
    *("https://evil.example?@cases.example/", "https://cases.example/?a=b", "https://cases.example/#a"),
    *(
        "https://[::1/",
        "https://[cases.example]/",
        "https://[::1]/",
        "http://x[::1]y:8008/api",
        "http://[::1]x:8008/api",
    ),
    *(
        "http://127.1:8008/api",
        "http://2130706433:8008/api",
        "http://0.0.0.0:8008/api",
        "http://[::ffff:127.0.0.1]:8008/api",
    ),
    *("http://localhost/api", "http://localhost:8009/api", "http://localhost:8008", "http://localhost:8008/api/x"),
    *("http://localhost:8008/API", "http://localhost:8008/x/../api", "http://169.254.169.254/latest/meta-data"),
    *("https://cases.example%2f.evil.example/", "https://cases\u2024example/", "https://cases.example\uff0f@evil/"),
]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_an_api_that_may_not_be_called(api: Client, url: str) -> None:
    wrong(asked(api, apiUrl=url), "apiUrl")
    assert not Case.objects.exists()


ALLOWED = {
    "https://cases.example": "https://cases.example:443",
    "https://cases.example/": "https://cases.example:443",
    "https://cases.example:443/v1/": "https://cases.example:443/v1",
    "HTTPS://Cases.Example:443": "https://cases.example:443",
    "http://localhost:8008/api": "",
    "http://LOCALHOST:8008/api/": "",
    "http://127.0.0.1:8008/api": "",
    "http://[::1]:8008/api": "",
    "https://localhost:8008/api": "",
}


@pytest.mark.parametrize(("url", "kept"), ALLOWED.items(), ids=ALLOWED)
def test_an_api_that_may_be_called(api: Client, url: str, kept: str) -> None:
    assert accepted(api, apiUrl=url).case.api_url == kept


def test_an_api_at_an_ipv6_address_and_at_our_public_name(api: Client, settings: Settings) -> None:
    use(settings, case_api_hosts=["[2001:db8::1]:9000", "Upper.Example"], public_url="https://carryon.example")
    for number, (url, kept) in enumerate(
        {
            "http://[2001:DB8::1]:9000/": "http://[2001:db8::1]:9000",
            "https://upper.example": "https://upper.example:443",
            "https://carryon.example/api": "",
        }.items()
    ):
        case = accepted(api, apiUrl=url, projectname=f"n{number}", s3keypath=f"k{number}").case
        assert case.api_url == kept
    wrong(asked(api, apiUrl="http://carryon.example/api"), "apiUrl")


def test_an_unknown_region_is_told_clearly(api: Client, settings: Settings, tmp_path: Path) -> None:
    use(settings, sync_regions={REGION: Cloud(folder=tmp_path / "cloud")})
    answer = asked(api, region="mars-1")
    refused(answer, 400, "UNKNOWN REGION")
    assert "mars-1" in answer.json()["errmsg"]["detail"]
    assert asked(api).status_code == 200


@pytest.mark.parametrize("region", ["..", ".", "a/b", "../../etc", ".carryon", "a\\b"])
def test_a_region_that_could_be_no_folder_is_unknown(api: Client, region: str) -> None:
    refused(asked(api, region=region), 400, "UNKNOWN REGION")


BODIES: dict[str, tuple[bytes, str, int, str]] = {
    "empty": (b"", "application/json", 400, ""),
    "null": (b"null", "application/json", 400, "Param Error"),
    "list": (b"[]", "application/json", 400, "Param Error"),
    "text": (b'"up"', "application/json", 400, "Param Error"),
    "number": (b"5", "application/json", 400, "Param Error"),
    "no-json": (b"{up}", "application/json", 400, "PARSE ERROR"),
    "cut-off": (b'{"up": tr', "application/json", 400, "PARSE ERROR"),
    "not-utf-8": (b'{"pid": "\xff"}', "application/json", 400, "PARSE ERROR"),
    "half-a-surrogate-pair": (rb'{"pid": "\ud800"}', "application/json", 400, "PARSE ERROR"),
    "half-a-surrogate-pair-in-a-name": (rb'{"\udfff": 1}', "application/json", 400, "PARSE ERROR"),
    "nested-too-deeply": (b"[" * 100_000, "application/json", 400, "PARSE ERROR"),
    "a-number-too-long": (b'{"pid": ' + b"9" * 5000 + b"}", "application/json", 400, "PARSE ERROR"),
    "not-a-number": (b'{"pid": NaN}', "application/json", 400, "PARSE ERROR"),
    "too-large": (b'{"pid": "' + b"c" * 2**21 + b'"}', "application/json", 413, "TOO LARGE"),
    "a-form": (b"up=true&pid=1", "application/x-www-form-urlencoded", 415, "UNSUPPORTED MEDIA TYPE"),
    "parts": (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x", 415, "UNSUPPORTED MEDIA TYPE"),
    "no-type": (b"{}", "", 415, "UNSUPPORTED MEDIA TYPE"),
}


@pytest.mark.parametrize(("body", "content_type", "status", "code"), BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_payload(api: Client, body: bytes, content_type: str, status: int, code: str) -> None:
    answer = api.post(URL, body, content_type=content_type)
    told = answer.json()
    assert (answer.status_code, told["status"], set(told)) == (status, "fail", {"status", "errmsg"})
    if code:
        assert code == (told["errmsg"] if isinstance(told["errmsg"], str) else told["errmsg"]["code"])
    assert not Job.objects.exists()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
WORDS = st.text(st.characters(codec="utf-8"), max_size=40) | st.text("./\\C:a ", max_size=30)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(
    body=VALUES
    | st.fixed_dictionaries(dict.fromkeys(REQUIRED, VALUES | WORDS))
    | st.fixed_dictionaries({}, optional=dict.fromkeys((*REQUIRED, "_id", "delete", "dryRun"), VALUES | WORDS)).map(
        lambda words: payload(**words)
    ),
)
def test_no_payload_whatever_is_our_fault(api: Client, body: object) -> None:
    answer = post(api, URL, body)  # the client raises what a view did not foresee
    assert answer.status_code in (200, 400, 404, 409), answer.content
    told = answer.json()
    assert set(told) == ({"status", "data"} if answer.status_code == 200 else {"status", "errmsg"})
    Job.objects.all().delete()
    Case.objects.all().delete()


@given(errors=st.dictionaries(st.text(max_size=300), st.lists(st.text(max_size=1000), max_size=9), max_size=30))
def test_no_messages_whatever_break_a_header(errors: dict[str, list[str]]) -> None:
    header = for_header(errors)
    assert header.isascii()
    assert header.isprintable()
    assert len(header) <= MAX_HEADER_BYTES
    told = json.loads(header)
    assert all(told[name] == [text[:200] for text in errors[name]] for name in told)


def test_a_header_with_room_for_it_has_every_message() -> None:
    errors = {name: ["한글 " * 5, "b"] for name in REQUIRED}
    assert json.loads(for_header(errors)) == errors


# What is somebody's --------------------------------------------------------------------------------------------------


def test_a_case_that_is_being_synced_names_its_job(api: Client) -> None:
    job = accepted(api)
    for up in (True, False):
        refused(asked(api, up=up), 409, "ALREADY SYNCING", jobId=str(job.pk))
    refused(asked(api, s3keypath=f"/{PREFIX}/", labId="other"), 409, "ALREADY SYNCING", jobId=str(job.pk))
    assert Case.objects.get().lab_id == LAB, "and nothing of it is changed"
    Job.objects.update(state="running", lease_epoch=1)
    refused(asked(api), 409, "ALREADY SYNCING", jobId=str(job.pk))
    Job.objects.update(state="failed")
    assert accepted(api).pk != job.pk


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("broker")
def test_of_many_that_ask_at_once_one_is_accepted(ann: User) -> None:
    clients = [client_of(ann) for _ in range(6)]
    answers = at_once([lambda client=client: asked(client) for client in clients])
    job = Job.objects.get()
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    for answer in answers:
        if answer.status_code == 409:
            refused(answer, 409, "ALREADY SYNCING", jobId=str(job.pk))


@pytest.mark.parametrize("is_known", [True, False], ids=["again", "ask"])
def test_a_job_that_ends_just_now_is_in_nobodys_way(
    api: Client, ann: User, monkeypatch: pytest.MonkeyPatch, *, is_known: bool
) -> None:
    first = accepted(api)
    as_it_is = JobQuerySet.live

    def live(rows: JobQuerySet) -> JobQuerySet:
        Job.objects.filter(pk=first.pk).update(state="completed")
        return as_it_is(rows)

    monkeypatch.setattr(JobQuerySet, "live", live)
    second = jobs.again(user=ann, case=first.case, up=False) if is_known else accepted(api, up=False)
    assert (second.state, second.up, Job.objects.count()) == ("queued", False, 2)
    monkeypatch.undo()
    refused(asked(api), 409, "ALREADY SYNCING", jobId=str(second.pk))


def test_anothers_case_is_not_there(api: Client) -> None:
    accepted(client_of(new_user("bob")), _id=CASE_ID)
    refused(asked(api), 404, "NO SUCH CASE")
    refused(asked(api, up=False), 404, "NO SUCH CASE")
    refused(asked(api, _id=CASE_ID), 404, "NO SUCH CASE")
    refused(asked(api, _id=CASE_ID, projectname="other", s3keypath="other"), 404, "NO SUCH CASE")
    assert Job.objects.count() == 1
    staff = client_of(new_user("root", is_staff=True))
    refused(asked(staff), 409, "ALREADY SYNCING", jobId=str(Job.objects.get().pk))


def test_what_nobody_knows_cannot_be_fetched(api: Client) -> None:
    refused(asked(api, up=False), 404, "NO SUCH CASE")
    assert not Case.objects.exists()


@pytest.mark.parametrize("words", [{"s3keypath": "other"}, {"region": "us-east-1"}, {"_id": NOBODYS}])
def test_a_case_that_is_known_otherwise(api: Client, words: dict[str, str]) -> None:
    accepted(api)
    Job.objects.update(state="completed")
    answer = asked(api, **words)
    refused(answer, 409, "CASE DIFFERS")
    assert next(iter(words)) in answer.json()["errmsg"]["detail"]


@pytest.mark.parametrize("theirs", [PREFIX, f"{PREFIX}/inner", "userdata", f"userdata/{GROUP}"])
def test_a_prefix_in_or_around_anothers(api: Client, theirs: str) -> None:
    new_case(new_user("bob"), s3keypath=theirs)
    wrong(asked(api), "s3keypath")
    assert asked(api, region="us-east-1").status_code == 200, "which is another cloud"


@pytest.mark.parametrize(
    "theirs",
    [f"{PREFIX}2", f"{PREFIX[:-1]}", f"{PREFIX[:-1]}_", "userdat", "%", "_" * len(PREFIX), f"{PREFIX.upper()}/inner"],
)
def test_a_prefix_that_only_looks_alike(api: Client, theirs: str) -> None:
    new_case(new_user("bob"), s3keypath=theirs)
    assert asked(api).status_code == 200


def test_a_prefix_with_wildcards_is_taken_at_its_word(api: Client) -> None:
    new_case(new_user("bob"), s3keypath="userdata/a/b")
    assert asked(api, s3keypath="userdata/%").status_code == 200
    assert asked(api, s3keypath="userdata/_", projectname="two").status_code == 200


def test_two_regions_of_one_bucket_are_one_cloud(api: Client, settings: Settings) -> None:
    bucket = Cloud(bucket="cases", endpoint_url="http://s3.example")
    use(settings, sync_regions={REGION: bucket, "eu-west-1": bucket, "us-east-1": Cloud(bucket="other")})
    new_case(new_user("bob"), s3keypath=f"{PREFIX}/inner", region="eu-west-1")
    wrong(asked(api), "s3keypath")
    assert asked(api, region="us-east-1").status_code == 200


@pytest.mark.parametrize(
    ("uploads", "prefix", "status"),
    [
        ("", "userdata/a", 400),
        ("files", "files", 400),
        ("files/", "files/a", 400),
        ("files/uploads", "files", 400),
        ("files", "files2", 200),
        ("files", "userdata/files", 200),
    ],
)
def test_a_prefix_in_or_around_the_uploads(
    api: Client, settings: Settings, uploads: str, prefix: str, status: int
) -> None:
    use(settings, storage="s3", s3_bucket="b", s3_prefix=uploads, sync_regions={REGION: Cloud(bucket="b")})
    answer = asked(api, s3keypath=prefix)
    assert answer.status_code == status
    if status == 400:
        wrong(answer, "s3keypath")


# Looking -------------------------------------------------------------------------------------------------------------


def looked(api: Client, pk: object) -> Any:
    return api.get(f"{URL}/{pk}")


def data_of(answer: Any) -> dict[str, Any]:
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    told = json.loads(body)
    assert (answer.status_code, told["status"], set(told)) == (200, "success", {"status", "data"})
    assert answer["Content-Type"] == "application/json"
    data: dict[str, Any] = told["data"]
    return data


def test_a_job_to_the_letter(api: Client, ann: User) -> None:
    job = new_job(
        new_case(ann), state="completed_with_failures", files_done=3, files_total=5, bytes_done=7, bytes_total=9,
        failures_count=2, phase="syncing", bytes_per_second=1,
    )  # fmt: skip
    new_failures(job, 2)
    data = data_of(looked(api, job.pk))
    for name, value in (("startedOn", job.started_at), ("endedOn", job.ended_at)):
        assert datetime.fromisoformat(data.pop(name)) == value
    assert data == {
        "jobId": str(job.pk), "caseId": str(job.case.uuid), "up": True, "state": "completed_with_failures",
        "filesDone": 3, "filesTotal": 5, "bytesDone": 7, "bytesTotal": 9,
        "failures": [{"path": "scan/0", "reason": "reason 0"}, {"path": "scan/1", "reason": "reason 1"}],
        "phase": "syncing", "dryRun": False, "bytesPerSecond": 1, "currentFiles": [], "failuresCount": 2, "error": None,
    }  # fmt: skip


def test_a_job_that_has_hardly_begun(api: Client, ann: User) -> None:
    data = data_of(looked(api, new_job(new_case(ann, uuid=None), up=False).pk))
    assert (data["state"], data["up"], data["failures"], data["caseId"]) == ("queued", False, [], None)
    assert (data["startedOn"], data["endedOn"], data["filesTotal"]) == (None, None, 0)
    assert "plan" not in data


@pytest.mark.parametrize("state", ["queued", "running", "stopped", "completed", "completed_with_failures", "failed"])
def test_a_state_is_called_as_the_contract_has_it(api: Client, ann: User, state: str) -> None:
    assert data_of(looked(api, new_job(new_case(ann), state=state).pk))["state"] == state


def test_a_job_that_failed_tells_why(api: Client, ann: User) -> None:
    job = new_job(new_case(ann), state="failed", error_code="empty_side", error="it is empty")
    assert data_of(looked(api, job.pk))["error"] == {"code": "empty_side", "detail": "it is empty"}


def test_failures_beyond_what_is_shown_are_counted(api: Client, ann: User) -> None:
    job = new_job(new_case(ann), state="completed_with_failures", failures_count=1200)
    new_failures(job, 1200)
    data = data_of(looked(api, job.pk))
    assert (len(data["failures"]), data["failuresCount"], data["failures"][-1]["path"]) == (1000, 1200, "scan/999")


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 1000])
def test_a_dry_run_that_has_ended_has_its_plan(api: Client, ann: User, count: int) -> None:
    job = new_job(new_case(ann), state="completed", dry_run=True)
    actions = new_plan(job, count, at_once=7)
    data = data_of(looked(api, job.pk))
    assert data.pop("plan") == actions
    assert {**data, "failures": []} == {**jobs.shown(job=jobs.look(user=ann, job_id=job.pk)), "failures": []}


def test_a_plan_is_in_the_order_of_work(api: Client, ann: User) -> None:
    job = new_job(new_case(ann), state="completed", dry_run=True)
    for number, (stage, path) in enumerate([(1, "b"), (0, "a"), (3, "d"), (1, "c")], 1):
        job.batches.create(stage=stage, number=number, actions=[{"path": path}])
    assert [action["path"] for action in data_of(looked(api, job.pk))["plan"]] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(("state", "dry_run"), [("queued", True), ("running", True), ("completed", False)])
def test_only_a_dry_run_that_has_ended_has_a_plan(api: Client, ann: User, state: str, *, dry_run: bool) -> None:
    job = new_job(new_case(ann), state=state, dry_run=dry_run)
    new_plan(job, 3)
    assert "plan" not in data_of(looked(api, job.pk))


def test_a_plan_of_100_000_is_never_in_memory_at_once(api: Client, ann: User) -> None:
    job = new_job(new_case(ann), state="completed", dry_run=True)
    new_plan(job, 100_000)
    answer = looked(api, job.pk)
    assert isinstance(answer, StreamingHttpResponse)
    tracemalloc.start()
    try:
        pieces = answer.streaming_content
        size = sum(len(piece) for piece in pieces)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 5_000_000
    assert peak < 2_000_000


def test_a_head_request_has_no_body(api: Client, ann: User) -> None:
    job = new_job(new_case(ann), state="completed", dry_run=True)
    assert api.head(f"{URL}/{job.pk}").status_code == 200


def test_looking_costs_as_many_queries_for_much_as_for_little(api: Client, ann: User) -> None:
    little, much = (new_job(new_case(ann), state="completed_with_failures") for _ in range(2))
    new_failures(little, 1)
    new_failures(much, 500)
    counts = []
    for job in (little, much):
        with CaptureQueriesContext(connection) as queries:
            data_of(looked(api, job.pk))
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 4


def test_asking_costs_as_many_queries_among_many_cases_as_alone(api: Client, ann: User) -> None:
    with CaptureQueriesContext(connection) as alone:
        accepted(api)
    for _ in range(20):
        new_job(new_case(ann))
    with CaptureQueriesContext(connection) as among_many:
        accepted(api, projectname="two", s3keypath="userdata/two")
    assert len(among_many) == len(alone) <= 20


def test_what_is_not_yours_is_not_there(api: Client) -> None:
    theirs = new_job(new_case(new_user("bob")))
    missing = looked(api, NOBODYS)
    refused(missing, 404, "NO SUCH JOB")
    assert looked(api, theirs.pk).json() == missing.json(), "ids leak nothing"
    stopped, unknown = (post(api, f"{URL}/{pk}/stop", {}) for pk in (theirs.pk, NOBODYS))
    assert (stopped.status_code, stopped.json()) == (404, unknown.json())
    theirs.refresh_from_db()
    assert theirs.desired == "run"
    assert looked(client_of(new_user("root", is_staff=True)), theirs.pk).status_code == 200


@pytest.mark.parametrize("pk", ["x", "1", f"{NOBODYS}0", NOBODYS.replace("-", ""), "%00", "..%2f..", "stop", "%0a"])
def test_what_is_no_id(api: Client, pk: str) -> None:
    for slash in ("", "/"):
        answer = api.get(f"{URL}/{pk}{slash}")
        assert answer.status_code == 404
        assert post(api, f"{URL}/{pk}/stop{slash}", {}).status_code == 404


# Stopping ------------------------------------------------------------------------------------------------------------


def test_a_stop_where_no_worker_is_yet(api: Client) -> None:
    job = accepted(api)
    answer = post(api, f"{URL}/{job.pk}/stop", {})
    told = {"jobId": str(job.pk), "caseId": str(job.case.uuid), "state": "stopped"}
    assert (answer.status_code, answer.json()) == (200, {"status": "success", "data": told})
    refused(post(api, f"{URL}/{job.pk}/stop", {}), 409, "NOT SYNCING")
    data = data_of(looked(api, job.pk))
    assert data["state"] == "stopped"
    assert data["endedOn"]
    assert accepted(api).pk != job.pk, "asking again goes on"


def test_a_stop_of_what_a_worker_has_is_a_wish(api: Client, ann: User) -> None:
    job = new_job(new_case(ann), state="running")
    answer = post(api, f"{URL}/{job.pk}/stop/", {})
    assert (answer.status_code, answer.json()["data"]["state"]) == (200, "running")
    job.refresh_from_db()
    assert job.desired == "stop"
    refused(post(api, f"{URL}/{job.pk}/stop", {}), 409, "NOT SYNCING")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]"])
def test_a_stop_needs_no_body(api: Client, ann: User, body: bytes) -> None:
    job = new_job(new_case(ann))
    assert api.post(f"{URL}/{job.pk}/stop", body, content_type="application/json").status_code == 200


# Envelopes of the rest -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", URL),
        ("put", URL),
        ("delete", f"{URL}/{NOBODYS}"),
        ("post", f"{URL}/{NOBODYS}"),
        ("get", f"{URL}/{NOBODYS}/stop"),
    ],
)
def test_other_methods_are_refused(api: Client, method: str, path: str) -> None:
    refused(getattr(api, method)(path), 405, "METHOD NOT ALLOWED")


@pytest.mark.parametrize("token", [None, "", "unknown"])
def test_nobody_is_refused(token: str | None) -> None:
    client = Client(headers={} if token is None else {"Authorization": f"Token {token}"})
    for answer in (asked(client), looked(client, NOBODYS), looked(client, "x"), post(client, f"{URL}/x/stop", {})):
        told = answer.json()
        assert (answer.status_code, told["status"], set(told)) == (401, "fail", {"status", "errmsg"})
        assert told["errmsg"]["code"] in ("NOT AUTHENTICATED", "AUTHENTICATION FAILED")
        assert answer["WWW-Authenticate"] == 'Bearer realm="carryon"'
    assert not Job.objects.exists()


def test_what_is_not_json_is_not_to_be_had(api: Client, ann: User) -> None:
    answer = api.get(f"{URL}/{new_job(new_case(ann)).pk}", headers={"Accept": "text/html"})
    refused(answer, 406, "NOT ACCEPTABLE")


class _Refusing(BaseThrottle):
    failure: Exception = Throttled(2.5)

    def allow_request(self, *_: Any) -> bool:
        raise self.failure


class _Down(_Refusing):
    failure = OperationalError("database is locked")


@pytest.mark.parametrize(
    ("throttle", "told"), [(_Refusing, (429, "THROTTLED", "3")), (_Down, (503, "UNAVAILABLE", "5"))]
)
@pytest.mark.parametrize("legacy", [None, 200])
def test_when_to_come_back_is_told(
    settings: Settings, throttle: type[_Refusing], told: tuple[int, str, str], legacy: int | None
) -> None:
    status, code, seconds = told
    use(settings, legacy_fail_status=legacy)
    request = APIRequestFactory().post(URL, {}, format="json")
    view = SyncView.as_view(authentication_classes=(), permission_classes=(), throttle_classes=(throttle,))
    answer = view(request)
    assert answer.status_code == (legacy or status)
    assert answer.data["errmsg"]["code"] == code  # type: ignore[attr-defined]
    assert answer["Retry-After"] == seconds


def test_old_clients_get_every_fail_envelope_with_the_status_they_read(api: Client, settings: Settings) -> None:
    use(settings, legacy_fail_status=200)
    answer = post(api, URL, {})
    assert (answer.status_code, answer.json()) == (200, PARAM_ERROR)
    assert set(json.loads(answer["X-Errors"])) == set(REQUIRED)
    job = accepted(api)
    refused(asked(api), 200, "ALREADY SYNCING", jobId=str(job.pk))
    refused(looked(api, NOBODYS), 200, "NO SUCH JOB")
    refused(api.get(URL), 200, "METHOD NOT ALLOWED")
    refused(post(api, f"{URL}/x/stop", {}), 200, "NO SUCH JOB")
    assert asked(Client()).status_code == 200
    assert asked(Client()).json()["status"] == "fail"


def test_a_failure_leaves_nothing_behind(api: Client) -> None:
    asked(api, source="/etc")
    asked(api, region="..")
    asked(api, up=False)
    assert not Case.objects.exists()
    assert not Job.objects.exists()


def test_jobs_have_ids_of_their_own(api: Client) -> None:
    ids = set()
    for _ in range(3):
        ids.add(accepted(api).pk)
        Job.objects.update(state="stopped")
    assert len(ids) == 3
    assert all(isinstance(pk, uuid.UUID) for pk in ids)
