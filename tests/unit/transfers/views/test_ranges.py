"""Range headers as RFC 9110 has them: a table, and any header against a model."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfers.views.ranges import GAP_BYTES, MAX_RANGES, content_range, multipart, requested

SIZE = 10_000
WHOLE = None
UNSATISFIABLE: list[range] = []

HEADERS: dict[str, tuple[str, list[range] | None]] = {
    "none": ("", WHOLE),
    "the-first-byte": ("bytes=0-0", [range(1)]),
    "the-last-byte": ("bytes=9999-9999", [range(9999, 10_000)]),
    "some": ("bytes=500-999", [range(500, 1000)]),
    "all": ("bytes=0-9999", [range(10_000)]),
    "more-than-all": ("bytes=0-10000", [range(10_000)]),
    "open-ended": ("bytes=9500-", [range(9500, 10_000)]),
    "open-ended-from-the-start": ("bytes=0-", [range(10_000)]),
    "suffix": ("bytes=-500", [range(9500, 10_000)]),
    "suffix-of-all": ("bytes=-10000", [range(10_000)]),
    "suffix-of-more-than-all": ("bytes=-10001", [range(10_000)]),
    "suffix-of-nothing": ("bytes=-0", UNSATISFIABLE),
    "beyond-the-end": ("bytes=10000-", UNSATISFIABLE),
    "far-beyond-the-end": ("bytes=10000-10001", UNSATISFIABLE),
    "two": ("bytes=0-99,5000-5099", [range(100), range(5000, 5100)]),
    "two-in-descending-order": ("bytes=5000-5099,0-99", [range(5000, 5100), range(100)]),
    "the-first-and-the-last-byte": ("bytes=0-0,-1", [range(1), range(9999, 10_000)]),
    "one-of-two-beyond-the-end": ("bytes=10000-,0-99", [range(100)]),
    "both-beyond-the-end": ("bytes=10000-,-0", UNSATISFIABLE),
    "overlapping": ("bytes=0-99,50-149", [range(150)]),
    "touching": ("bytes=0-99,100-149", [range(150)]),
    "nearly-touching": (f"bytes=0-99,{100 + GAP_BYTES}-999", [range(1000)]),
    "not-quite-touching": (f"bytes=0-99,{101 + GAP_BYTES}-999", [range(100), range(101 + GAP_BYTES, 1000)]),
    "one-within-another": ("bytes=0-999,100-199", [range(1000)]),
    "twice-the-same": ("bytes=7-8,7-8", [range(7, 9)]),
    "joined-where-the-first-one-stood": ("bytes=5000-5099,0-99,5050-5199", [range(5000, 5200), range(100)]),
    "a-bridge-between-two": ("bytes=0-99,1000-1099,90-1010", [range(1100)]),
    "unit-in-capitals": ("BYTES=0-0", [range(1)]),
    "spaces-around-commas": ("bytes= 0-99 ,\t5000-5099 ", [range(100), range(5000, 5100)]),
    "empty-elements": ("bytes=,0-99,,5000-5099,", [range(100), range(5000, 5100)]),
    "leading-zeros": ("bytes=000-0000099", [range(100)]),
    "a-megabyte-of-zeros": (f"bytes=0-{'0' * 2**20}99", [range(100)]),
    "a-last-byte-of-a-megabyte-of-digits": (f"bytes=9000-{'9' * 2**20}", [range(9000, 10_000)]),
    "a-first-byte-of-a-megabyte-of-digits": (f"bytes={'9' * 2**20}-", UNSATISFIABLE),
    "a-suffix-of-a-megabyte-of-digits": (f"bytes=-{'9' * 2**20}", [range(10_000)]),
    "as-many-as-may-be": ("bytes=" + ",".join(["0-0"] * MAX_RANGES), [range(1)]),
    "one-too-many": ("bytes=" + ",".join(["0-0"] * (MAX_RANGES + 1)), WHOLE),
    "another-unit": ("items=0-99", WHOLE),
    "no-unit": ("0-99", WHOLE),
    "the-unit-alone": ("bytes", WHOLE),
    "no-ranges": ("bytes=", WHOLE),
    "no-ranges-but-commas": ("bytes=,,", WHOLE),
    "no-numbers": ("bytes=-", WHOLE),
    "backwards": ("bytes=99-0", WHOLE),
    "one-of-two-backwards": ("bytes=0-99,99-0", WHOLE),
    "a-space-within": ("bytes=0 -99", WHOLE),
    "a-space-before-the-sign": ("bytes =0-99", WHOLE),
    "negative": ("bytes=--5", WHOLE),
    "signed": ("bytes=+0-99", WHOLE),
    "hexadecimal": ("bytes=0x0-0x9", WHOLE),
    "digits-of-another-script": ("bytes=\u0660-\u0669", WHOLE),
    "superscript-digits": ("bytes=²-³", WHOLE),
    "a-decimal-point": ("bytes=0-9.9", WHOLE),
    "three-numbers": ("bytes=0-9-99", WHOLE),
    "a-header-twice": ("bytes=0-9,bytes=20-29", WHOLE),
    "a-line-break": ("bytes=0-9\n", WHOLE),
}


@pytest.mark.parametrize(("header", "expected"), HEADERS.values(), ids=HEADERS)
def test_what_a_header_asks_for(header: str, expected: list[range] | None) -> None:
    assert requested(header, SIZE) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", UNSATISFIABLE),
        ("bytes=0-", UNSATISFIABLE),
        ("bytes=-0", UNSATISFIABLE),
        ("bytes=-1", WHOLE),
        ("bytes=0-,-1", WHOLE),
    ],
)
def test_an_empty_file_has_an_end_but_no_range(header: str, expected: list[range] | None) -> None:
    assert requested(header, 0) == expected


sizes = st.integers(0, 3_000)
numbers = st.one_of(st.just(""), st.integers(0, 4_000).map(str), st.sampled_from(["007", "9" * 40]))
specs = st.tuples(numbers, numbers).map("-".join)
headers = st.one_of(
    st.lists(specs, max_size=8).map(lambda each: f"bytes={','.join(each)}"), st.text("bytes=0123456789-, ", max_size=30)
)


def model(header: str, size: int) -> set[int] | None:
    """The bytes that are asked for, and None where the header is to be ignored: RFC 9110 word by word."""
    asked: set[int] = set()
    elements = [each.strip() for each in header.removeprefix("bytes=").split(",") if each.strip()]
    for element in elements:
        match = re.fullmatch(r"(?:(?P<first>\d+)-(?P<last>\d*)|-(?P<suffix>\d+))", element)
        if not match or (match["last"] and int(match["last"]) < int(match["first"])):
            return None
        if match["suffix"]:
            if not size and int(match["suffix"]):
                return None
            asked |= set(range(max(0, size - int(match["suffix"])), size))
        else:
            asked |= set(range(int(match["first"]), min(size, int(match["last"] or size) + 1)))
    return asked if header.startswith("bytes=") and elements else None


@given(headers, sizes)
def test_any_header_asks_for_what_the_rfc_says(header: str, size: int) -> None:
    found, asked = requested(header, size), model(header, size)
    assert (found is None) == (asked is None)
    if found is not None and asked is not None:
        sent = [offset for each in found for offset in each]
        assert len(sent) == len(set(sent))
        assert asked <= set(sent) <= set(range(size))
        assert all(each.start in asked and each.stop - 1 in asked for each in found)
        ordered = sorted(found, key=lambda each: each.start)
        assert all(after.start - before.stop > GAP_BYTES for before, after in itertools.pairwise(ordered))


def test_a_body_of_several_ranges() -> None:
    pieces = multipart([range(1), range(5, 9)], 10, "text/plain", "xyz")
    data = b"0123456789"
    assert b"".join(piece if isinstance(piece, bytes) else data[piece.start : piece.stop] for piece in pieces) == (
        b"--xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/10\r\n\r\n0\r\n"
        b"--xyz\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-8/10\r\n\r\n5678\r\n"
        b"--xyz--\r\n"
    )


def test_a_range_in_words() -> None:
    assert content_range(range(500, 1000), 1234) == "bytes 500-999/1234"
