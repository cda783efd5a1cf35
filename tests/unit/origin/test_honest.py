"""What the origin serves, and how it does so honestly."""

from __future__ import annotations

import email.utils
import hashlib
import threading
from pathlib import Path

import pytest

from tests.origin import Behaviour, Framing, GeneratedFile, Origin, http_date
from tests.unit.origin.client import FILE, OTHER, PATH, Client, ask, fetch

# Content


@pytest.mark.parametrize("size", [0, 1, 1_048_582, 1_048_583, 1_048_584, 3_500_000])
def test_generated_content_is_the_same_from_any_offset(size: int) -> None:
    file = GeneratedFile(size, seed=5)
    whole = file.read()
    assert len(whole) == size
    assert file.sha256() == hashlib.sha256(whole).hexdigest()
    assert file.md5() == hashlib.md5(whole, usedforsecurity=False).hexdigest()
    assert file.read(size // 3, size // 2) == whole[size // 3 : size // 2]


def test_a_part_of_another_seed_or_another_place_shows() -> None:
    part = 64 * 2**20
    big = GeneratedFile(10 * part, seed=1)
    assert big.read(0, 1000) != big.read(part, part + 1000)
    assert FILE.read(0, 1000) != OTHER.read(0, 1000)
    assert FILE.tag != OTHER.tag


# The honest server


def test_an_honest_origin_gives_the_whole_and_says_what_it_is(origin: Origin) -> None:
    reply = fetch(origin, Behaviour())
    assert (reply.status, reply.body, reply.ended) == (200, FILE.read(), "length")
    assert reply.headers["etag"] == f'"{FILE.tag}"'
    assert reply.headers["accept-ranges"] == "bytes"
    dates = [email.utils.parsedate_to_datetime(reply.headers[name]) for name in ("last-modified", "date")]
    assert (dates[1] - dates[0]).total_seconds() > 60


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("0-0", 0, 1),
        ("5-99", 5, 100),
        ("299999-", 299_999, 300_000),
        ("-7", 299_993, 300_000),
        ("10-999999", 10, 300_000),
    ],
)
def test_honest_ranges(origin: Origin, asked: str, start: int, end: int) -> None:
    reply = fetch(origin, Behaviour(), Range=f"bytes={asked}")
    assert (reply.status, reply.body) == (206, FILE.read(start, end))
    assert reply.headers["content-range"] == f"bytes {start}-{end - 1}/300000"


@pytest.mark.parametrize(("size", "asked"), [(100, "100-"), (100, "200-300"), (0, "0-")])
def test_a_range_past_the_end_is_416_with_the_size(origin: Origin, size: int, asked: str) -> None:
    reply = fetch(origin, Behaviour(), GeneratedFile(size), Range=f"bytes={asked}")
    assert (reply.status, reply.headers["content-range"]) == (416, f"bytes */{size}")


def test_several_ranges_and_other_units_are_ignored(origin: Origin) -> None:
    assert fetch(origin, Behaviour(), Range="bytes=0-1,5-6").status == 200
    assert fetch(origin, Behaviour(), Range="lines=1-2").status == 200


def test_preconditions(origin: Origin) -> None:
    etag, stale = f'"{FILE.tag}"', '"stale"'
    first = fetch(origin, Behaviour())
    for header, value, status in [
        ("If_Range", etag, 206),
        ("If_Range", stale, 200),
        ("If_Range", first.headers["last-modified"], 206),
        ("If_Range", http_date(), 200),
        ("If_Match", stale, 412),
        ("If_Match", etag, 206),
        ("If_None_Match", etag, 304),
        ("If_None_Match", stale, 206),
    ]:
        with Client(origin.url(PATH)) as client:
            client.send(Range="bytes=1-2", **{header: value})
            assert (header, value, client.head().status) == (header, value, status)


def test_head_has_the_headers_and_no_body(origin: Origin) -> None:
    with Client(origin.add(PATH, FILE)) as client:
        client.send("HEAD")
        assert client.head().headers["content-length"] == "300000"
        assert client.rest() == b""


def test_one_connection_carries_many_requests(origin: Origin) -> None:
    urls = [origin.add(f"/small/{number}", GeneratedFile(64, number)) for number in range(50)]
    with Client(urls[0]) as client:
        for number in range(50):
            client.target = f"small/{number}"
            assert client.get().body == GeneratedFile(64, number).read()
    assert origin.opened == 1


def test_connections_are_served_side_by_side(origin: Origin) -> None:
    url = origin.add(PATH, FILE)
    gate = origin.gate(PATH, at=0)
    threads = [threading.Thread(target=ask, args=(url,)) for _ in range(30)]
    for thread in threads:
        thread.start()
    gate.wait(bodies=30)
    assert (origin.busiest(PATH), origin.connections) == (30, 30)
    gate.open()
    for thread in threads:
        thread.join()
    assert origin.fetched(PATH) == 30 * FILE.size


def test_files_on_disk(origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(FILE.read())
    url = origin.add(PATH, tmp_path / "file")
    assert ask(url).body == FILE.read()
    assert ask(url, Range="bytes=100000-199999").body == FILE.read(100_000, 200_000)
    origin.behave(PATH, Behaviour(rate=10e6, framing=Framing.CHUNKED))
    assert ask(url).body == FILE.read()


def test_an_unknown_path_is_404(origin: Origin) -> None:
    assert ask(origin.url("/nothing")).status == 404
