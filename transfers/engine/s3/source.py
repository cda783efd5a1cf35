"""An object in the store, as a source of the engine.

Nothing is taken on trust: a store that ignores `If-Match` or `Range` is found out by what its answer says it is.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Self

from botocore.exceptions import ClientError

from transfers.engine.base import ObjectRange, Reader, SourceInfo, Validator, ValidatorKind
from transfers.engine.s3.client import S3Place, client
from transfers.engine.s3.etags import unquoted
from transfers.engine.s3.failures import FOREIGN, is_gone, source_failure, source_failures
from transfers.errors import (
    RangesContradictError,
    SourceChangedError,
    SourceError,
    SourceInterruptedError,
    SourceProtocolError,
)

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import GetObjectOutputTypeDef
    from urllib3 import BaseHTTPResponse

READ_BYTES = 2**18
"""Most bytes taken from the connection at once."""


class S3Source:
    """An object to read; one with another ETag is another object. `abort` may come from any thread.

    With `expected` it is that object and no other: nothing need be asked before it is opened.
    """

    def __init__(self, place: S3Place, key: str, expected: SourceInfo | None = None) -> None:
        self._place = place
        self._key = key
        self._expected = expected
        self._info = expected
        self._readers: set[S3Reader] = set()
        self._lock = threading.Lock()
        self._aborted = False

    def stat(self) -> SourceInfo:
        """Ask for the object's size and ETag. Any SourceError."""
        self._fail_if_aborted()
        with self._failures():
            head = client(self._place).head_object(Bucket=self._place.bucket, Key=self._key)
            validator = Validator(ValidatorKind.ETAG, head["ETag"])
            info = SourceInfo(head["ContentLength"], validator, ranges=True)
        expected = self._expected or info
        if (info.size, info.validator) != (expected.size, expected.validator):
            raise SourceChangedError(f"the object in {self._place} was replaced")
        if content_type := head.get("ContentType"):
            info = dataclasses.replace(info, content_type=content_type)
        self._info = info
        return info

    def open(self, offset: int, end: int | None) -> AbstractContextManager[Reader]:
        """Open the bytes from `offset` up to before `end` (None: to the end) of the object that was described.

        SourceChangedError when it is no longer that one, and any other SourceError.
        """
        self._fail_if_aborted()
        info = self._info or self.stat()
        size = info.size or 0
        end = size if end is None else end
        if end > size:
            raise SourceProtocolError(f"the object has {size} bytes, not {end}")
        if offset >= end:
            return EmptyReader()
        reader = S3Reader(self, self._get(info, offset, end), end - offset)
        with self._lock:
            self._readers.add(reader)
            if self._aborted:
                reader.end()
        return reader

    def stored_at(self, offset: int, end: int) -> ObjectRange | None:
        """These bytes of the object that was described; None when none was."""
        if self._info is None or self._info.validator is None:
            return None
        etag, place = unquoted(self._info.validator.value), self._place
        return ObjectRange(place.bucket, self._key, etag, offset, end, place.endpoint_url, place.region)

    def abort(self) -> None:
        """Make every open reader fail soon and every later call at once; from any thread, any number of times.

        Who waits for an answer to begin waits on until it comes, or for its time-out.
        """
        with self._lock:
            self._aborted = True
            for reader in self._readers:
                reader.end()

    def forget(self, reader: S3Reader) -> None:
        """Note that the reader is closed: its connection may be another's by now."""
        with self._lock:
            self._readers.discard(reader)

    def failure(self, error: BaseException) -> SourceError:
        """What an exception while reading means."""
        if self._aborted:
            return SourceInterruptedError("the transfer was told to end")
        return source_failure(error, self._place)

    def _fail_if_aborted(self) -> None:
        if self._aborted:
            raise SourceInterruptedError("the transfer was told to end")

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Tell what goes wrong as what it means; an object that is expected, and not there, was there."""
        with source_failures(self._place):
            try:
                yield
            except ClientError as error:
                if self._expected is None or not is_gone(error):
                    raise
                raise SourceChangedError(f"the object was removed from {self._place}") from None

    def _get(self, info: SourceInfo, offset: int, end: int) -> BaseHTTPResponse:
        etag = info.validator.value if info.validator else ""
        wanted = f"bytes {offset}-{end - 1}/{info.size}"
        with self._failures():
            answer = client(self._place).get_object(
                Bucket=self._place.bucket, Key=self._key, IfMatch=etag, Range=f"bytes={offset}-{end - 1}"
            )
        body: BaseHTTPResponse = answer["Body"]._raw_stream  # noqa: SLF001 - its own methods only fill whole buffers
        failure = self._contradiction(answer, etag, wanted)
        if failure is not None:
            body.close()
            raise failure
        return body

    def _contradiction(self, answer: GetObjectOutputTypeDef, etag: str, wanted: str) -> SourceError | None:
        if answer.get("ETag") != etag:
            return SourceChangedError(f"the object in {self._place} was replaced")
        if answer.get("ContentRange", "") != wanted:
            return RangesContradictError(f"{self._place} sends another range than the one that was asked for")
        return None


class EmptyReader:
    """No bytes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def readinto(self, _: memoryview, /) -> int:
        """Nothing, at once."""
        return 0


class S3Reader:
    """The body of an answer, of `size` bytes; a context manager that lets go of the connection."""

    def __init__(self, source: S3Source, body: BaseHTTPResponse, size: int) -> None:
        self._source = source
        self._body = body
        self._size = self._left = size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.forget(self)
        if self._left:
            self._body.close()
        else:
            self._body.drain_conn()  # nothing is left: the connection goes back to the pool

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the start of the buffer with what is there, waiting for at least a byte; 0 only at the end.

        SourceInterruptedError when fewer bytes come than were opened.
        """
        wanted = min(len(buffer), self._left, READ_BYTES)
        if not wanted:
            return 0
        try:
            chunk = self._body.read1(wanted)
        except FOREIGN as error:
            raise self._source.failure(error) from None
        if not chunk:
            raise SourceInterruptedError(f"the connection ended after {self._size - self._left} of {self._size} bytes")
        buffer[: len(chunk)] = chunk
        self._left -= len(chunk)
        return len(chunk)

    def end(self) -> None:
        """Break the connection: whoever reads from it fails at once."""
        with suppress(ValueError, RuntimeError, OSError):  # it is closed already
            self._body.shutdown()
