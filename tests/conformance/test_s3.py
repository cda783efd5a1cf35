from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conformance.durable_sinks import DurableSuite
from tests.conformance.sinks import SinkSuite
from tests.conformance.sources import AbortSuite, ShorteningSuite, SourceSuite, VanishingSuite
from tests.origin import Behaviour, Origin
from tests.s3 import BUCKET, S3Server
from transfers.engine.s3 import S3Place, S3Sink, S3Source


class S3Object:
    def __init__(self, store: S3Server) -> None:
        self._store = store
        self._plain = store.plain
        self._key = store.new_key()

    def put(self, content: bytes) -> None:
        self._plain.put_object(Bucket=BUCKET, Key=self._key, Body=content)

    def remove(self) -> None:
        self._plain.delete_object(Bucket=BUCKET, Key=self._key)

    def source(self) -> S3Source:
        return S3Source(self._store.place(), self._key)


class TestS3Source(SourceSuite, VanishingSuite):
    @pytest.fixture
    def place(self, store: S3Server) -> S3Object:
        return S3Object(store)


class OriginObject:
    """An object as a web server has it, one that can hold its bytes back."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._origin.add("/bucket/file")

    def put(self, content: bytes) -> None:
        self._origin.replace("/bucket/file", content)

    def shorten(self, size: int) -> Callable[[], None]:
        gate = self._origin.gate("/bucket/file", size)

        def end() -> None:
            gate.wait()
            self._origin.cut()

        return end

    def hold(self, at: int) -> Callable[[], None]:
        return self._origin.gate("/bucket/file", at).wait

    def remove(self) -> None:
        self._origin.behave("/bucket/file", Behaviour(status=404))

    def source(self) -> S3Source:
        return S3Source(S3Place("bucket", "", self._origin.url("")), "file")


@pytest.mark.usefixtures("s3_credentials")
class TestS3SourceAtAWebServer(SourceSuite, ShorteningSuite, VanishingSuite, AbortSuite):
    @pytest.fixture
    def place(self) -> Iterator[OriginObject]:
        with Origin() as origin:
            yield OriginObject(origin)


class S3Bucket:
    """Notes the upload's id of each generation, as the owner of a sink does."""

    def __init__(self, store: S3Server) -> None:
        self._store = store
        self._key = store.new_key()
        self._sinks: dict[str, S3Sink] = {}

    def sink(self, generation: str = "first") -> S3Sink:
        before = self._sinks.get(generation)
        upload_id = before.upload_id if before else ""
        sink = S3Sink(self._store.place(), self._key, generation=generation, upload_id=upload_id)
        self._sinks[generation] = sink
        return sink

    def content(self) -> bytes | None:
        return self._store.content(self._key)

    def close(self) -> None:
        """Nothing is open."""


class TestS3SinkAtSwift(SinkSuite, DurableSuite):
    @pytest.fixture
    def new_place(self, swift: S3Server) -> Callable[[], S3Bucket]:
        return lambda: S3Bucket(swift)

    @pytest.mark.long  # half a minute for what rclone shows in three seconds
    def test_any_course_of_failures_ends_in_the_right_bytes(self, new_place: Callable[[], S3Bucket]) -> None:
        super().test_any_course_of_failures_ends_in_the_right_bytes(new_place)

    @pytest.mark.long
    def test_any_course_of_crashes_ends_in_the_right_bytes(self, new_place: Callable[[], S3Bucket]) -> None:
        super().test_any_course_of_crashes_ends_in_the_right_bytes(new_place)


class TestS3SinkAtRclone(SinkSuite, DurableSuite):
    @pytest.fixture
    def new_place(self, rclone: S3Server) -> Callable[[], S3Bucket]:
        return lambda: S3Bucket(rclone)

    # It keeps what came of a part that was cut off, and takes no other bytes for that part any more (501).
    test_a_reader_that_gives_too_little_or_too_much_never_passes_for_a_part = None
