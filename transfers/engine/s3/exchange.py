"""A request and its answer, both whole in memory: what many small objects and listings are moved by."""

from __future__ import annotations

import functools
import http.client
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

from botocore import exceptions as boto
from botocore.awsrequest import AWSRequest
from botocore.handlers import validate_bucket_name

from transfers.engine.retry import pause_seconds
from transfers.engine.s3.client import S3Place, client
from transfers.engine.s3.etags import plain_etag
from transfers.engine.s3.failures import FOREIGN, source_failure, status_of
from transfers.errors import SourceBusyError, SourceInterruptedError, SourceUnreachableError

ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.2
PATIENCE_SECONDS = 60.0
"""What takes longer than this is not tried again: whoever holds the work may do so later."""
MAX_ANSWER_BYTES = 16 * 2**20
"""More than any page of a listing has: 1,000 keys of 1,024 bytes each, percent-encoded, and what is told of them."""
MAX_REFUSAL_BYTES = 2**16
META = "x-amz-meta-"
"""What the names of headers begin with that are an object's metadata."""

_SIGNATURE = "s3v4"
_NEVER_AGAIN = (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, HTTPStatus.INSUFFICIENT_STORAGE)
_PASSING = (SourceBusyError, SourceInterruptedError, SourceUnreachableError)
_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,60})</Code>")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the store."""

    method: str
    key: str | None = None
    """The object's; None to ask for the bucket."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    limit: int = MAX_ANSWER_BYTES
    """Of the answer's body, this many bytes and one are read."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the store says, where it does not refuse."""

    headers: Mapping[str, str]
    """By name in any case; KeyError, which is a failure of the store's, for what it does not tell."""
    body: bytes
    """At most one byte more than was asked for."""

    @property
    def etag(self) -> str:
        """Without quotes, in lower case."""
        return plain_etag(self.headers["ETag"])

    @property
    def size(self) -> int:
        """Bytes that the object has, of which an answer to HEAD brings none."""
        told = self.headers["Content-Length"]
        if not told.isdecimal():
            raise KeyError("Content-Length")
        return int(told)

    @property
    def metadata(self) -> dict[str, str]:
        """What was given with the object, by name in lower case."""
        told = ((name.lower(), value) for name, value in self.headers.items())
        return {name.removeprefix(META): value for name, value in told if name.startswith(META)}


def exchange(place: S3Place, request: Request) -> Answer:
    """Ask, and wait for the answer.

    What may pass (SlowDown, other 5xx, resets, time-outs) is tried again, later each time. Raises what `FOREIGN` has, a
    refusal as botocore's own ClientError.

    Signed by botocore and sent on its connections, because a call of boto3's takes 2.6 to 4 times as long. On 8
    threads, in ms of wall and CPU time, at a server that answers at once (`benchmarks.s3_clients`, a busy machine):
    a PUT of 4 KiB 0.59 and 0.55, boto3's 1.54 and 1.26, presigned by it and sent by urllib3 1.16 and 0.91, obstore's
    0.12 and 0.06; a page of a listing 10 and 6, boto3's 126 and 117, obstore's 7 and 4. But obstore sends no
    Content-MD5, so that no store can refuse bytes that were changed on their way.
    """
    began = time.monotonic()
    attempt = 0
    while True:
        attempt += 1
        try:
            return _exchange_once(place, request)
        except FOREIGN as error:
            pause = _pause_seconds(error, place, attempt)
            if pause is None or time.monotonic() - began + pause > PATIENCE_SECONDS:
                raise
        time.sleep(pause)


def _pause_seconds(error: BaseException, place: S3Place, attempt: int) -> float | None:
    """How long to wait before the same is asked again; None where that is of no use."""
    failure = source_failure(error, place)
    is_final = status_of(error) in _NEVER_AGAIN or isinstance(error, boto.SSLError)
    if is_final or not isinstance(failure, _PASSING):
        return None
    return pause_seconds(
        failure, fruitless=attempt, ever_received=True, first_seconds=FIRST_PAUSE_SECONDS, max_attempts=ATTEMPTS
    )


def _exchange_once(place: S3Place, request: Request) -> Answer:
    reached: Any = client(place)
    bucket = _bucket(S3Place(place.bucket, "", place.endpoint_url, place.region))
    asked = AWSRequest(
        request.method, _address(bucket, request), headers=request.headers, data=request.body, stream_output=True
    )
    asked.context["client_config"] = reached.meta.config  # which says that bodies are not signed
    signer = reached._request_signer.get_auth_instance("s3", bucket.region, _SIGNATURE)  # noqa: SLF001
    signer.add_auth(asked)
    answer = reached._endpoint.http_session.send(asked.prepare())  # noqa: SLF001 - with its proxies, TLS and limits
    if answer.status_code >= HTTPStatus.MULTIPLE_CHOICES:
        raise _refusal(request.method, answer)
    return Answer(answer.headers, _read(answer, request.method, request.limit))


def _read(answer: Any, method: str, limit: int) -> bytes:
    """The body, up to a byte past the limit."""
    content: bytes = answer.raw.read(limit + 1)
    told = answer.headers.get("Content-Length", "")
    if len(content) > limit:
        answer.raw.close()
    elif method != "HEAD" and told.isdecimal() and int(told) != len(content):
        answer.raw.close()  # or the broken connection stays open until it is collected as garbage
        raise http.client.IncompleteRead(content)
    return content


def _refusal(method: str, answer: Any) -> boto.ClientError:
    """The refusal as boto3 would raise it, with nothing of its body but its code."""
    found = _CODE.search(_read(answer, method, MAX_REFUSAL_BYTES))
    code = found[1].decode() if found else str(answer.status_code)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    metadata = {"HTTPStatusCode": answer.status_code, "HTTPHeaders": headers}
    return boto.ClientError({"Error": {"Code": code}, "ResponseMetadata": metadata}, method)


@dataclass(frozen=True, slots=True)
class _Bucket:
    """How a bucket is reached."""

    address: str
    region: str
    """What requests are signed for."""


@functools.lru_cache(maxsize=256)
def _bucket(place: S3Place) -> _Bucket:
    """Where botocore's rules for endpoints have the bucket: these alone know of all its regions and styles."""
    validate_bucket_name({"Bucket": place.bucket})
    reached: Any = client(place)
    context: dict[str, Any] = {"client_region": reached.meta.region_name, "client_config": reached.meta.config}
    operation = reached.meta.service_model.operation_model("ListObjectsV2")
    address, _, _ = reached._resolve_endpoint_ruleset(operation, {"Bucket": place.bucket}, context)  # noqa: SLF001
    return _Bucket(address, context.get("signing", {}).get("region", reached.meta.region_name))


def _address(bucket: _Bucket, request: Request) -> str:
    path = "" if request.key is None else quote(request.key, safe="/~")
    address = f"{bucket.address}/{path}" if path or not urlsplit(bucket.address).path else bucket.address
    fields = "&".join(f"{name}={quote(value, safe='~')}" for name, value in sorted(request.query.items()))
    return f"{address}?{fields}" if fields else address
