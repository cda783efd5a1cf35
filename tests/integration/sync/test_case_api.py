"""The case API's client against a server that is everything but well-behaved."""

from __future__ import annotations

import gzip
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from pytest_django.fixtures import Settings

from sync import case_api
from sync.models import Case, Job
from sync.models.job import Desired, JobState
from sync.tasks import sync_case
from tests.integration.sync.case_server import Answer, CaseServer, Exchange, case_server
from tests.integration.sync.rows import new_case, new_job
from tests.integration.transfers.rows import new_user, use
from transfers.errors import CaseApiError, CaseDiffersError, InvalidInputError, NoSuchCaseError

pytestmark = pytest.mark.django_db

CASE_ID = uuid.UUID("77647eac-e413-438b-b3fe-b707e722cc88")
TIMEOUT_SECONDS = 0.5


@pytest.fixture
def api(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[CaseServer]:
    monkeypatch.setattr(case_api, "FIRST_PAUSE_SECONDS", 0.02)
    with case_server() as server:
        use(
            settings,
            case_api_hosts=[server.address],
            case_api_token="5ecre7",
            case_api_timeout_seconds=TIMEOUT_SECONDS,
        )
        yield server


@pytest.fixture
def ann() -> User:
    return new_user("ann")


@pytest.fixture
def case(ann: User, api: CaseServer) -> Case:
    """A case that the API has not named yet."""
    return new_case(ann, uuid=None, api_url=api.url)


@pytest.fixture
def named(ann: User, api: CaseServer) -> Case:
    """A case that it has."""
    return new_case(ann, uuid=CASE_ID, api_url=api.url)


def says(status: int, body: Any = None, **headers: str) -> Answer:
    return lambda exchange: exchange.say(status, body, **headers)


def told(case: Case, **other: Any) -> dict[str, Any]:
    return {**case_api.told(case), "_id": str(CASE_ID), **other}


# What works ----------------------------------------------------------------------------------------------------------


def test_a_case_is_made_there_with_the_token(api: CaseServer, case: Case) -> None:
    api.answers = [says(201, told(case))]
    assert case_api.known(case, create=True) == CASE_ID
    [asked] = api.asked
    assert (asked.method, asked.path) == ("POST", "/cases/")
    assert asked.headers["Authorization"] == "Token 5ecre7"
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.body == {
        "ownerGroupId": "group", "labId": "lab", "pid": "P-0001", "projectname": case.projectname,
        "projecttype": "TEST-PROJECT", "s3keypath": case.s3keypath, "region": "ap-northeast-2",
    }  # fmt: skip


def test_a_case_that_is_there_is_read(api: CaseServer, named: Case) -> None:
    api.answers = [says(200, told(named))]
    for create in (True, False):
        assert case_api.known(named, create=create) == CASE_ID
    assert [(asked.method, asked.path) for asked in api.asked] == [("GET", f"/cases/{CASE_ID}/")] * 2
    assert api.asked[0].body is None


def test_a_case_that_is_gone_there_is_made_again_under_its_id(api: CaseServer, named: Case) -> None:
    api.answers = [says(404), says(201, told(named))]
    assert case_api.known(named, create=True) == CASE_ID
    assert [asked.method for asked in api.asked] == ["GET", "POST"]
    assert api.asked[1].body["_id"] == str(CASE_ID)


def test_a_case_that_is_not_there_cannot_be_fetched(api: CaseServer, case: Case, named: Case) -> None:
    api.answers = [says(404)]
    for each in (case, named):
        with pytest.raises(NoSuchCaseError):
            case_api.known(each, create=False)
    assert [asked.method for asked in api.asked] == ["GET"], "who has no id need not ask"


@pytest.mark.parametrize("status", [200, 201])
def test_an_answer_in_the_sources_envelope_is_read_too(api: CaseServer, case: Case, status: int) -> None:
    api.answers = [says(status, {"status": "success", "data": told(case)})]
    assert case_api.known(case, create=True) == CASE_ID


@pytest.mark.parametrize("other", [{"_id": str(CASE_ID).upper()}, {"s3keypath": "/{}/"}, {"more": [1]}])
def test_an_answer_may_be_worded_otherwise(api: CaseServer, case: Case, other: dict[str, Any]) -> None:
    words = {name: value.format(case.s3keypath) if name == "s3keypath" else value for name, value in other.items()}
    api.answers = [says(200, told(case, **words))]
    assert case_api.known(case, create=True) == CASE_ID


def test_an_answer_may_tell_the_id_alone(api: CaseServer, case: Case) -> None:
    api.answers = [says(201, {"_id": str(CASE_ID)})]
    assert case_api.known(case, create=True) == CASE_ID


def test_without_a_token_none_is_sent(api: CaseServer, case: Case, settings: Settings) -> None:
    use(settings, case_api_token="")
    api.answers = [says(201, told(case))]
    case_api.known(case, create=True)
    assert "Authorization" not in api.asked[0].headers


def test_an_answer_that_takes_its_time_is_waited_for(api: CaseServer, case: Case) -> None:
    def slowly(exchange: Exchange) -> None:
        exchange.wait(TIMEOUT_SECONDS / 2)
        exchange.say(201, told(case))

    api.answers = [slowly]
    assert case_api.known(case, create=True) == CASE_ID
    assert len(api.asked) == 1


def test_this_service_is_not_called(ann: User) -> None:
    assert case_api.known(new_case(ann, uuid=CASE_ID, api_url=""), create=False) == CASE_ID
    assert case_api.known(new_case(ann, uuid=None, api_url=""), create=True)


def test_neither_a_proxy_nor_a_netrc_has_a_say(
    api: CaseServer, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    api.answers = [says(201, told(case))]
    assert case_api.known(case, create=True) == CASE_ID
    assert api.asked[0].headers["Authorization"] == "Token 5ecre7"


# What passes ---------------------------------------------------------------------------------------------------------


def drops(exchange: Exchange) -> None:
    exchange.hang_up()


def cuts(exchange: Exchange) -> None:
    exchange.hang_up(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"_id": "776')


def cuts_a_chunk(exchange: Exchange) -> None:
    exchange.hang_up(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{"_id": "776')


def is_silent(exchange: Exchange) -> None:
    exchange.wait(TIMEOUT_SECONDS * 3)
    exchange.close_connection = True


def is_silent_after_its_headers(exchange: Exchange) -> None:
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
    is_silent(exchange)


def speaks_no_http(exchange: Exchange) -> None:
    exchange.hang_up(b"+PONG\r\n")


PASSING: dict[str, Answer] = {
    "500": says(500, {"detail": "oops"}),
    "502": says(502, b"<html>"),
    "503": says(503),
    "429": says(429),
    "408": says(408),
    "drops": drops,
    "cuts": cuts,
    "cuts-a-chunk": cuts_a_chunk,
    "is-silent": is_silent,
    "is-silent-after-its-headers": is_silent_after_its_headers,
    "speaks-no-http": speaks_no_http,
    "drips": lambda exchange: exchange.drip(b" " * 1000, TIMEOUT_SECONDS / 5),
}


@pytest.mark.parametrize("answer", PASSING.values(), ids=PASSING)
def test_what_is_over_soon_is_tried_again(api: CaseServer, case: Case, answer: Answer) -> None:
    api.answers = [answer, answer, says(201, told(case))]
    assert case_api.known(case, create=True) == CASE_ID
    assert [asked.method for asked in api.asked] == ["POST"] * 3
    assert api.asked[0].body == api.asked[2].body


@pytest.mark.parametrize("answer", PASSING.values(), ids=PASSING)
def test_what_is_never_over_ends_in_words_and_in_time(api: CaseServer, named: Case, answer: Answer) -> None:
    api.answers = [answer]
    began = time.monotonic()
    with pytest.raises(CaseApiError) as failed:
        case_api.known(named, create=True)
    assert len(api.asked) == case_api.ATTEMPTS
    assert time.monotonic() - began < case_api.ATTEMPTS * (TIMEOUT_SECONDS * 2 + 0.5)
    assert "5ecre7" not in str(failed.value)
    assert api.url not in str(failed.value)


def test_a_server_that_is_not_there_ends_in_words(ann: User, settings: Settings, api: CaseServer) -> None:
    with case_server() as gone:
        pass
    use(settings, case_api_hosts=[gone.address])
    with pytest.raises(CaseApiError, match="cannot be reached"):
        case_api.known(new_case(ann, uuid=None, api_url=gone.url), create=True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("broker")
def test_a_job_that_waits_for_it_can_be_stopped(api: CaseServer, case: Case, settings: Settings) -> None:
    use(settings, case_api_timeout_seconds=30, heartbeat_seconds=0.1)
    job = new_job(case)

    def stop_and_say_nothing(exchange: Exchange) -> None:
        Job.objects.update(desired=Desired.STOP)
        connections.close_all()
        exchange.wait(30)
        exchange.hang_up()

    api.answers = [stop_and_say_nothing]
    began = time.monotonic()
    sync_case(str(job.pk))
    job.refresh_from_db()
    assert (job.state, len(api.asked)) == (JobState.STOPPED, 1)
    assert time.monotonic() - began < 15


# What does not -------------------------------------------------------------------------------------------------------

GARBAGE: dict[str, Answer] = {
    "nothing": says(200, b""),
    "no-json": says(200, b"<html>"),
    "no-utf-8": says(200, b'{"_id": "\xff\xfe"}'),
    "deep": says(200, b"[" * 500_000),
    "a-list": says(200, []),
    "a-text": says(200, "x"),
    "null": says(200, b"null"),
    "a-number-too-long": says(200, b"9" * 10_000),
    "data-that-is-none": says(200, {"data": None}),
    "compressed": says(200, gzip.compress(b'{"_id": "77647eac-e413-438b-b3fe-b707e722cc88"}'), Content_Encoding="gzip"),
}
REFUSALS: dict[str, Answer] = {
    **GARBAGE,
    "no-id": says(201, {"a": 1}),
    "an-id-that-is-none": says(201, {"_id": "x"}),
    "an-id-that-is-null": says(201, {"_id": None}),
    "an-id-that-is-an-object": says(201, {"_id": {}}),
    "huge": says(200, b'{"a": "' + b"a" * case_api.MAX_ANSWER_BYTES + b'"}'),
    "400": says(400, {"detail": "no"}),
    "401": says(401),
    "403": says(403),
    "409": says(409),
    "204": says(204),
    "304": says(304),
    "404-to-a-post": says(404),
}


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS)
def test_what_makes_no_sense_is_told_at_once(api: CaseServer, case: Case, answer: Answer) -> None:
    api.answers = [answer]
    with pytest.raises(CaseApiError, match="case API"):
        case_api.known(case, create=True)
    assert len(api.asked) == 1


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
def test_garbage_instead_of_a_known_case_is_told(api: CaseServer, named: Case, answer: Answer) -> None:
    api.answers = [answer]
    with pytest.raises(CaseApiError):
        case_api.known(named, create=True)
    assert len(api.asked) == 1


def test_an_endless_answer_is_read_no_further_than_a_case_may_be(api: CaseServer, case: Case) -> None:
    sent = []

    def endless(exchange: Exchange) -> None:
        exchange.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while len(sent) < 1000:
                exchange.wfile.write(b"10000\r\n" + b"a" * 65536 + b"\r\n")
                sent.append(65536)
        except OSError:
            exchange.close_connection = True

    api.answers = [endless]
    with pytest.raises(CaseApiError, match="more than a case"):
        case_api.known(case, create=True)
    api.closing.wait(0.2)
    assert sum(sent) < 20 * case_api.MAX_ANSWER_BYTES  # what the sockets' buffers take is not read


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_token_stays_here(api: CaseServer, named: Case, status: int) -> None:
    with case_server() as elsewhere:
        elsewhere.answers = [says(200, told(named))]
        api.answers = [says(status, Location=f"{elsewhere.url}/cases/{CASE_ID}/")]
        with pytest.raises(CaseApiError, match=str(status)):
            case_api.known(named, create=True)
        assert not elsewhere.asked


@pytest.mark.parametrize("name", ["ownerGroupId", "pid", "projectname", "s3keypath"])
def test_another_case_under_the_id_or_name_is_not_mixed_up_with_ours(
    api: CaseServer, case: Case, named: Case, name: str
) -> None:
    for each in (case, named):
        api.answers = [says(200, told(each, **{name: "another"}))]
        with pytest.raises(CaseDiffersError, match=name):
            case_api.known(each, create=True)


@pytest.mark.parametrize("answered", [None, 5, [], {"a": "b"}])
def test_a_name_that_is_no_text_is_not_ours(api: CaseServer, named: Case, answered: object) -> None:
    api.answers = [says(200, told(named, pid=answered))]
    with pytest.raises(CaseDiffersError):
        case_api.known(named, create=True)


def test_a_host_that_is_allowed_no_more_is_not_called(api: CaseServer, named: Case, settings: Settings) -> None:
    use(settings, case_api_hosts=[])
    with pytest.raises(InvalidInputError):
        case_api.known(named, create=True)
    assert not api.asked


def test_what_is_told_is_json(case: Case) -> None:
    assert json.loads(json.dumps(case_api.told(case))) == case_api.told(case)
