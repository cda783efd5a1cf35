"""Objects at rest in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from botocore.exceptions import ClientError

from transfers.engine.s3.client import S3Place, client
from transfers.engine.s3.failures import sink_failures, status_of


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What the store tells of an object."""

    size: int
    """Bytes."""
    etag: str
    """Without quotes, in lower case."""
    content_type: str
    metadata: Mapping[str, str]
    """What was given with it, by name in lower case."""


def find_object(place: S3Place, key: str) -> ObjectInfo | None:
    """The object with this key; None when there is none. Any SinkError."""
    with sink_failures(place):
        try:
            head = client(place).head_object(Bucket=place.bucket, Key=key)
        except ClientError as error:
            if status_of(error) == HTTPStatus.NOT_FOUND:
                return None
            raise
        metadata = {name.lower(): value for name, value in head.get("Metadata", {}).items()}
        return ObjectInfo(head["ContentLength"], plain_etag(head["ETag"]), head.get("ContentType", ""), metadata)


def delete_object(place: S3Place, key: str) -> None:
    """Remove the object; none there is fine. Any SinkError."""
    with sink_failures(place):
        try:
            client(place).delete_object(Bucket=place.bucket, Key=key)
        except ClientError as error:
            if status_of(error) != HTTPStatus.NOT_FOUND:
                raise


def presigned_content_url(place: S3Place, key: str, seconds: int, *, disposition: str, content_type: str) -> str:
    """An address at the store itself where whoever has it may GET the object, for so long.

    The answer has these as its Content-Disposition and Content-Type. No request is made.
    """
    with sink_failures(place):
        return client(place).generate_presigned_url(
            "get_object",
            Params={
                "Bucket": place.bucket,
                "Key": key,
                "ResponseContentDisposition": disposition,
                "ResponseContentType": content_type,
            },
            ExpiresIn=seconds,
        )


def plain_etag(etag: str) -> str:
    """An ETag without its quotes, in lower case; the MD5 of a part, as stores have it."""
    return etag.strip('"').lower()
