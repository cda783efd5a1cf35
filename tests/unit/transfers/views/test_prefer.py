"""What a client's `Prefer` header (RFC 7240) asks of us."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfers.views.prefer import MAX_WAIT_SECONDS, applied, responds_async, wait_seconds

DEFAULT = 2.0

HEADERS = {
    "nothing": ("", False, DEFAULT),
    "async": ("respond-async", True, 0),
    "async-in-capitals": ("Respond-Async", True, 0),
    "async-among-others": ("return=minimal, respond-async", True, 0),
    "async-with-a-parameter": ("respond-async; foo=bar", True, 0),
    "async-before-wait": ("respond-async, wait=10", True, 0),
    "async-after-wait": ("wait=10,respond-async", True, 0),
    "another-preference-that-ends-alike": ("x-respond-async", False, DEFAULT),
    "another-preference-that-begins-alike": ("respond-asynchronously", False, DEFAULT),
    "wait": ("wait=10", False, 10),
    "wait-in-capitals": ("WAIT=10", False, 10),
    "wait-with-spaces": (" wait = 10 ", False, 10),
    "wait-quoted": ('wait="10"', False, 10),
    "wait-not-at-all": ("wait=0", False, 0),
    "wait-among-others": ("handling=lenient, wait=5; x=y", False, 5),
    "the-first-wait-counts": ("wait=5, wait=7", False, 5),
    "wait-too-long": ("wait=61", False, MAX_WAIT_SECONDS),
    "wait-for-ever": ("wait=" + "9" * 500, False, MAX_WAIT_SECONDS),
    "wait-without-a-number": ("wait", False, DEFAULT),
    "wait-for-nothing": ("wait=", False, DEFAULT),
    "wait-for-words": ("wait=long", False, DEFAULT),
    "wait-negative": ("wait=-1", False, DEFAULT),
    "wait-in-fractions": ("wait=1.5", False, DEFAULT),
    "another-preference-with-wait-in-it": ("await=10", False, DEFAULT),
    "something-else": ("return=representation", False, DEFAULT),
    "garbage": (',;="\\', False, DEFAULT),
}


@pytest.mark.parametrize(("header", "at_once", "seconds"), HEADERS.values(), ids=HEADERS)
def test_what_is_preferred(header: str, *, at_once: bool, seconds: float) -> None:
    assert responds_async(header) is at_once
    assert wait_seconds(header, DEFAULT) == seconds


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("", None),
        ("return=minimal", None),
        ("wait=long", None),
        ("Respond-Async", "respond-async"),
        ("respond-async, wait=10", "respond-async"),
        ('wait="10"', "wait=10"),
        ("wait=0", "wait=0"),
        ("wait=999", "wait=60"),
    ],
)
def test_what_is_told_to_be_honoured(header: str, told: str | None) -> None:
    assert applied(header) == told


@given(st.text() | st.text('wait=0123456789,; "respond-async', max_size=60))
def test_any_header_gives_a_time_that_can_be_waited_for(header: str) -> None:
    seconds = wait_seconds(header, DEFAULT)
    assert 0 <= seconds <= MAX_WAIT_SECONDS
    if responds_async(header):
        assert seconds == 0
