"""The arithmetic of parts: pure, made once for a transfer, stored with its row, never recomputed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MIB = 2**20
MAX_PARTS = 10_000
"""Parts a multipart upload may have on S3 (docs: Amazon S3 multipart upload limits)."""
MIN_SHARED_PART_BYTES = 16 * MIB
MAX_SHARED_PART_BYTES = 256 * MIB
SHARED_PARTS = 16
"""Parts a shared transfer aims at: enough for four connections to end together, few enough to cost no requests."""


@dataclass(frozen=True, slots=True)
class Part:
    """A half-open run of bytes, numbered from 1: the unit of storage and resume."""

    number: int
    offset: int
    size: int | None
    """Bytes, or None for the one part of a file whose size is not known."""

    @property
    def end(self) -> int | None:
        """The offset just past the last byte, or None while the size is not known."""
        return None if self.size is None else self.offset + self.size


@dataclass(frozen=True, slots=True)
class Plan:
    """How a file of `size` bytes is cut into parts of `part_size` bytes, the last one shorter."""

    size: int | None
    part_size: int

    def __post_init__(self) -> None:
        if self.part_size < 1 or (self.size is not None and self.size < 0):
            raise ValueError(f"no plan has size {self.size} and part size {self.part_size}")

    def __len__(self) -> int:
        """How many parts there are; an empty file and one of unknown size have one."""
        return 1 if not self.size else -(-self.size // self.part_size)

    def __iter__(self) -> Iterator[Part]:
        return (self.part(number) for number in range(1, len(self) + 1))

    def part(self, number: int) -> Part:
        """The part with this number, from 1; IndexError when there is none."""
        if not 1 <= number <= len(self):
            raise IndexError(f"part {number} is not among 1 to {len(self)}")
        offset = (number - 1) * self.part_size
        if self.size is None:
            return Part(number, offset, None)
        return Part(number, offset, min(self.part_size, self.size - offset))


def whole(size: int | None) -> Plan:
    """A plan of one part, for a file that is moved in one stream; `size` in bytes, None if unknown."""
    return Plan(size, max(size or 1, 1))


def shared(size: int) -> Plan:
    """A plan whose parts several connections and workers move at once; `size` in bytes.

    A part is a sixteenth of the file, within 16 to 256 MiB, and larger only where `MAX_PARTS` would not hold it.
    """
    wanted = min(max(size // SHARED_PARTS, MIN_SHARED_PART_BYTES), MAX_SHARED_PART_BYTES)
    return Plan(size, max(wanted, -(-size // MAX_PARTS)))


SUGGESTED_PART_BYTES = 20 * MIB
"""What an upload's parts are suggested to have (the contract's own example)."""
_ROUND = (4096, 10_000)
"""What the sizes that people choose are multiples of."""
_ROUNDER = (MIB, 1_000_000)
"""What most of them are multiples of, and hardly any by chance."""
_FIELDS_BYTES = 1024
"""What the few fields behind a file may take."""


def suggested_part_size(size: int | None) -> int:
    """Bytes the parts of an upload of `size` bytes should have: more than usual only where `MAX_PARTS` are too few."""
    return max(SUGGESTED_PART_BYTES, -(-(size or 0) // MAX_PARTS))


def stride(number: int, part_size: int, suggested: int, size: int | None) -> int:
    """Bytes between the beginnings of an upload's parts, as the first part to arrive lets one guess.

    That part has `part_size` bytes, of a file of `size` bytes or None. A wrong guess costs a copy within the disk when
    the upload is completed, and nothing else: so a short part that may be the last one is taken for it.
    """
    if part_size >= suggested or number == 1:
        return max(part_size, 1)
    if size is None:
        return max(part_size, 1) if _is_round(part_size) else suggested
    before, odd = divmod(size - part_size, number - 1)
    is_last = before == suggested or (before >= part_size and _is_round(before) and not _is_round(part_size))
    return before if is_last and not odd else max(part_size, 1)


def _is_round(size: int) -> bool:
    return any(size % unit == 0 for unit in _ROUND)


def part_size_within(body_size: int, suggested: int, number: int = 1, size: int | None = None) -> int:
    """Bytes a part most likely has, of which one knows only that some fields of a form follow it in the body.

    Clients cut files into round sizes, the rounder the likelier, and fields are short. So this part's own size is
    round, or, where it is the last of a file of `size` bytes, that of those before it.
    """
    for units in ((suggested, *_ROUNDER), _ROUND):
        own = max(body_size // unit * unit for unit in units)
        last = max(_last_part_size(body_size, number, size, unit) for unit in units)
        for likely in (own, last):
            if 0 <= body_size - likely < _FIELDS_BYTES:
                return likely
    return body_size


def _last_part_size(body_size: int, number: int, size: int | None, unit: int) -> int:
    """The most that the file's last part can have within the body, if those before it have multiples of the unit."""
    if size is None or number == 1:
        return 0
    before = -(-max(size - body_size, 0) // ((number - 1) * unit)) * unit
    return max(size - before * (number - 1), 0)
