"""Parts that the store takes from an object it has already: no byte of them comes here."""

from __future__ import annotations

from http import HTTPStatus

from botocore.exceptions import ClientError

from transfers.engine.base import ObjectRange, StoredPart
from transfers.engine.s3.client import S3Place, client
from transfers.engine.s3.etags import plain_etag, quoted
from transfers.engine.s3.failures import FOREIGN, MIN_PART_BYTES, knows_no_condition, sink_failure, status_of
from transfers.engine.s3.objects import find_object
from transfers.engine.s3.uploads import Target, list_parts

_unable: set[S3Place] = set()
"""Stores that cannot, as was found out; remembered for as long as the process lasts."""


def forget_stores() -> None:
    """Find out anew what stores can do."""
    _unable.clear()


def copy_part(target: Target, number: int, wanted: ObjectRange) -> StoredPart | None:
    """Have the store take the part from where it lies; None where it must be read and sent instead.

    So it must wherever the store will not, for whatever reason: the reader then finds out whether the object is still
    the one it was. Nothing is taken on trust. Some stores ignore the range or the condition: what they took shows by
    its size, and what they took it from by another look. Any SinkError when the store fails.
    """
    size, place = wanted.end - wanted.offset, target.place
    if size < MIN_PART_BYTES or place in _unable:
        return None
    if (wanted.endpoint_url, wanted.region) != (place.endpoint_url, place.region):
        return None
    etag = _copy(target, number, wanted)
    if etag is None:
        return None
    stored = list_parts(target, only=number).get(number)
    if stored is None or (stored.size, stored.etag) != (size, etag):
        _unable.add(place)
        return None
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
        if isinstance(error, ClientError) and _refuses(error):
            if knows_no_condition(error):
                _unable.add(target.place)
            return None
        raise sink_failure(error, target.place) from None


def _refuses(error: ClientError) -> bool:
    status = status_of(error)
    return HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.NOT_IMPLEMENTED
