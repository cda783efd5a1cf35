"""The store that all sync with, and what is to be seen in it."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks.sync.files import MIB, Contents
from tests.s3 import swift_process
from tests.s3.server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server, credentials, running

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

REGION = "us-east-1"
"""What swift calls its region."""


class Store:
    """A running swift."""

    def __init__(self, server: S3Server) -> None:
        self.port = server.port
        self.pid = _listener(server.port)
        self._client: S3Client = server.plain

    def contents(self, prefix: str) -> Contents:
        """What lies below the prefix; what was sent in parts, whose ETag says nothing, is read for its MD5."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        found = {}
        for page in pages:
            for each in page.get("Contents", []):
                key, etag = each["Key"], each["ETag"].strip('"')
                if each["Size"] or not key.endswith("/"):  # a marker of a folder is no file
                    found[key.removeprefix(prefix)] = (each["Size"], self._md5(key) if "-" in etag else etag)
        return found

    def forget(self, prefix: str) -> None:
        """Remove all that lies below the prefix, unfinished or not."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        for page in pages:
            for each in page.get("Contents", []):
                self._client.delete_object(Bucket=BUCKET, Key=each["Key"])
        for key, upload in self._unfinished(prefix):
            self._client.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload)

    def left_behind(self, prefix: str) -> int:
        """Bytes of parts, below the prefix, that belong to no object and that nobody removes."""
        size = 0
        for key, upload in self._unfinished(prefix):
            pages = self._client.get_paginator("list_parts").paginate(Bucket=BUCKET, Key=key, UploadId=upload)
            size += sum(part["Size"] for page in pages for part in page.get("Parts", []))
        return size

    def _unfinished(self, prefix: str) -> list[tuple[str, str]]:
        listed = self._client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix).get("Uploads", [])
        return [(each["Key"], each["UploadId"]) for each in listed]

    def _md5(self, key: str) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in self._client.get_object(Bucket=BUCKET, Key=key)["Body"].iter_chunks(MIB):
            digest.update(chunk)
        return digest.hexdigest()


@contextmanager
def running_store() -> Iterator[Store]:
    """Run swift with an empty bucket; the environment has its keys."""
    with credentials(), tempfile.TemporaryDirectory(prefix="swift-") as folder:
        os.environ |= {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}

        def command(port: int) -> list[str]:
            return [sys.executable, "-P", swift_process.__file__, folder, str(port), ACCESS_KEY, SECRET_KEY, "1"]

        with running(S3Server("swift", command, Path(folder, "log"))) as server:
            yield Store(server)


def _listener(port: int) -> int:
    """The process, among those that this one has started, that listens there."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any(each.laddr.port == port and not each.raddr for each in process.net_connections("tcp")):
                return process.pid
    raise SystemExit(f"nobody listens at port {port}")
