"""Files that come together in the store from parts that come from outside."""

from __future__ import annotations

from collections.abc import Mapping

from transfers.engine.base import Collected, Reader, StoredPart
from transfers.engine.s3.client import S3Place, client
from transfers.engine.s3.failures import sink_failures
from transfers.engine.s3.parts import LengthDiffersError, send_part
from transfers.engine.s3.uploads import Target, abort_upload, begin_upload, complete_upload, list_parts, made_of
from transfers.errors import InvalidInputError, PartsDifferError, SinkError, UploadEndedError


class S3Collection:
    """A multipart upload of the store's, which alone knows what is stored of it.

    A part is stored whole or not at all, and one that is sent again takes the place of the first when all of it has
    come. The key must be this collection's alone: whoever completes another upload of it replaces the object.
    """

    def __init__(
        self, place: S3Place, key: str, upload_id: str = "", *, content_type: str = "application/octet-stream"
    ) -> None:
        self._target = Target(place, key, upload_id)
        self._content_type = content_type

    def begin(self, size: int | None) -> str:  # noqa: ARG002 - the store tells nobody how much it can hold
        """Begin the multipart upload, unless there is one, and tell its UploadId."""
        if not self._target.upload_id:
            self._target = begin_upload(self._target.place, self._target.key, self._content_type)
        return self._target.upload_id

    def stored_parts(self) -> dict[int, StoredPart]:
        """What the store lists; UploadEndedError when it has no such upload (any more)."""
        return list_parts(self._target) if self._target.upload_id else {}

    def write_part(self, number: int, reader: Reader, size: int | None, md5: str = "") -> StoredPart:
        """Send the reader's bytes to the store as they come; there must be just `size` of them.

        InvalidInputError without a size: S3 wants to know it before the first byte. A part whose size or MD5 turns out
        wrong, or whose reader fails, is cut off before its end and leaves the part as it was. Only when the connection
        breaks while the store's answer is awaited may either part be stored, and `stored_parts` tells which.
        """
        if size is None:
            raise InvalidInputError(
                {
                    "file": [
                        "Its size must be known beforehand: send it as the form's last field, with a Content-Length."
                    ]
                }
            )
        try:
            return send_part(self._target, number, reader, size, md5)
        except LengthDiffersError as error:
            raise InvalidInputError({"file": [f"{error.message}; in a form it must be the last field."]}) from error

    def complete(self, expected: Mapping[int, str]) -> Collected:
        """Have the store make the object; after a crash in between, the object itself shows that it was made.

        PartsDifferError when other parts are stored, InvalidInputError for parts that the store finds too small.
        """
        try:
            return self._complete(expected)
        except UploadEndedError:
            if (made := made_of(self._target, expected)) is not None:
                return made
            raise

    def abort(self) -> None:
        """Have the store forget the parts; an object that was made stays."""
        if self._target.upload_id:
            abort_upload(self._target)

    def presigned_part_url(self, number: int, seconds: int) -> str:
        """An address at the store itself where whoever has it may PUT this part, any size of it, for so long."""
        with sink_failures(self._target.place):
            return client(self._target.place).generate_presigned_url(
                "upload_part",
                Params={
                    "Bucket": self._target.place.bucket,
                    "Key": self._target.key,
                    "UploadId": self._target.upload_id,
                    "PartNumber": number,
                },
                ExpiresIn=seconds,
            )

    def _complete(self, expected: Mapping[int, str]) -> Collected:
        stored = self._stored_as(expected)
        try:
            complete_upload(self._target, expected)
        except SinkError:  # unless a part was replaced meanwhile, or the object was made and only the answer lost
            self._stored_as(expected)
            raise
        return Collected(self._target.key, sum(part.size for part in stored.values()))

    def _stored_as(self, expected: Mapping[int, str]) -> dict[int, StoredPart]:
        """What is stored, if just these parts are."""
        stored = self.stored_parts()
        if differing := PartsDifferError.between(expected, {number: part.etag for number, part in stored.items()}):
            raise differing
        return stored
