"""Objects at rest in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http import HTTPStatus

from botocore.exceptions import ClientError

from transfers.engine.s3.client import S3Place, client, streaming_client
from transfers.engine.s3.etags import checksum_of_object, plain_etag, unquoted
from transfers.engine.s3.exchange import Answer, Request, exchange
from transfers.engine.s3.failures import is_gone, sink_failures, status_of
from transfers.engine.tree.base import Checksum


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What the store tells of an object."""

    size: int
    """Bytes."""
    version: str
    """Its ETag without quotes."""
    content_type: str
    metadata: Mapping[str, str]
    """What was given with it, by name in lower case."""
    checksum: Checksum | None
    """What its bytes must have; None where nothing tells."""

    @property
    def etag(self) -> str:
        """Its ETag without quotes, in lower case."""
        return plain_etag(self.version)


def require_bucket(place: S3Place) -> None:
    """Nothing, when the store answers and the bucket may be used; SinkError when not. One request, asked once."""
    with sink_failures(place):
        streaming_client(place).head_bucket(Bucket=place.bucket)


def find_object(
    place: S3Place, key: str, failures: Callable[[S3Place], AbstractContextManager[None]] = sink_failures
) -> ObjectInfo | None:
    """The object with this key; None when there is none. What goes wrong is told as `failures` does."""
    with failures(place):
        try:
            head = exchange(place, Request("HEAD", key))
        except ClientError as error:
            if is_gone(error):
                return None
            raise
        return object_info(head, head.size)


def object_info(answer: Answer, size: int) -> ObjectInfo:
    """What an answer tells of the object of so many bytes; KeyError for one that tells too little."""
    metadata, etag = answer.metadata, answer.headers["ETag"]
    checksum = checksum_of_object(etag, size, answer.headers, metadata)
    return ObjectInfo(size, unquoted(etag), answer.headers.get("Content-Type", ""), metadata, checksum)


def delete_object(place: S3Place, key: str) -> None:
    """Remove the object; none there is fine. Any SinkError."""
    with sink_failures(place):
        try:
            exchange(place, Request("DELETE", key))
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
