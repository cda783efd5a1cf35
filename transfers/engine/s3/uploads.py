"""Uploads that are not finished: begun, listed, completed and forgotten in the store, which alone remembers them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Collection as Keys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError

from transfers.engine.base import Collected, StoredPart
from transfers.engine.s3.client import S3Place, client
from transfers.engine.s3.etags import plain_etag, unquoted
from transfers.engine.s3.failures import code_of, knows_no_condition, sink_failures
from transfers.engine.s3.objects import find_object
from transfers.errors import FolderUnusableError

UPLOADS_PER_PAGE = PARTS_PER_PAGE = 1000
"""The most that S3 lists at once."""
_GONE = ("NoSuchUpload", "NoSuchKey")
"""What stores answer to an abort of what is aborted, or complete."""

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import CompletedPartTypeDef


@dataclass(frozen=True, slots=True)
class Target:
    """An upload in the store: parts of it are being collected, or were."""

    place: S3Place
    key: str
    upload_id: str


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """A multipart upload in the store that was neither completed nor aborted."""

    key: str
    upload_id: str
    initiated: datetime


class _Marker(NamedTuple):
    """A place in the list of unfinished uploads."""

    key: str
    upload_id: str


def begin_upload(place: S3Place, key: str, content_type: str, metadata: Mapping[str, str] | None = None) -> Target:
    """Begin an upload of the object with this key; FolderUnusableError and any other SinkError."""
    with sink_failures(place):
        answer = client(place).create_multipart_upload(
            Bucket=place.bucket, Key=key, ContentType=content_type, Metadata=dict(metadata or {})
        )
        return Target(place, key, answer["UploadId"])


def list_parts(target: Target, only: int = 0) -> dict[int, StoredPart]:
    """Every part that the store has, by number, in order; UploadEndedError when it has no such upload.

    With `only` no other part than the one with this number is asked for, though another may be told: what the marker
    means is the store's own affair (rclone: the first part to come, all others: the last that came).
    """
    stored: dict[int, StoredPart] = {}
    marker = max(only - 1, 0)
    most = 2 if only else PARTS_PER_PAGE
    while True:
        with sink_failures(target.place):
            answer = client(target.place).list_parts(
                Bucket=target.place.bucket,
                Key=target.key,
                UploadId=target.upload_id,
                PartNumberMarker=marker,
                MaxParts=most,
            )
            for part in answer.get("Parts", []):
                stored[part["PartNumber"]] = StoredPart(part["PartNumber"], part["Size"], plain_etag(part["ETag"]))
        if only or not answer.get("IsTruncated", False) or max(stored, default=0) <= marker:
            return dict(sorted(stored.items()))
        marker = max(stored)


def complete_upload(target: Target, etags: Mapping[int, str], condition: Mapping[str, Any] | None = None) -> str:
    """Make the object out of the parts with these ETags by number, and tell its own, without quotes.

    The store refuses if it has other parts by now. With a `condition`, named as boto3 does, that does not hold,
    ChangedElsewhereError; a store that knows no such thing does without. InvalidInputError for parts that are too
    small, UploadEndedError when it has no such upload (any more).
    """
    parts: list[CompletedPartTypeDef] = [
        {"PartNumber": number, "ETag": f'"{etag}"'} for number, etag in sorted(etags.items())
    ]
    asked: dict[str, Any] = {"Bucket": target.place.bucket, "Key": target.key, "UploadId": target.upload_id}
    asked["MultipartUpload"] = {"Parts": parts}
    with sink_failures(target.place):
        try:
            answer = client(target.place).complete_multipart_upload(**asked, **(condition or {}))
        except ClientError as error:
            if not (condition and knows_no_condition(error)):
                raise
            answer = client(target.place).complete_multipart_upload(**asked)
        return unquoted(answer["ETag"])


def abort_upload(target: Target) -> None:
    """Forget the upload with its parts; none there is fine, and so is one that was completed.

    A part that is on its way at the same time may outlive this (docs: AbortMultipartUpload): abort again later.
    """
    with sink_failures(target.place):
        try:
            client(target.place).abort_multipart_upload(
                Bucket=target.place.bucket, Key=target.key, UploadId=target.upload_id
            )
        except ClientError as error:
            if code_of(error) not in _GONE:
                raise


def unfinished_uploads(place: S3Place, key_prefix: str = "") -> Iterator[UnfinishedUpload]:
    """Every unfinished upload whose key begins so, in the order of keys; by default all of the place."""
    marker = _Marker("", "")
    while True:
        found, following = _list_uploads(place, key_prefix or place.key_prefix, marker)
        yield from found
        if following in (None, marker):
            return
        marker = following


def uploads_of(place: S3Place, key: str) -> list[UnfinishedUpload]:
    """The unfinished uploads of the object with this key, the newest first."""
    found = [upload for upload in unfinished_uploads(place, key) if upload.key == key]
    return sorted(found, key=lambda upload: (upload.initiated, upload.upload_id), reverse=True)


def sweep(place: S3Place, older_than_seconds: float, alive: Callable[[Keys[str]], set[str]]) -> int:
    """Abort unfinished uploads below the place's prefix, and tell how many.

    `alive` says of which of these keys, told without the prefix, somebody may still need them. Younger ones are left
    alone. FolderUnusableError where there is no prefix: a bucket may have uploads of anybody's.
    """
    if not place.key_prefix:
        raise FolderUnusableError(f"nothing is swept in the whole {place}")
    limit = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
    old = [upload for upload in unfinished_uploads(place) if upload.initiated < limit]
    kept = alive({upload.key.removeprefix(place.key_prefix) for upload in old}) if old else set()
    orphans = [upload for upload in old if upload.key.removeprefix(place.key_prefix) not in kept]
    for orphan in orphans:
        abort_upload(Target(place, orphan.key, orphan.upload_id))
    return len(orphans)


def _list_uploads(place: S3Place, prefix: str, marker: _Marker) -> tuple[list[UnfinishedUpload], _Marker | None]:
    """A page from the marker on, and where the next one begins, None at the end.

    What that marker means is the store's own affair (rclone: the first upload to come, all others: the last that came),
    so it gets its own words back; and what came last if it had none (swift).
    """
    with sink_failures(place):
        try:
            answer = client(place).list_multipart_uploads(
                Bucket=place.bucket,
                Prefix=prefix,
                KeyMarker=marker.key,
                UploadIdMarker=marker.upload_id,
                MaxUploads=UPLOADS_PER_PAGE,
                EncodingType="url",
            )
        except ClientError as error:
            if code_of(error) not in _GONE:
                raise
            return [], None  # what rclone says of a bucket that never had any
        uploads = answer.get("Uploads", [])
        read = unquote_plus if answer.get("EncodingType") == "url" else str
        found = [UnfinishedUpload(read(each["Key"]), each["UploadId"], each["Initiated"]) for each in uploads]
        if not found or not answer.get("IsTruncated", False):
            return found, None
        last, told = found[-1], answer.get("NextKeyMarker", "")
        if not told:
            return found, _Marker(last.key, last.upload_id)
        key = last.key if told == last.key else read(told)  # swift does not encode it
        return found, _Marker(key, answer.get("NextUploadIdMarker", ""))


def made_of(target: Target, md5s: Mapping[int, str]) -> Collected | None:
    """The upload's object, if it was made of just the parts with these MD5s by number; None when that does not show."""
    found = find_object(target.place, target.key)
    return Collected(target.key, found.size) if found is not None and found.etag in etags_made_of(md5s) else None


def etags_made_of(md5s: Mapping[int, str]) -> set[str]:
    """The ETags that an object may have that was made of parts with these MD5s by number."""
    return {multipart_etag(md5s), *(md5s.values() if len(md5s) == 1 else ())}


def multipart_etag(md5s: Mapping[int, str]) -> str:
    """The ETag of an object that was made of parts with these MD5s by number: a hash of hashes, and how many."""
    hashes = b"".join(bytes.fromhex(md5) for _, md5 in sorted(md5s.items()))
    return f"{hashlib.md5(hashes, usedforsecurity=False).hexdigest()}-{len(md5s)}"
