"""Byte ranges (RFC 9110, section 14) as arithmetic.

A range is a `range` of offsets, half-open; in headers the last offset is included.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MAX_RANGES = 200
"""Ranges one request may name; Apache's MaxRanges. Who names more gets the whole file."""
GAP_BYTES = 256
"""Bytes between two ranges that are sent along: about what a part of its own would take besides."""
_UNIT = "bytes="
_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
_MOST_DIGITS = 19
"""No file has an offset of more; and Python refuses to read numbers of some thousands."""
_BEYOND = int("1" + "0" * _MOST_DIGITS)

_Spec = tuple[int | None, int | None]
"""First and last offset; without a first, the length of a suffix."""


def requested(header: str, size: int) -> list[range] | None:
    """What to send of `size` bytes, in the order it was asked for, joined where it overlaps or nearly touches.

    None for a header that is to be ignored: of another unit, malformed, of too many ranges, or asking for the end of
    an empty file, which has no range that could be named. Empty when no range can be satisfied.
    """
    specs = _specs(header)
    if specs is None or (not size and any(first is None and last for first, last in specs)):
        return None
    ranges = (_range(spec, size) for spec in specs)
    return _joined([found for found in ranges if found])


def content_range(found: range, size: int) -> str:
    """The range in the words of `Content-Range`."""
    return f"bytes {found.start}-{found.stop - 1}/{size}"


def multipart(ranges: Sequence[range], size: int, content_type: str, boundary: str) -> list[bytes | range]:
    """The pieces of a `multipart/byteranges` body: what is said about the ranges, and the ranges themselves."""
    pieces: list[bytes | range] = []
    for found in ranges:
        head = f"--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {content_range(found, size)}\r\n\r\n"
        pieces += [head.encode("latin-1"), found, b"\r\n"]
    return [*pieces, f"--{boundary}--\r\n".encode()]


def _specs(header: str) -> list[_Spec] | None:
    """What the header names; None when it is to be ignored."""
    if header[: len(_UNIT)].lower() != _UNIT or header.count(",") >= MAX_RANGES:
        return None
    matches = [_SPEC.fullmatch(text) for element in header[len(_UNIT) :].split(",") if (text := element.strip(" \t"))]
    specs = [(_number(match[1]), _number(match[2])) for match in matches if match]
    valid = all(last is not None if first is None else last is None or first <= last for first, last in specs)
    return specs if specs and len(specs) == len(matches) and valid else None


def _number(digits: str) -> int | None:
    """The number, or a larger one than any offset; None without digits."""
    significant = digits.lstrip("0")
    if len(significant) > _MOST_DIGITS:
        return _BEYOND
    return int(significant or "0") if digits else None


def _range(spec: _Spec, size: int) -> range:
    """What there is of it; empty when there is nothing."""
    first, last = spec
    if first is None:
        return range(max(0, size - (last or 0)), size)
    return range(first, size if last is None else min(last + 1, size))


def _joined(ranges: Sequence[range]) -> list[range]:
    """The same bytes, none of them twice: each joined range stands where its first one stood."""
    joined: list[tuple[int, range]] = []
    for place, found in sorted(enumerate(ranges), key=lambda each: each[1].start):
        before = joined[-1] if joined else None
        if before is None or found.start > before[1].stop + GAP_BYTES:
            joined.append((place, found))
        else:
            together = range(before[1].start, max(before[1].stop, found.stop))
            joined[-1] = (min(place, before[0]), together)
    return [found for _, found in sorted(joined, key=lambda each: each[0])]
