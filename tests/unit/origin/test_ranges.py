"""Ranges and validators that are not what they seem."""

from __future__ import annotations

import pytest

from tests.origin import Behaviour, ContentRange, Etag, LastModified, Origin, Ranges
from tests.unit.origin.client import FILE, OTHER, PATH, ask, fetch

# Ranges that are not honest


@pytest.mark.parametrize(
    ("ranges", "status", "accepts"),
    [
        (Ranges.UNTOLD, 206, None),
        (Ranges.NONE, 200, "none"),
        (Ranges.IGNORED, 200, "bytes"),
        (Ranges.REFUSED, 416, None),
        (Ranges.REFUSED_WITH_SIZE, 416, "bytes"),
    ],
)
def test_what_becomes_of_a_range(origin: Origin, ranges: Ranges, status: int, accepts: str | None) -> None:
    reply = fetch(origin, Behaviour(ranges=ranges), Range="bytes=10-19")
    assert (reply.status, reply.headers.get("accept-ranges")) == (status, accepts)
    if status == 416:
        known = ranges == Ranges.REFUSED_WITH_SIZE
        assert reply.headers.get("content-range") == ("bytes */300000" if known else None)
    else:
        assert reply.body == (FILE.read(10, 20) if status == 206 else FILE.read())


@pytest.mark.parametrize(
    ("lie", "header", "start", "end"),
    [
        (ContentRange.SHIFTED, "bytes 11-20/300000", 11, 21),
        (ContentRange.OTHER_TOTAL, "bytes 10-19/300001", 10, 20),
        (ContentRange.UNKNOWN_TOTAL, "bytes 10-19/*", 10, 20),
        (ContentRange.SHORT, "bytes 10-14/300000", 10, 15),
        (ContentRange.MISSING, None, 10, 20),
        (ContentRange.GARBAGE, "bytes all-of-it", 10, 20),
    ],
)
def test_content_ranges(origin: Origin, lie: ContentRange, header: str | None, start: int, end: int) -> None:
    reply = fetch(origin, Behaviour(content_range=lie), Range="bytes=10-19")
    assert (reply.status, reply.headers.get("content-range"), reply.body) == (206, header, FILE.read(start, end))


def test_a_multipart_answer_to_one_range(origin: Origin) -> None:
    reply = fetch(origin, Behaviour(content_range=ContentRange.MULTIPART), Range="bytes=10-19")
    assert reply.headers["content-type"].startswith("multipart/byteranges")
    assert FILE.read(10, 20) in reply.body
    assert len(reply.body) > 10


def test_200_to_a_range_that_had_been_fine_before(origin: Origin) -> None:
    url = origin.add(PATH, FILE, Behaviour(), Behaviour(ranges=Ranges.IGNORED))
    assert [ask(url, Range="bytes=10-19").status for _ in range(3)] == [206, 200, 200]


# Validators


def test_other_content_of_the_same_size_has_other_validators(origin: Origin) -> None:
    url = origin.add(PATH, FILE)
    before = ask(url)
    origin.replace(PATH, OTHER)
    after = ask(url, Range="bytes=10-19", If_Range=before.headers["etag"])
    assert (after.status, after.body) == (200, OTHER.read())
    assert after.headers["etag"] != before.headers["etag"]
    assert after.headers["last-modified"] != before.headers["last-modified"]
    assert after.headers["content-length"] == before.headers["content-length"]


def test_content_can_change_from_one_request_to_the_next(origin: Origin) -> None:
    url = origin.add(PATH, FILE, Behaviour(), Behaviour(content=OTHER), Behaviour())
    assert [ask(url).body for _ in range(3)] == [FILE.read(), OTHER.read(), FILE.read()]


def test_if_range_can_be_ignored(origin: Origin) -> None:
    reply = fetch(origin, Behaviour(if_range=False), Range="bytes=10-19", If_Range='"stale"')
    assert (reply.status, reply.body) == (206, FILE.read(10, 20))


def test_a_weak_etag_never_matches_if_range(origin: Origin) -> None:
    first = fetch(origin, Behaviour(etag=Etag.WEAK))
    assert first.headers["etag"].startswith('W/"')
    assert ask(origin.url(PATH), Range="bytes=1-2", If_Range=first.headers["etag"]).status == 200


@pytest.mark.parametrize("kind", [LastModified.WEAK, LastModified.NO_DATE])
def test_a_last_modified_that_is_not_strong(origin: Origin, kind: LastModified) -> None:
    headers = fetch(origin, Behaviour(etag=Etag.NONE, last_modified=kind)).headers
    assert "etag" not in headers
    assert headers.get("date") == (headers["last-modified"] if kind == LastModified.WEAK else None)
    assert ask(origin.url(PATH), Range="bytes=1-2", If_Range=headers["last-modified"]).status == 200


def test_no_validator_at_all(origin: Origin) -> None:
    headers = fetch(origin, Behaviour(etag=Etag.NONE, last_modified=LastModified.NONE)).headers
    assert not headers.keys() & {"etag", "last-modified"}


def test_random_and_literal_etags(origin: Origin) -> None:
    url = origin.add(PATH, FILE, Behaviour(etag=Etag.RANDOM))
    assert len({ask(url).headers["etag"] for _ in range(5)}) == 5
    assert fetch(origin, Behaviour(etag='"same-for-all"')).headers["etag"] == '"same-for-all"'
