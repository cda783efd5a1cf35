"""Every failure of the store's, in our words and without anybody's secrets."""

from __future__ import annotations

import http.client
import inspect
import traceback

import pytest
import urllib3.exceptions
from botocore import exceptions as boto

from tests.conformance.sinks import FailingReader
from tests.s3 import SECRET_KEY, Answer, S3Server, ScriptedStore
from tests.s3.scripted import refusal
from transfers.engine.s3 import S3Collection, S3Place, S3Source, delete_object
from transfers.engine.s3.failures import FOREIGN, sink_failure, source_failure
from transfers.errors import (
    CarryonError,
    ChangedElsewhereError,
    FolderUnusableError,
    InvalidInputError,
    OutOfSpaceError,
    SinkError,
    SourceBusyError,
    SourceChangedError,
    SourceError,
    SourceGoneError,
    SourceInterruptedError,
    SourceProtocolError,
    SourceRefusedError,
    SourceUnreachableError,
    TooLargeError,
    TransferError,
    UploadEndedError,
)

pytestmark = pytest.mark.usefixtures("s3_credentials")

SECRET = "X-Amz-Signature=deadbeef&uploadId=secret"
PLACE = S3Place("bucket", "prefix", f"https://user:{SECRET_KEY}@store.example:9000/path?{SECRET}")


def answer(status: int, code: str) -> boto.ClientError:
    """What botocore makes of a refusal."""
    response = {
        "Error": {"Code": code, "Message": SECRET, "StringToSign": SECRET},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return boto.ClientError(response, "UploadPart")


def library_failures() -> list[BaseException]:
    """One of every exception that botocore has, with a secret wherever it takes a word."""

    class Words(dict[str, object]):
        def __missing__(self, key: str) -> str:
            return SECRET

    found: list[BaseException] = []
    for kind in vars(boto).values():
        if inspect.isclass(kind) and issubclass(kind, boto.BotoCoreError):
            error = kind.__new__(kind)
            Exception.__init__(error, kind.fmt.format_map(Words(error=SECRET)) if "{" in kind.fmt else SECRET)
            found.append(error)
    return [
        *found,
        urllib3.exceptions.ProtocolError(SECRET),
        urllib3.exceptions.ReadTimeoutError(None, SECRET, SECRET),  # type: ignore[arg-type]
        http.client.IncompleteRead(SECRET.encode()),
        ConnectionResetError(SECRET),
        TimeoutError(SECRET),
        KeyError("UploadId"),
    ]


@pytest.mark.parametrize("error", library_failures(), ids=lambda error: type(error).__name__)
class TestEveryFailureOfTheLibrary:
    def test_is_known_as_foreign(self, error: BaseException) -> None:
        assert isinstance(error, FOREIGN)

    def test_is_one_of_ours_and_tells_no_secret(self, error: BaseException) -> None:
        for ours in (sink_failure(error, PLACE), source_failure(error, PLACE)):
            assert isinstance(ours, (SinkError, SourceError))
            assert "bucket bucket at store.example:9000" in ours.message
            assert not {SECRET, SECRET_KEY} & set(ours.message.split())
            assert SECRET not in ours.message
            assert SECRET_KEY not in ours.message


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchUpload", UploadEndedError),
        (404, "NoSuchBucket", FolderUnusableError),
        (403, "AccessDenied", FolderUnusableError),
        (403, "SignatureDoesNotMatch", FolderUnusableError),
        (403, "InvalidAccessKeyId", FolderUnusableError),
        (301, "PermanentRedirect", FolderUnusableError),
        (400, "ExpiredToken", FolderUnusableError),
        (403, "RequestTimeTooSkewed", FolderUnusableError),
        (412, "PreconditionFailed", ChangedElsewhereError),
        (400, "EntityTooSmall", InvalidInputError),
        (400, "EntityTooLarge", TooLargeError),
        (400, "BadDigest", SinkError),
        (400, "InvalidPart", SinkError),
        (403, "QuotaExceeded", OutOfSpaceError),
        (507, "XMinioStorageFull", OutOfSpaceError),
        (507, "InsufficientStorage", OutOfSpaceError),
        (503, "SlowDown", SinkError),
        (500, "InternalError", SinkError),
        (501, "NotImplemented", SinkError),
        (400, SECRET, SinkError),
        (0, "", SinkError),
    ],
)
def test_what_a_refusal_of_bytes_means(status: int, code: str, kind: type[CarryonError]) -> None:
    failure = sink_failure(answer(status, code), PLACE)
    assert type(failure) is kind
    assert SECRET not in failure.message


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", SourceGoneError),
        (404, "404", SourceGoneError),
        (404, "NoSuchBucket", SourceRefusedError),
        (403, "AccessDenied", SourceRefusedError),
        (412, "PreconditionFailed", SourceChangedError),
        (416, "InvalidRange", SourceChangedError),
        (503, "SlowDown", SourceBusyError),
        (429, "TooManyRequests", SourceBusyError),
        (400, "RequestTimeout", SourceBusyError),
        (409, "OperationAborted", SourceBusyError),
        (400, "ExpiredToken", SourceRefusedError),
        (500, "InternalError", SourceBusyError),
    ],
)
def test_what_a_refusal_to_give_bytes_means(status: int, code: str, kind: type[SourceError]) -> None:
    assert type(source_failure(answer(status, code), PLACE)) is kind


def test_the_code_is_told_and_a_status_in_its_place_is_not() -> None:
    assert sink_failure(answer(503, "SlowDown"), PLACE).message.endswith("answers SlowDown (HTTP 503)")
    assert source_failure(answer(404, "404"), PLACE).message.endswith("answers (HTTP 404)")


def test_parts_that_are_too_small_are_told_how_large_they_must_be() -> None:
    failure = sink_failure(answer(400, "EntityTooSmall"), PLACE)
    assert isinstance(failure, InvalidInputError)
    assert "5242880 bytes (5 MiB)" in failure.errors["parts"][0]


class TestAtAStore:
    def test_nobody_there(self, unused_place: S3Place) -> None:
        with pytest.raises(SinkError, match="cannot be reached"):
            S3Collection(unused_place, "key").begin(None)
        with pytest.raises(SourceUnreachableError):
            S3Source(unused_place, "key").stat()

    @pytest.fixture
    def unused_place(self) -> S3Place:
        with ScriptedStore(Answer()).serving() as store:
            return store.place

    def test_a_wrong_secret(self, swift: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
        place = S3Place(swift.place().bucket, "", swift.url + "/")  # another address has another client
        with pytest.raises(FolderUnusableError, match=r"SignatureDoesNotMatch \(HTTP 403\)") as refused:
            S3Collection(place, "key").begin(None)
        told = "".join(traceback.format_exception(refused.value))
        for secret in ("another-secret", "StringToSign", "Signature="):
            assert secret not in told

    def test_no_credentials(self, swift: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        place = S3Place(swift.place().bucket, "", swift.url + "//")
        with pytest.raises(FolderUnusableError, match="no credentials"):
            S3Collection(place, "key").begin(None)

    def test_no_such_bucket(self, store: S3Server) -> None:
        place = S3Place("nowhere", "", store.url)
        with pytest.raises(FolderUnusableError, match="NoSuchBucket"):
            S3Collection(place, "key").begin(None)

    def test_what_can_be_asked_again_is(self) -> None:
        busy = refusal(503, "SlowDown")
        with ScriptedStore(busy, busy, Answer(status=204)).serving() as store:
            delete_object(store.place, "key")
        assert len(store.asked) == 3

    def test_a_success_with_a_failure_in_it(self) -> None:
        parts = (
            b"<ListPartsResult><Part><PartNumber>1</PartNumber><ETag>e</ETag><Size>1</Size></Part></ListPartsResult>"
        )
        failed = refusal(200, "InternalError")
        store = ScriptedStore(Answer(body=parts), failed, failed, failed)
        with store.serving(), pytest.raises(SinkError, match="InternalError"):
            S3Collection(store.place, "key", "upload").complete({1: "e"})

    def test_an_answer_that_is_not_of_s3(self) -> None:
        store = ScriptedStore(Answer(body=b"<html>Welcome!</html", headers={"Content-Type": "text/html"}))
        with store.serving(), pytest.raises(SinkError):
            S3Collection(store.place, "key", "upload").stored_parts()

    def test_an_answer_with_nothing_in_it(self) -> None:
        with ScriptedStore(Answer()).serving() as store:
            collection = S3Collection(store.place, "key", "upload")
            assert collection.stored_parts() == {}
            with pytest.raises(SinkError, match="without its ETag"):
                collection.write_part(1, FailingReader(b"x"), 1)
            with pytest.raises(SinkError, match="without its UploadId"):
                S3Collection(store.place, "key").begin(None)
            with pytest.raises(SourceProtocolError, match="without its ETag"):
                S3Source(store.place, "key").stat()

    def test_a_reader_that_fails_comes_through_as_it_is(self) -> None:
        failure = SourceInterruptedError("the line went dead")
        with ScriptedStore(Answer()).serving() as store, pytest.raises(SourceInterruptedError) as raised:
            S3Collection(store.place, "key", "upload").write_part(1, FailingReader(b"x", failure), 10)
        assert raised.value is failure


@pytest.mark.parametrize(
    ("error", "is_for_all"),
    [
        (answer(403, "InvalidAccessKeyId"), True),
        (answer(403, "SignatureDoesNotMatch"), True),
        (answer(403, "RequestTimeTooSkewed"), True),
        (answer(400, "ExpiredToken"), True),
        (answer(404, "NoSuchBucket"), True),
        (boto.NoCredentialsError(), True),
        (answer(403, "AccessDenied"), False),
        (answer(403, "InvalidObjectState"), False),
        (answer(404, "NoSuchKey"), False),
    ],
    ids=str,
)
def test_what_is_said_to_whatever_is_asked(error: BaseException, *, is_for_all: bool) -> None:
    """A key that expires in the midst of 100,000 files is one failure."""
    for failure in (sink_failure(error, PLACE), source_failure(error, PLACE)):
        assert isinstance(failure, TransferError)
        assert failure.is_for_all == is_for_all
