"""Files in a bucket of S3, or of a store that speaks like it.

They lie at `s3://bucket/prefix/<owner>/upload-<id>/<folder>/<name>`. The id makes every key its file's alone, for the
store would put a second file in the place of the first; the word before it tells our keys from anybody else's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Collection as Numbers
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta

from django.conf import settings

from transfers import folders
from transfers.engine.base import Collected
from transfers.engine.s3 import (
    S3Collection,
    S3Place,
    S3Sink,
    S3Source,
    UnfinishedUpload,
    delete_object,
    presigned_content_url,
    require_bucket,
    unfinished_uploads,
)
from transfers.storage.base import Address, Slot
from transfers.storage.choice import SCHEME

CONTENT_ADDRESS_SECONDS = 3600
"""How long a client may begin to fetch a file from the address that it was given."""
PART_ADDRESS_SECONDS = 900
"""How long a client may begin to send a part to the address that it was given.

Short, for nothing takes the address back: some stores (swift) take parts after the file was made of them, and then
cannot read it any more.
"""
_ANY_TYPE = "application/octet-stream"
_KEY = re.compile(r"[1-9][0-9]{0,17}/upload-([1-9][0-9]{0,17})/[^/]+/[^/]+")
"""A key of an upload's, behind the prefix."""
_MADE_KEY = re.compile(r"[1-9][0-9]{0,17}/made/[^/]+")
"""A key of what the service makes itself."""


class S3Storage:
    """S3."""

    def location(self, upload_id: int, owner_id: int, folder: str, name: str) -> str:
        """The object that the file becomes."""
        place = _place()
        names = (str(owner_id), f"upload-{upload_id}", folders.safe_file_name(folder, "files"))
        return f"{SCHEME}{place.bucket}/{place.key('/'.join((*names, folders.safe_file_name(name, 'file'))))}"

    def collection(self, slot: Slot) -> S3Collection:
        """A multipart upload of the store's."""
        place, key = _found(slot.location)
        return S3Collection(place, key, slot.collection_name, content_type=slot.content_type)

    def location_of(self, slot: Slot, collected: Collected) -> str:  # noqa: ARG002 - the key is the upload's alone
        """Where it was to lie."""
        return slot.location

    def source(self, location: str) -> S3Source:
        """The object, to read."""
        return S3Source(*_found(location))

    def path(self, location: str) -> None:
        """It has none."""

    def made_location(self, owner_id: int, name: str) -> str:
        """A key that no upload of the owner's has."""
        place = _place()
        return f"{SCHEME}{place.bucket}/{place.key(f'{owner_id}/made/{name}')}"

    def sink(
        self, location: str, *, generation: str, upload_id: str = "", content_type: str = ""
    ) -> AbstractContextManager[S3Sink]:
        """The object, made by a multipart upload."""
        place, key = _found(location)
        sink = S3Sink(place, key, generation=generation, upload_id=upload_id, content_type=content_type or _ANY_TYPE)
        return nullcontext(sink)

    def delete(self, location: str) -> None:
        """Remove the object."""
        delete_object(*_found(location))

    def part_address(self, slot: Slot, number: int) -> Address:
        """Where whoever has it may PUT the part."""
        expires_at = _expiry(PART_ADDRESS_SECONDS)
        url = self.collection(slot).presigned_part_url(number, PART_ADDRESS_SECONDS)
        return Address(url=url, method="PUT", expires_at=expires_at)

    def content_address(self, location: str, disposition: str, content_type: str) -> Address:
        """Where whoever has it may GET the file, served like this."""
        place, key = _found(location)
        expires_at = _expiry(CONTENT_ADDRESS_SECONDS)
        url = presigned_content_url(
            place, key, CONTENT_ADDRESS_SECONDS, disposition=disposition, content_type=content_type
        )
        return Address(url=url, method="GET", expires_at=expires_at)

    def check(self) -> None:
        """Ask the store whether the bucket is there and ours to use."""
        require_bucket(_place())

    def sweep(self, alive: Callable[[Numbers[int]], set[int]], older_than_seconds: float) -> int:
        """Abort the store's multipart uploads that belong to no upload of ours any more."""
        place = _place()
        limit = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        numbers = {each: _number(place, each) for each in unfinished_uploads(place) if each.initiated < limit}
        old = {each: number for each, number in numbers.items() if number is not None}
        kept = alive(set(old.values()))
        orphans = [each for each, number in old.items() if number not in kept]
        for orphan in orphans:
            S3Collection(place, orphan.key, orphan.upload_id).abort()
        return len(orphans)

    def sweep_made(self, known: Callable[[Numbers[str]], set[str]], older_than_seconds: float) -> int:
        """Abort the store's multipart uploads of files that nobody knows; whole objects are not looked for."""
        place = _place()
        limit = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        old = {
            f"{SCHEME}{place.bucket}/{each.key}": each
            for each in unfinished_uploads(place)
            if each.initiated < limit and _MADE_KEY.fullmatch(each.key.removeprefix(place.key_prefix))
        }
        orphans = old.keys() - known(old.keys())
        for location in orphans:
            S3Collection(place, old[location].key, old[location].upload_id).abort()
        return len(orphans)


def _place() -> S3Place:
    environment = settings.ENVIRONMENT
    return S3Place(environment.s3_bucket, environment.s3_prefix, environment.s3_endpoint_url)


def _found(location: str) -> tuple[S3Place, str]:
    """The bucket that the location itself names, and the key in it."""
    bucket, _, key = location.removeprefix(SCHEME).partition("/")
    return S3Place(bucket, "", settings.ENVIRONMENT.s3_endpoint_url), key


def _number(place: S3Place, unfinished: UnfinishedUpload) -> int | None:
    """The id of the upload that the key was made for; None for a key that is not of our making."""
    made = _KEY.fullmatch(unfinished.key.removeprefix(place.key_prefix))
    return int(made[1]) if made else None


def _expiry(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)
