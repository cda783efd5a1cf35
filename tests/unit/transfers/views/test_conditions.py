"""Conditional requests as RFC 9110 has them, section 13.2.2 in its order."""

from __future__ import annotations

import pytest

from transfers.views.conditions import Validators

FILE = Validators('"v1"', 784_111_777)
THEN, EARLIER, LATER = (
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:36 GMT",
    "Sun, 06 Nov 1994 08:49:38 GMT",
)

CONDITIONS: dict[str, tuple[dict[str, str], int | None]] = {
    "none": ({}, None),
    "match": ({"If-Match": '"v1"'}, None),
    "match-any": ({"If-Match": "*"}, None),
    "match-among-others": ({"If-Match": '"v0", "v1"'}, None),
    "match-with-a-comma-in-another": ({"If-Match": '"a,b" , "v1"'}, None),
    "match-another": ({"If-Match": '"v2"'}, 412),
    "match-weakly": ({"If-Match": 'W/"v1"'}, 412),
    "match-without-quotes": ({"If-Match": "v1"}, 412),
    "match-nothing": ({"If-Match": ""}, 412),
    "unmodified-since-then": ({"If-Unmodified-Since": THEN}, None),
    "unmodified-since-later": ({"If-Unmodified-Since": LATER}, None),
    "unmodified-since-earlier": ({"If-Unmodified-Since": EARLIER}, 412),
    "unmodified-since-no-date": ({"If-Unmodified-Since": "yesterday"}, None),
    "match-counts-and-not-unmodified": ({"If-Match": '"v1"', "If-Unmodified-Since": EARLIER}, None),
    "no-match-counts-and-not-unmodified": ({"If-Match": '"v2"', "If-Unmodified-Since": LATER}, 412),
    "none-match": ({"If-None-Match": '"v1"'}, 304),
    "none-match-weakly": ({"If-None-Match": 'W/"v1"'}, 304),
    "none-match-any": ({"If-None-Match": "*"}, 304),
    "none-match-among-others": ({"If-None-Match": '"v0",W/"v1"'}, 304),
    "none-match-another": ({"If-None-Match": '"v2"'}, None),
    "none-match-nothing": ({"If-None-Match": ""}, None),
    "modified-since-then": ({"If-Modified-Since": THEN}, 304),
    "modified-since-later": ({"If-Modified-Since": LATER}, 304),
    "modified-since-earlier": ({"If-Modified-Since": EARLIER}, None),
    "modified-since-no-date": ({"If-Modified-Since": "tomorrow"}, None),
    "modified-since-in-the-form-of-rfc-850": ({"If-Modified-Since": "Sunday, 06-Nov-94 08:49:37 GMT"}, 304),
    "modified-since-in-the-form-of-asctime": ({"If-Modified-Since": "Sun Nov  6 08:49:37 1994"}, 304),
    "none-match-counts-and-not-modified": ({"If-None-Match": '"v2"', "If-Modified-Since": LATER}, None),
    "a-match-comes-before-none-match": ({"If-Match": '"v2"', "If-None-Match": '"v1"'}, 412),
    "a-match-leaves-none-match": ({"If-Match": '"v1"', "If-None-Match": '"v1"'}, 304),
    "unmodified-comes-before-none-match": ({"If-Unmodified-Since": EARLIER, "If-None-Match": '"v1"'}, 412),
}


@pytest.mark.parametrize(("headers", "status"), CONDITIONS.values(), ids=CONDITIONS)
def test_what_a_condition_leads_to(headers: dict[str, str], status: int | None) -> None:
    assert FILE.refusal(headers) == status


@pytest.mark.parametrize(
    ("header", "now", "allowed"),
    [
        (None, 0, True),
        ('"v1"', 0, True),
        ('"v2"', 0, False),
        ('W/"v1"', 0, False),
        ('"v1", "v2"', 0, False),
        ("*", 0, False),
        ("", 0, False),
        ("v1", 0, False),
        (THEN, 784_111_778, True),
        (THEN, 784_111_777.9, False),
        (EARLIER, 784_111_999, False),
        (LATER, 784_111_999, False),
        ("yesterday", 784_111_999, False),
    ],
)
def test_ranges_go_to_those_who_surely_have_the_same_version(header: str | None, now: float, *, allowed: bool) -> None:
    assert FILE.allow_ranges(header, now) is allowed


def test_the_time_as_a_header_has_it() -> None:
    assert FILE.headers == {"ETag": FILE.etag, "Last-Modified": THEN}


def test_without_a_time_only_the_tag_counts() -> None:
    timeless = Validators('"v1"')
    assert timeless.headers == {"ETag": '"v1"'}
    for name in ("If-Unmodified-Since", "If-Modified-Since"):
        assert [timeless.refusal({name: date}) for date in (EARLIER, THEN, LATER)] == [None] * 3
    assert timeless.refusal({"If-None-Match": '"v1"'}) == 304
    assert [timeless.allow_ranges(header, 9e9) for header in (THEN, "yesterday", '"v1"')] == [False, False, True]
