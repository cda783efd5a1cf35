"""Requests for small objects: how they are addressed and signed, what is tried again, and what is believed."""

from __future__ import annotations

import time
import traceback

import botocore.auth
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests import battery
from tests.s3 import BUCKET, SECRET_KEY, Answer, S3Server, ScriptedStore
from tests.s3.scripted import refusal
from transfers.engine.s3 import S3Place
from transfers.engine.s3.exchange import ATTEMPTS, PATIENCE_SECONDS, Request, _address, _Bucket, _bucket, exchange
from transfers.engine.s3.failures import FOREIGN, sink_failures, source_failures, status_of
from transfers.errors import FolderUnusableError, SinkError, SourceBusyError, SourceInterruptedError, SourceRefusedError

pytestmark = pytest.mark.usefixtures("s3_credentials", "short_pauses")

KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
OK = Answer(body=b"content", headers={"ETag": '"e"'})


def ask(store: ScriptedStore, method: str = "GET", **more: object) -> bytes:
    return exchange(store.place, Request(method, "key", **more)).body  # type: ignore[arg-type]


class TestAddress:
    @pytest.mark.parametrize(
        ("place", "address"),
        [
            (S3Place("bucket", "", "", "ap-northeast-2"), "https://bucket.s3.ap-northeast-2.amazonaws.com/"),
            (S3Place("with.dots", "", "", "eu-west-1"), "https://s3.eu-west-1.amazonaws.com/with.dots"),
            (S3Place("bucket", "", "http://127.0.0.1:9000"), "http://127.0.0.1:9000/bucket"),
            (S3Place("bucket", "", "https://store.example/base/"), "https://store.example/base/bucket"),
        ],
    )
    def test_the_bucket_is_where_the_library_has_it(self, place: S3Place, address: str) -> None:
        bucket = _bucket(place)
        assert _address(bucket, Request("GET")) == address
        assert _address(bucket, Request("GET", "a b/c+d?e")) == address.rstrip("/") + "/a%20b/c%2Bd%3Fe"
        assert bucket.region == (place.region or "us-east-1")

    @pytest.mark.parametrize(
        "arn",
        ["arn:aws:s3:eu-west-1:123456789012:accesspoint/name", "arn:aws:s3:eu-west-1:123456789012:accesspoint:name"],
    )
    def test_an_access_point_says_its_region_itself(self, arn: str) -> None:
        bucket = _bucket(S3Place(arn, "", "", "us-east-1"))
        assert bucket == _Bucket("https://name-123456789012.s3-accesspoint.eu-west-1.amazonaws.com", "eu-west-1")

    def test_a_query(self) -> None:
        bucket = _Bucket("http://127.0.0.1:9000/bucket", "us-east-1")
        query = {"prefix": "a/b c~&=", "list-type": "2"}
        assert _address(bucket, Request("GET", query=query)).endswith("/bucket?list-type=2&prefix=a%2Fb%20c~%26%3D")

    def test_a_name_that_no_bucket_has(self) -> None:
        place = S3Place("no bucket", "", "")
        with pytest.raises(FolderUnusableError, match="not usable"), sink_failures(place):
            exchange(place, Request("GET", "key"))


class TestAtAStore:
    @settings(max_examples=battery.rounds(25, 500))
    @given(key=KEYS, content=st.binary(max_size=20))
    @example(key="a b+c%41&d#e?f=g\n\"'\\<>;:@$,!*()~", content=b"")
    @example(key="../a//./b/..", content=b"x")
    @example(key="\u0001\u001f\u007f\u0085\u2028\ufffe\U0001f388", content=b"x")
    def test_any_key_reaches_the_store_as_it_is(self, swift: S3Server, key: str, content: bytes) -> None:
        key = f"any/{key}"
        place = swift.place()
        exchange(place, Request("PUT", key, body=content))
        assert exchange(place, Request("GET", key)).body == content
        assert exchange(place, Request("HEAD", key)).size == len(content)
        assert swift.content(key) == content
        exchange(place, Request("DELETE", key))
        assert swift.content(key) is None

    def test_headers_and_metadata(self, store: S3Server) -> None:
        key = store.new_key()
        headers = {"x-amz-meta-mtime": "1.5", "Content-Type": "text/x-told"}
        exchange(store.place(), Request("PUT", key, headers=headers, body=b"x"))
        answer = exchange(store.place(), Request("HEAD", key))
        assert (answer.metadata, answer.headers["content-type"]) == ({"mtime": "1.5"}, "text/x-told")

    def test_more_than_the_limit_is_cut_and_the_next_answer_is_right(self, store: S3Server) -> None:
        key = store.new_key()
        exchange(store.place(), Request("PUT", key, body=b"0123456789" * 100_000))
        for _ in range(3):
            assert exchange(store.place(), Request("GET", key, limit=10)).body == b"01234567890"

    def test_a_wrong_md5_is_refused_by_the_store(self, swift: S3Server) -> None:
        headers = {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
        with pytest.raises(ClientError) as refused:
            exchange(swift.place(), Request("PUT", "wrong", headers=headers, body=b"x"))
        assert (status_of(refused.value), swift.content("wrong")) == (400, None)


class TestRefusals:
    def test_no_such_bucket(self, store: S3Server) -> None:
        place = S3Place("nowhere", "", store.url)
        with pytest.raises(SourceRefusedError, match="there is no such bucket"), source_failures(place):
            exchange(place, Request("GET", query={"list-type": "2"}))
        with pytest.raises(FolderUnusableError, match="there is no such bucket"), sink_failures(place):
            exchange(place, Request("PUT", "key", body=b"x"))

    def test_a_wrong_secret(self, swift: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
        place = S3Place(BUCKET, "", swift.url + "/")  # another address has another client
        with pytest.raises(FolderUnusableError, match="the secret key is wrong") as refused, sink_failures(place):
            exchange(place, Request("PUT", "key", body=b"x"))
        told = "".join(traceback.format_exception(refused.value))
        for secret in ("another-secret", SECRET_KEY, "StringToSign", "Signature="):
            assert secret not in told

    def test_no_credentials(self, swift: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        place = S3Place(BUCKET, "", swift.url + "//")
        with pytest.raises(FolderUnusableError, match="no credentials"), sink_failures(place):
            exchange(place, Request("GET", "key"))

    def test_a_clock_that_is_wrong(self, swift: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        now = botocore.auth.get_current_datetime()
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now.replace(year=now.year - 1))
        with pytest.raises(FolderUnusableError, match="clock"), sink_failures(swift.place()):
            exchange(swift.place(), Request("PUT", "key", body=b"x"))

    @pytest.mark.parametrize(
        ("status", "code", "words"),
        [
            (400, "ExpiredToken", "the credentials have expired"),
            (403, "AccessDenied", "these credentials may not do that"),
            (403, "RequestTimeTooSkewed", "clock"),
            (301, "PermanentRedirect", "another region"),
            (404, "NoSuchBucket", "there is no such bucket"),
        ],
    )
    def test_what_people_must_see_to_is_told_at_once(self, status: int, code: str, words: str) -> None:
        answer = refusal(status, code, "X-Amz-Signature=deadbeef")
        with ScriptedStore(answer).serving() as store:
            with pytest.raises(FolderUnusableError, match=words) as refused, sink_failures(store.place):
                ask(store)
            assert len(store.asked) == 1
        assert "deadbeef" not in "".join(traceback.format_exception(refused.value))

    @pytest.mark.parametrize("status", [400, 404, 409, 412, 416, 501, 507])
    def test_what_will_not_pass_is_not_tried_again(self, status: int) -> None:
        with ScriptedStore(refusal(status, "Some")).serving() as store:
            with pytest.raises(ClientError):
                ask(store)
            assert len(store.asked) == 1


class TestTryingAgain:
    @pytest.mark.parametrize(
        "failure",
        [
            refusal(503, "SlowDown"),
            refusal(500, "InternalError"),
            refusal(429, "TooManyRequests"),
            refusal(400, "RequestTimeout"),
            refusal(409, "ConditionalRequestConflict"),
            refusal(409, "OperationAborted"),
            Answer(drop=False),
            Answer(drop=True),
            Answer(status=502, body=b"<html>"),
            Answer(body=b"cont", headers={"Content-Length": "7"}, close=True),
        ],
        ids=lambda answer: f"{answer.status}-{answer.body[-40:-24]!r}-{answer.drop}",
    )
    @pytest.mark.parametrize("method", ["GET", "PUT"])
    def test_what_passes(self, failure: Answer, method: str) -> None:
        with ScriptedStore(failure, failure, OK).serving() as store:
            assert ask(store, method, body=b"sent" if method == "PUT" else b"") == b"content"
            assert len(store.asked) == 3
            assert store.asked[-1].body == (b"sent" if method == "PUT" else b"")

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (refusal(503, "SlowDown"), SourceBusyError),
            (Answer(drop=False), SourceInterruptedError),
            (Answer(body=b"cont", headers={"Content-Length": "7"}, close=True), SourceInterruptedError),
        ],
    )
    def test_not_for_ever(self, answer: Answer, kind: type[Exception]) -> None:
        with ScriptedStore(answer).serving() as store:
            with pytest.raises(kind), source_failures(store.place):
                ask(store)
            assert len(store.asked) == ATTEMPTS
        with pytest.raises(SinkError), sink_failures(store.place):
            ask(store)

    def test_pauses_grow_and_are_not_all_alike(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float] = []
        monkeypatch.setattr("transfers.engine.s3.exchange.time.sleep", pauses.append)
        monkeypatch.setattr("transfers.engine.s3.exchange.FIRST_PAUSE_SECONDS", 1.0)
        with ScriptedStore(refusal(503, "SlowDown")).serving() as store, pytest.raises(ClientError):
            ask(store)
        assert all(low / 2 <= pause <= low for low, pause in zip([1, 2, 4, 8, 16], pauses, strict=True))
        assert len({pause / low for low, pause in zip([1, 2, 4, 8, 16], pauses, strict=True)}) > 1

    def test_a_store_that_wants_to_be_left_alone_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses: list[float] = []
        monkeypatch.setattr("transfers.engine.s3.exchange.time.sleep", pauses.append)
        busy = Answer(status=503, headers={"Retry-After": "7"})
        with ScriptedStore(busy, OK).serving() as store:
            ask(store)
        assert pauses == [7]

    def test_nobody_waits_for_an_hour(self) -> None:
        busy = Answer(status=503, headers={"Retry-After": "3600"})
        began = time.monotonic()
        with ScriptedStore(busy).serving() as store:
            with pytest.raises(SourceBusyError) as raised, source_failures(store.place):
                ask(store)
            assert len(store.asked) == 1
        assert raised.value.retry_after_seconds == 3600
        assert time.monotonic() - began < PATIENCE_SECONDS

    def test_nobody_there(self) -> None:
        with ScriptedStore(OK).serving() as store:
            place = store.place
        with pytest.raises(FOREIGN):
            exchange(place, Request("GET", "key"))

    def test_a_certificate_that_is_not_trusted_is_told_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("transfers.engine.s3.exchange.time.sleep", lambda _: pytest.fail("it waits"))
        with ScriptedStore(OK).serving() as store:
            place = S3Place("bucket", "", store.place.endpoint_url.replace("http:", "https:"))
            with pytest.raises(FOREIGN) as raised:
                exchange(place, Request("GET", "key"))
        assert not isinstance(raised.value, ConnectionClosedError)


class TestAnswers:
    def test_the_body_goes_out_as_it_is_with_its_length(self) -> None:
        with ScriptedStore(OK).serving() as store:
            for body in (b"", b"x" * 100_000):
                ask(store, "PUT", body=body)
                assert (store.asked[-1].body, store.asked[-1].headers["Content-Length"]) == (body, str(len(body)))

    def test_bodies_are_not_signed_but_all_else_is(self) -> None:
        with ScriptedStore(OK).serving() as store:
            ask(store, "PUT", headers={"If-Match": '"e"', "Content-MD5": "x", "x-amz-meta-a": "b"}, body=b"x")
        sent = store.asked[0].headers
        assert sent["X-Amz-Content-SHA256"] == "UNSIGNED-PAYLOAD"
        for name in ("content-md5", "if-match", "x-amz-meta-a", "host", "x-amz-date"):
            assert name in sent["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")

    def test_what_is_not_told_is_a_failure_of_the_stores(self) -> None:
        with ScriptedStore(Answer()).serving() as store:
            answer = exchange(store.place, Request("GET", "key"))
            with pytest.raises(SinkError, match="without its ETag"), sink_failures(store.place):
                assert answer.etag
        with ScriptedStore(Answer(headers={"Content-Length": "0", "ETag": "e"})).serving() as store:
            assert exchange(store.place, Request("HEAD", "key")).size == 0
