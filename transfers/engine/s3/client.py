"""How the store is reached."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

CONNECT_TIMEOUT_SECONDS = 15.0
"""Also how long a new connection may take none of what is sent: the library has one time-out for both."""
READ_TIMEOUT_SECONDS = 60.0
ATTEMPTS = 3
MAX_CONNECTIONS = 256
"""Connections that one client keeps for reuse: as many as a process may have threads that move parts."""
REGION = "us-east-1"
"""Where nobody names one: stores other than Amazon's seldom have any, and a signature needs one."""


@dataclass(frozen=True, slots=True)
class S3Place:
    """A bucket of Amazon's, or of the store at `endpoint_url`, whose objects' keys begin with `prefix`."""

    bucket: str
    prefix: str = ""
    endpoint_url: str = ""
    region: str = ""
    """Where the bucket is; "" for what the environment says."""

    def __str__(self) -> str:
        """For messages: nothing of the address but its host."""
        host = urlsplit(self.endpoint_url).netloc.rpartition("@")[2] or "S3"
        return f"bucket {self.bucket} at {host}"

    @property
    def key_prefix(self) -> str:
        """The prefix as a folder: ending with a slash, unless it is empty."""
        return f"{self.prefix.strip('/')}/" if self.prefix.strip("/") else ""

    def key(self, name: str) -> str:
        """The key of the object with this name, which may have slashes."""
        return self.key_prefix + name


def client(place: S3Place) -> S3Client:
    """The client for requests that may be repeated; it is kept, and serves any number of threads."""
    return _client(place.endpoint_url, place.region, ATTEMPTS)


def streaming_client(place: S3Place) -> S3Client:
    """The client for bodies that can be read only once: what fails is not sent again."""
    return _client(place.endpoint_url, place.region, 1)


@functools.cache
def _client(endpoint_url: str, region: str, attempts: int) -> S3Client:
    """Build a client with the environment's credentials.

    Checksums that nobody asked for break some stores (boto3#4409) and need a body that can be read twice, as does a
    signature over the body. Content-MD5 and the ETag guard the bytes instead.
    """
    core = botocore.session.get_session()
    core.register_component("data_loader", _loader())
    session = boto3.session.Session(botocore_session=core)
    config = Config(
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"payload_signing_enabled": False},
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        max_pool_connections=MAX_CONNECTIONS,
        tcp_keepalive=True,
    )
    name = region or session.region_name or REGION
    made: S3Client = session.client("s3", region_name=name, endpoint_url=endpoint_url or None, config=config)
    return made


@functools.cache
def _loader() -> Any:
    """What botocore has read of its descriptions of services: 12 MiB and a tenth of a second that all clients share."""
    return botocore.session.get_session().get_component("data_loader")


os.register_at_fork(after_in_child=_client.cache_clear)  # a child must not speak on its parent's connections
