"""Protocol buffers' wire format, as far as IPFS nodes use it.

A library would accept unknown fields and need generated classes for two messages; here what is not understood is an
error, because it could mean bytes of the file that nobody has read.
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _BYTES = 0, 2
_MAX_SHIFT = 63
_MAX_NUMBER = 2**64 - 1


class WireError(ValueError):
    """These bytes are no message."""


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The message's fields in order, each its number and a whole number or bytes; WireError."""
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        number, kind = tag >> 3, tag & 7
        value, at = _number(message, at)
        if kind == _VARINT:
            yield number, value
        elif kind == _BYTES and at + value <= len(message):
            yield number, message[at : at + value]
            at += value
        else:
            raise WireError("a field is cut off or of a kind that is not in use")


def packed(value: int | bytes) -> Iterator[int]:
    """The numbers of a repeated field, which may come one by one or all as bytes; WireError."""
    if isinstance(value, int):
        yield value
        return
    at = 0
    while at < len(value):
        number, at = _number(value, at)
        yield number


def _number(message: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends."""
    number = shift = 0
    while at < len(message) and shift <= _MAX_SHIFT:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004 - the bit that says there is more
            if number > _MAX_NUMBER:
                break
            return number, at
    raise WireError("a number does not end")
