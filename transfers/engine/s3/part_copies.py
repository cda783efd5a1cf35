"""Parts that the store takes from an object it has already: no byte of them comes here."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from botocore.exceptions import ClientError

from transfers.engine.base import ObjectRange, StoredPart
from transfers.engine.s3.client import S3Place, client
from transfers.engine.s3.etags import plain_etag, quoted
from transfers.engine.s3.failures import FOREIGN, MIN_PART_BYTES, knows_no_condition, sink_failure, status_of
from transfers.engine.s3.objects import find_object
from transfers.engine.s3.uploads import Target, abort_upload, begin_upload, list_parts

_able: set[S3Place] = set()
_unable: set[S3Place] = set()
"""Stores that can and cannot, as was found out; remembered for as long as the process lasts."""


class _UnableError(Exception):
    """The store does not do what was asked, whatever it did instead."""


def forget_stores() -> None:
    """Find out anew what stores can do."""
    _able.clear()
    _unable.clear()


def copy_part(target: Target, number: int, wanted: ObjectRange) -> StoredPart | None:
    """Have the store take the part from where it lies; None where it must be read and sent instead.

    So it must wherever the store will not, for whatever reason: the reader then finds out whether the object is still
    the one it was. Nothing is taken on trust. Some stores ignore the range or the condition, or take all for a part of
    no bytes: what they took shows by its size, and what they took it from by another look. Any SinkError when the store
    fails.
    """
    place = target.place
    if wanted.end - wanted.offset < MIN_PART_BYTES or place in _unable:
        return None
    if (wanted.endpoint_url, wanted.region) != (place.endpoint_url, place.region):
        return None
    try:
        return _copied(target, number, wanted) if _is_able(target, wanted) else None
    except _UnableError:
        _unable.add(place)
        return None


def _is_able(target: Target, wanted: ObjectRange) -> bool:
    """Whether the store copies parts as Amazon's does, found out in an upload of its own.

    A part that came out wrong can be replaced at most stores, but not at all (rclone).
    """
    place = target.place
    if place not in _able and place.endpoint_url:
        trial = begin_upload(place, target.key, "application/octet-stream")
        try:
            if _copied(trial, 1, replace(wanted, end=wanted.offset + MIN_PART_BYTES)) is None:
                return False  # the object may be another by now, which tells nothing of the store
        finally:
            abort_upload(trial)
        _able.add(place)
    return True


def _copied(target: Target, number: int, wanted: ObjectRange) -> StoredPart | None:
    etag = _copy(target, number, wanted)
    if etag is None:
        return None
    size = wanted.end - wanted.offset
    stored = list_parts(target, only=number).get(number)
    if stored is None or (stored.size, stored.etag) != (size, etag):
        raise _UnableError
    origin = find_object(S3Place(wanted.bucket, "", wanted.endpoint_url, wanted.region), wanted.key)
    if origin is None or origin.version != wanted.etag:
        return None
    return StoredPart(number, size, etag, copied=True)


def _copy(target: Target, number: int, wanted: ObjectRange) -> str | None:
    """The ETag of the part that the store made; None when it refuses."""
    try:
        answer = client(target.place).upload_part_copy(
            Bucket=target.place.bucket,
            Key=target.key,
            UploadId=target.upload_id,
            PartNumber=number,
            CopySource={"Bucket": wanted.bucket, "Key": wanted.key},
            CopySourceIfMatch=quoted(wanted.etag),
            CopySourceRange=f"bytes={wanted.offset}-{wanted.end - 1}",
        )
        return plain_etag(answer["CopyPartResult"]["ETag"])
    except FOREIGN as error:
        if isinstance(error, KeyError) or (isinstance(error, ClientError) and knows_no_condition(error)):
            raise _UnableError from None
        if isinstance(error, ClientError) and _refuses(error):
            return None
        raise sink_failure(error, target.place) from None


def _refuses(error: ClientError) -> bool:
    return HTTPStatus.BAD_REQUEST <= status_of(error) < HTTPStatus.INTERNAL_SERVER_ERROR
