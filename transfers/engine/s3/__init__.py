"""Ends in a bucket of Amazon's S3, or of a store that speaks like it; nothing else here knows boto3.

Credentials and region come from the environment, as everywhere with Amazon's tools.
"""

from __future__ import annotations

from transfers.engine.s3.client import S3Place
from transfers.engine.s3.collection import S3Collection
from transfers.engine.s3.objects import delete_object, presigned_content_url, require_bucket
from transfers.engine.s3.sink import S3Sink
from transfers.engine.s3.source import S3Source
from transfers.engine.s3.tree import S3Tree
from transfers.engine.s3.uploads import UnfinishedUpload, sweep, unfinished_uploads

__all__ = [
    "S3Collection",
    "S3Place",
    "S3Sink",
    "S3Source",
    "S3Tree",
    "UnfinishedUpload",
    "delete_object",
    "presigned_content_url",
    "require_bucket",
    "sweep",
    "unfinished_uploads",
]
