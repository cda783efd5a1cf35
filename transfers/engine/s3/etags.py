"""ETags: opaque to those who ask for a version, and to those who know how S3 makes them a proof of the bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from transfers.engine.plan import Plan
from transfers.engine.tree.base import Checksum

MD5_NAME = "md5"
"""Under this name an object's metadata has the MD5 of all its bytes, as hex."""
PART_SIZE_NAME = "part-size"
"""Under this name an object's metadata has the bytes of each part but the last that it was made of."""
_ENCRYPTION = ("x-amz-server-side-encryption-customer-algorithm", "x-amz-server-side-encryption-aws-kms-key-id")
"""Of an object with one of these the ETag is no hash of its bytes (docs: Amazon S3 API, Object)."""
_PLAIN = re.compile(r"[0-9a-f]{32}")
_COMPOSITE = re.compile(r"([0-9a-f]{32})-([1-9][0-9]{0,4})")


def unquoted(etag: str) -> str:
    """An ETag without its quotes, and otherwise as the store wrote it."""
    return etag.strip('"')


def quoted(etag: str) -> str:
    """An ETag as headers have it."""
    return f'"{etag}"'


def plain_etag(etag: str) -> str:
    """An ETag without its quotes, in lower case; the MD5 of a part, as stores have it."""
    return unquoted(etag).lower()


def checksum_of_object(
    etag: str, size: int, headers: Mapping[str, str], metadata: Mapping[str, str]
) -> Checksum | None:
    """What an object of so many bytes must have, by its ETag or what was given with it; None where neither tells.

    A plain ETag is the MD5 of the whole, also where the object was made of parts and then copied. What was given with
    the object is believed only where the ETag is no hash of ours, nor of S3's: a tool that writes other bytes may keep
    it. (swift's and rclone's ETags are MD5s; rclone has that of the whole for what was made of parts, too.)
    """
    etag, told = plain_etag(etag), metadata.get(MD5_NAME, "").lower()
    is_hash = not any(name in headers for name in _ENCRYPTION)
    if is_hash and _PLAIN.fullmatch(etag):
        return Checksum(etag)
    if is_hash and _COMPOSITE.fullmatch(etag):
        return _checksum_of_parts(etag, size, metadata.get(PART_SIZE_NAME, ""))
    return Checksum(told) if _PLAIN.fullmatch(told) else None


def _checksum_of_parts(etag: str, size: int, part_size: str) -> Checksum | None:
    composite = _COMPOSITE.fullmatch(etag)
    if composite is None or not re.fullmatch(r"[1-9][0-9]{0,12}", part_size):
        return None
    is_of_these = int(composite[2]) == len(Plan(size, int(part_size)))
    return Checksum(composite[1], int(part_size)) if is_of_these else None
