"""A part on its way into the store: read once, sent as it is read, and hashed on the way."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from transfers.engine.base import Reader, StoredPart, promised_md5
from transfers.engine.plan import MAX_PARTS
from transfers.engine.s3.client import ATTEMPTS, streaming_client
from transfers.engine.s3.etags import plain_etag
from transfers.engine.s3.failures import FOREIGN, sink_failure
from transfers.engine.s3.uploads import Target
from transfers.errors import PartChecksumError, SinkError

PIECE_BYTES = 2**18
"""Bytes sent at once: larger ones are no faster, and each must get away within the connection's time-out."""


class LengthDiffersError(SinkError):
    """A reader had another number of bytes than was told to the store before the first of them."""


class PartBody:
    """The bytes of a part as boto3 sends them: whatever is there, at once, so that the store never waits for long.

    The last piece is held back until the reader has ended just there and the MD5 is the promised one. What does not fit
    is cut off before the store has all of it, and of a part that is cut off a store keeps nothing.
    """

    def __init__(self, reader: Reader, size: int, md5: str = "") -> None:
        self.size = size
        self.failure: BaseException | None = None
        """What ended the reading too early."""
        self._reader = reader
        self._expected_md5 = md5.lower()
        self._hash = hashlib.md5(usedforsecurity=False)
        self._buffer = memoryview(bytearray(min(PIECE_BYTES, size)))
        self._position = 0
        self._pieces = 0
        self._first = self._buffer[:0]
        self._is_due_again = False

    @property
    def md5(self) -> str:
        """Of all that was read, as hex."""
        return self._hash.hexdigest()

    def read(self, _size: int = -1) -> memoryview:
        """The next piece, of any size, valid until the next call; an empty one at the end."""
        if self._is_due_again:
            self._is_due_again = False
            return self._first
        try:
            return self._next()
        except BaseException as error:
            self.failure = error
            raise

    def rewind(self) -> bool:
        """Begin again from the first byte, if all that was read is still at hand."""
        if self._pieces > 1 or self.failure is not None:
            return False
        self._is_due_again = self._pieces == 1
        return True

    def check_end(self) -> None:
        """Raise unless the reader ends here, with the promised MD5; a part of no bytes is whole before its body."""
        if self._reader.readinto(memoryview(bytearray(1))):
            raise LengthDiffersError(f"the part has more than the {self.size} bytes that were told")
        expected = self._expected_md5 or promised_md5(self._reader)
        if expected not in ("", self.md5):
            raise PartChecksumError(f"The part has the MD5 {self.md5}, not the {expected} that was told.")

    def _next(self) -> memoryview:
        left = self.size - self._position
        if not left:
            return self._buffer[:0]
        count = self._reader.readinto(self._buffer[:left])
        self._position += count
        if not count:
            raise LengthDiffersError(f"the part has {self._position} bytes instead of the {self.size} that were told")
        self._hash.update(self._buffer[:count])
        if count == left:
            self.check_end()
        self._pieces += 1
        if self._pieces == 1:
            self._first = self._buffer[:count]
        return self._buffer[:count]


def send_part(target: Target, number: int, reader: Reader, size: int, md5: str = "") -> StoredPart:
    """Store the reader's `size` bytes as this part, and tell what the store says it has.

    With `md5`, as hex, other bytes are refused (PartChecksumError). Whatever goes wrong before the last piece leaves
    the part as it was; what goes wrong after it (the answer is lost) leaves one of the two, whole. LengthDiffersError,
    UploadEndedError, and any other SinkError.
    """
    if not 1 <= number <= MAX_PARTS:
        raise ValueError(f"part {number} is not among 1 to {MAX_PARTS}")
    body = PartBody(reader, size, md5)
    if not size:
        body.check_end()
    etag = _send(target, number, body, base64.b64encode(bytes.fromhex(md5)).decode())
    if etag != body.md5:
        # Nothing can be taken back, but its ETag tells the part for what it is, and nobody completes a file of it.
        raise SinkError(
            f"{target.place} stored part {number} with an ETag that is not the MD5 of its bytes: they were changed on"
            " their way, or the store makes its ETags otherwise (as with SSE-KMS), which is not supported"
        )
    return StoredPart(number, size, etag)


def _send(target: Target, number: int, body: PartBody, content_md5: str) -> str:
    """Send the part; its ETag. Once more on another connection if one breaks (a kept one does) as it begins."""
    headers: dict[str, Any] = {"ContentMD5": content_md5} if content_md5 else {}
    attempts = 0
    while True:
        attempts += 1
        try:
            answer = streaming_client(target.place).upload_part(
                Bucket=target.place.bucket,
                Key=target.key,
                UploadId=target.upload_id,
                PartNumber=number,
                Body=body,
                ContentLength=body.size,
                **headers,
            )
            return plain_etag(answer["ETag"])
        except FOREIGN as error:
            if body.failure is not None:
                raise body.failure from None
            begun_in_vain = isinstance(error, (ConnectionClosedError, EndpointConnectionError)) and body.rewind()
            if attempts == ATTEMPTS or not begun_in_vain:
                raise sink_failure(error, target.place) from None
