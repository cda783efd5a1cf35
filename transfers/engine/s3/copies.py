"""Objects copied within a bucket: no byte comes here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from transfers.engine.plan import MAX_PARTS, Part, Plan
from transfers.engine.s3.client import S3Place, client
from transfers.engine.s3.etags import PART_SIZE_NAME, plain_etag, quoted
from transfers.engine.s3.failures import sink_failures
from transfers.engine.s3.objects import ObjectInfo
from transfers.engine.s3.sink import fenced
from transfers.engine.s3.uploads import Target, abort_upload, begin_upload, complete_upload

AT_ONCE_BYTES = 2**30
"""A larger object is copied part by part: the store may take up to 5 GiB at once, but not within the time-out."""
PART_BYTES = 2**28
PARTS_AT_ONCE = 8


def copy_object(place: S3Place, info: ObjectInfo, key: str, to_key: str) -> None:
    """Make another object of the one that `info` tells of, with all that was given with it.

    ChangedElsewhereError when it is another one by now, and any other SinkError.
    """
    if info.size > AT_ONCE_BYTES:
        _copy_in_parts(place, info, key, to_key)
        return
    with sink_failures(place):
        client(place).copy_object(
            Bucket=place.bucket,
            Key=to_key,
            CopySource={"Bucket": place.bucket, "Key": key},
            CopySourceIfMatch=quoted(info.version),
        )


def _copy_in_parts(place: S3Place, info: ObjectInfo, key: str, to_key: str) -> None:
    plan = Plan(info.size, max(PART_BYTES, -(-info.size // MAX_PARTS)))
    metadata = {**info.metadata, PART_SIZE_NAME: str(plan.part_size)}  # its ETag will be of these parts
    target = begin_upload(place, to_key, info.content_type, metadata)
    try:
        with fenced(), ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="copy") as pool:
            etags = pool.map(lambda part: _copy_part(target, info, key, part), plan)
            complete_upload(target, dict(enumerate(etags, start=1)))
    except BaseException:
        abort_upload(target)
        raise


def _copy_part(target: Target, info: ObjectInfo, key: str, part: Part) -> str:
    """Copy these bytes as a part; its ETag."""
    with sink_failures(target.place):
        answer = client(target.place).upload_part_copy(
            Bucket=target.place.bucket,
            Key=target.key,
            UploadId=target.upload_id,
            PartNumber=part.number,
            CopySource={"Bucket": target.place.bucket, "Key": key},
            CopySourceIfMatch=quoted(info.version),
            CopySourceRange=f"bytes={part.offset}-{part.offset + (part.size or 0) - 1}",
        )
        return plain_etag(answer["CopyPartResult"]["ETag"])
