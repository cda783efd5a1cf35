"""Clients of S3 for many small objects: `python -m benchmarks.s3_clients`; prints Markdown tables.

Each client puts, gets and lists small objects in a server that answers at once, which shows what the client itself
costs, and in swift, a real one. Clients that are not installed (`pip install obstore minio`) are left out. CPU time is
this process's, of all its threads; the servers are other processes.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import importlib
import multiprocessing
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol
from urllib.parse import quote
from xml.parsers import expat

import boto3
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.httpsession import URLLib3Session

from tests.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, credentials, running_swift
from transfers.engine.s3 import S3Place
from transfers.engine.s3.exchange import Request, exchange
from transfers.engine.s3.listing import listed_objects

CONTENT = random.Random(1).randbytes(4096)  # noqa: S311 - the same in both processes
MD5 = hashlib.md5(CONTENT, usedforsecurity=False)
MD5_HEADER = base64.b64encode(MD5.digest()).decode()
THREADS = 8
REGION = "us-east-1"
PAGE = 1000
CONFIG = Config(
    signature_version="s3v4",
    s3={"payload_signing_enabled": False},
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    max_pool_connections=2 * THREADS,
)


class Client(Protocol):
    """A way to a bucket."""

    def __init__(self, url: str) -> None: ...

    def put(self, key: str) -> None:
        """Store `CONTENT`, with its MD5 where the client can."""

    def get(self, key: str) -> bytes:
        """An object's bytes."""

    def count(self, prefix: str) -> int:
        """How many objects there are, every key and ETag of them read."""


class Boto3:
    """The library as it is."""

    def __init__(self, url: str) -> None:
        session = boto3.session.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY)
        self.client = session.client("s3", region_name=REGION, endpoint_url=url, config=CONFIG)
        self.credentials = session.get_credentials()

    def put(self, key: str) -> None:
        """PutObject."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=CONTENT, ContentMD5=MD5_HEADER)

    def get(self, key: str) -> bytes:
        """GetObject."""
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def count(self, prefix: str) -> int:
        """ListObjectsV2."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return sum(len([(each["Key"], each["ETag"]) for each in page.get("Contents", [])]) for page in pages)


class Presigned(Boto3):
    """The library signs addresses, urllib3 moves the bytes, expat reads the listings."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.pool = urllib3.PoolManager(maxsize=2 * THREADS, retries=False)

    def put(self, key: str) -> None:
        """PutObject."""
        url = self._url("put_object", Key=key, ContentMD5=MD5_HEADER)
        answer = self.pool.request("PUT", url, body=CONTENT, headers={"Content-MD5": MD5_HEADER})
        expect(answer.status == 200, answer.data)

    def get(self, key: str) -> bytes:
        """GetObject."""
        answer = self.pool.request("GET", self._url("get_object", Key=key))
        expect(answer.status == 200, answer.data)
        return answer.data

    def count(self, prefix: str) -> int:
        """ListObjectsV2."""

        def page(token: str) -> bytes:
            more = {"ContinuationToken": token} if token else {}
            return self.pool.request("GET", self._url("list_objects_v2", Prefix=prefix, **more)).data

        return count_pages(page)

    def _url(self, operation: str, **parameters: str) -> str:
        url: str = self.client.generate_presigned_url(operation, Params={"Bucket": BUCKET, **parameters})
        return url


class Signed(Boto3):
    """The library's signer signs headers, urllib3 moves the bytes, expat reads the listings."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.base = f"{url}/{BUCKET}"
        self.open()

    def open(self) -> None:
        """Make ready what sends."""
        self.pool = urllib3.PoolManager(maxsize=2 * THREADS, retries=False)

    def put(self, key: str) -> None:
        """PutObject."""
        self.ask("PUT", "/" + quote(key), {"Content-MD5": MD5_HEADER}, CONTENT)

    def get(self, key: str) -> bytes:
        """GetObject."""
        return self.ask("GET", "/" + quote(key), {})

    def count(self, prefix: str) -> int:
        """ListObjectsV2."""

        def page(token: str) -> bytes:
            more = f"continuation-token={quote(token, safe='')}&" if token else ""
            return self.ask("GET", f"?{more}list-type=2&prefix={quote(prefix, safe='')}", {})

        return count_pages(page)

    def ask(self, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> bytes:
        """One request."""
        request = self.signed(method, target, headers)
        answer = self.pool.request(method, request.url, body=body or None, headers=dict(request.headers))
        expect(answer.status == 200, answer.data)
        return answer.data

    def signed(self, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> AWSRequest:
        """The request with its signature."""
        request = AWSRequest(method, self.base + target, headers=headers, data=body)
        request.context["client_config"] = CONFIG
        S3SigV4Auth(self.credentials.get_frozen_credentials(), "s3", REGION).add_auth(request)
        return request


class SignedSession(Signed):
    """As before, sent by the library's own session."""

    def open(self) -> None:
        """Make ready what sends."""
        options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]  # as its clients have it: 40 ms a PUT without
        self.session = URLLib3Session(max_pool_connections=2 * THREADS, socket_options=options)

    def ask(self, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> bytes:
        """One request."""
        answer = self.session.send(self.signed(method, target, headers, body).prepare())
        expect(answer.status_code == 200, answer.content)
        content: bytes = answer.content
        return content


class Ours:
    """What the service does: `transfers.engine.s3.exchange`, with all it checks."""

    def __init__(self, url: str) -> None:
        self.place = S3Place(BUCKET, "", url)

    def put(self, key: str) -> None:
        """PutObject."""
        exchange(self.place, Request("PUT", key, headers={"Content-MD5": MD5_HEADER}, body=CONTENT))

    def get(self, key: str) -> bytes:
        """GetObject."""
        return exchange(self.place, Request("GET", key)).body

    def count(self, prefix: str) -> int:
        """ListObjectsV2."""
        return sum(1 for _ in listed_objects(self.place, prefix))


class Obstore:
    """Rust's object_store; it can send no Content-MD5."""

    def __init__(self, url: str) -> None:
        self.obstore = importlib.import_module("obstore")
        store = importlib.import_module("obstore.store")
        keys = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY, "region": REGION}
        self.store = store.S3Store(BUCKET, endpoint=url, client_options={"allow_http": True}, **keys)

    def put(self, key: str) -> None:
        """PutObject."""
        self.obstore.put(self.store, key, CONTENT, use_multipart=False)

    def get(self, key: str) -> bytes:
        """GetObject."""
        return bytes(self.obstore.get(self.store, key).bytes())

    def count(self, prefix: str) -> int:
        """ListObjectsV2."""
        pages = self.obstore.list(self.store, prefix, chunk_size=PAGE)
        return sum(len([(each["path"], each["e_tag"]) for each in page]) for page in pages)


class Minio:
    """minio-py; it can send no Content-MD5."""

    def __init__(self, url: str) -> None:
        host = url.removeprefix("http://")
        keys = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        self.client = importlib.import_module("minio").Minio(host, region=REGION, secure=False, **keys)
        self.stream = importlib.import_module("io").BytesIO

    def put(self, key: str) -> None:
        """PutObject."""
        self.client.put_object(BUCKET, key, self.stream(CONTENT), len(CONTENT))

    def get(self, key: str) -> bytes:
        """GetObject."""
        answer = self.client.get_object(BUCKET, key)
        try:
            content: bytes = answer.read()
        finally:
            answer.close()
            answer.release_conn()
        return content

    def count(self, prefix: str) -> int:
        """ListObjectsV2."""
        found = self.client.list_objects(BUCKET, prefix, recursive=True)
        return len([(each.object_name, each.etag) for each in found])


def expect(condition: object, otherwise: object) -> None:
    """RuntimeError, which no client is measured past, unless the condition holds."""
    if not condition:
        raise RuntimeError(otherwise)


CLIENTS: dict[str, Callable[[str], Client]] = {
    "boto3": Boto3,
    "boto3 presigned + urllib3 + expat": Presigned,
    "botocore signer + urllib3 + expat": Signed,
    "botocore signer + botocore's session + expat": SignedSession,
    "ours": Ours,
    "obstore": Obstore,
    "minio-py": Minio,
}


def count_pages(page: Callable[[str], bytes]) -> int:
    """How many objects the pages have, whose keys and ETags expat reads."""
    token, count = "", 0
    while True:
        texts: dict[str, list[str]] = {"Key": [], "ETag": [], "NextContinuationToken": []}
        into: list[list[str]] = []
        parser = expat.ParserCreate()
        parser.buffer_text = True

        def start(name: str, _: object, texts: dict[str, list[str]] = texts, into: list[list[str]] = into) -> None:
            into[:] = [texts[name]] if name in texts else []

        def text(data: str, into: list[list[str]] = into) -> None:
            if into:
                into[0].append(data)

        parser.StartElementHandler, parser.CharacterDataHandler = start, text
        parser.EndElementHandler = lambda _, into=into: into.clear()
        parser.Parse(page(token), True)
        count += len(texts["Key"])
        if not texts["NextContinuationToken"]:
            return count
        token = "".join(texts["NextContinuationToken"])


@dataclass(frozen=True)
class Cost:
    """What one request took."""

    ms: float
    cpu_ms: float

    def __str__(self) -> str:
        return f"{self.ms:.2f} | {self.cpu_ms:.2f}"


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.s3_clients", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="objects put and got (default 2000)")
    parser.add_argument("--keys", type=int, default=5000, help="keys listed (default 5000)")
    parser.add_argument("--rounds", type=int, default=3, help="of each; the best is told (default 3)")
    parser.add_argument("--only", nargs="+", default=[""], help="clients whose name contains one of these")
    parser.add_argument("--stores", nargs="+", choices=["instant", "swift"], default=["instant", "swift"])
    options = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f}")
    with credentials():
        if "instant" in options.stores:
            with instant_server(options.keys) as url:
                print_table("a server that answers at once", measure_all(url, options))
        if "swift" in options.stores:
            with running_swift() as server:
                boto = Boto3(server.url)
                with ThreadPoolExecutor(4) as pool:
                    list(pool.map(boto.put, (f"many/{number:05}" for number in range(options.keys))))
                print_table("swift", measure_all(server.url, options))
    print(f"\nload after: {os.getloadavg()[0]:.1f}")


def measure_all(url: str, options: argparse.Namespace) -> dict[str, list[Cost]]:
    """The best of every client's rounds; clients take turns, so that what disturbs the machine disturbs all."""
    rows: dict[str, list[list[Cost]]] = {}
    chosen = {name: make for name, make in CLIENTS.items() if any(text in name for text in options.only)}
    for number in range(options.rounds):
        for name, make in chosen.items():
            try:
                client = make(url)
            except ModuleNotFoundError as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
                continue
            print(f"round {number + 1}: {name}", file=sys.stderr)
            rows.setdefault(name, []).append(measure(client, options.count, options.keys))
    return {
        name: [min(costs, key=lambda cost: cost.ms) for costs in zip(*rounds, strict=True)]
        for name, rounds in rows.items()
    }


def measure(client: Client, count: int, keys: int) -> list[Cost]:
    """PUT and GET, one after the other and on threads, each for one request; and a listing for 1,000 keys."""
    names = [f"few/{number:05}" for number in range(count)]
    for name in names[:20]:
        client.put(name)
        expect(client.get(name) == CONTENT, name)
    with ThreadPoolExecutor(THREADS) as pool:
        costs = [
            timed(count, lambda: [client.put(name) for name in names]),
            timed(count, lambda: list(pool.map(client.put, names))),
            timed(count, lambda: [client.get(name) for name in names]),
            timed(count, lambda: list(pool.map(client.get, names))),
        ]
    found: list[int] = []
    costs.append(timed(keys // PAGE, lambda: found.append(client.count("many/"))))
    expect(found == [keys], found)
    return costs


def timed(count: int, work: Callable[[], object]) -> Cost:
    """What a `count`th of the work took."""
    began, worked = time.perf_counter(), time.process_time()
    work()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - worked
    return Cost(seconds * 1000 / count, cpu_seconds * 1000 / count)


def print_table(title: str, rows: dict[str, list[Cost]]) -> None:
    """Milliseconds, and milliseconds of CPU."""
    columns = ["PUT 4 KiB", f"PUT on {THREADS} threads", "GET", f"GET on {THREADS} threads", "listing, 1,000 keys"]
    print(f"\n| {title} | {' | '.join(f'{column}: ms | CPU ms' for column in columns)} |")
    print(f"|---|{'---:|' * 2 * len(columns)}")
    for name, costs in rows.items():
        print(f"| {name} | {' | '.join(map(str, costs))} |")


# A server that answers at once


@contextmanager
def instant_server(keys: int) -> Iterator[str]:
    """Its address; it runs in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, keys), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def serve(told: Connection, keys: int) -> None:
    """Serve until terminated, and tell the port."""
    asyncio.run(_serve(told, keys))


async def _serve(told: Connection, keys: int) -> None:
    pages = listing_pages(keys)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Instant(pages), "127.0.0.1", 0)
    told.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def listing_pages(keys: int) -> list[bytes]:
    """The pages of a listing, as S3 writes them."""
    pages = []
    for first in range(0, keys, PAGE):
        contents = "".join(
            f"<Contents><Key>many/{number:05}</Key><LastModified>2026-11-21T08:00:00.000Z</LastModified>"
            f"<ETag>&quot;{MD5.hexdigest()}&quot;</ETag><Size>{len(CONTENT)}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for number in range(first, min(first + PAGE, keys))
        )
        more = first + PAGE < keys
        token = f"<NextContinuationToken>{first // PAGE + 1}</NextContinuationToken>" if more else ""
        pages.append(
            '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{BUCKET}</Name><Prefix>many/</Prefix>{token}<MaxKeys>{PAGE}</MaxKeys>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{contents}</ListBucketResult>".encode()
        )
    return pages


class Instant(asyncio.Protocol):
    """Takes any PUT, gives `CONTENT` to any GET, and lists the pages."""

    def __init__(self, pages: list[bytes]) -> None:
        self._pages = pages
        self._received = bytearray()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody is there."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end])
            lower = head.lower()
            at = lower.find(b"content-length:")
            length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if b"expect: 100-continue" in lower and len(self._received) == end + 4:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if len(self._received) < end + 4 + length:
                return
            del self._received[: end + 4 + length]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        method, target, _ = head.split(b" ", 2)
        body = b"" if method == b"PUT" else self._page(target) if b"list-type=2" in target else CONTENT
        etag = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest().encode()
        self._transport.write(
            b'HTTP/1.1 200 OK\r\nETag: "%b"\r\nLast-Modified: Sat, 21 Nov 2026 08:00:00 GMT\r\n'
            b"Content-Length: %d\r\n\r\n%b" % (etag, len(body), body)
        )

    def _page(self, target: bytes) -> bytes:
        _, found, rest = target.partition(b"continuation-token=")
        return self._pages[int(rest.split(b"&")[0]) if found else 0]


if __name__ == "__main__":
    main()
