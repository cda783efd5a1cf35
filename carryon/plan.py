"""The arithmetic of parts: pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from carryon.errors import UsageError

MAX_PARTS = 10_000
"""Parts an upload may have: the contract's limit, and that of S3."""


@dataclass(frozen=True, slots=True)
class Part:
    """A half-open run of a file's bytes, numbered from 1."""

    number: int
    offset: int
    size: int
    """Bytes; 0 only in the one part of an empty file."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a file of `size` bytes is cut into parts of `part_size` bytes, the last one shorter."""

    size: int
    part_size: int

    def __post_init__(self) -> None:
        """UsageError when there would be more parts than an upload may have."""
        if len(self) > MAX_PARTS:
            least = -(-self.size // MAX_PARTS)
            raise UsageError(
                f"parts of {self.part_size} bytes would be {len(self)}, and an upload has at most {MAX_PARTS}:"
                f" this file needs --part-size {least} or more"
            )

    def __len__(self) -> int:
        """How many parts there are; an empty file has one, which is empty."""
        return max(1, -(-self.size // self.part_size))

    def __iter__(self) -> Iterator[Part]:
        return (self.part(number) for number in range(1, len(self) + 1))

    def part(self, number: int) -> Part:
        """The part with this number, from 1; IndexError when there is none."""
        if not 1 <= number <= len(self):
            raise IndexError(f"part {number} is not among 1 to {len(self)}")
        offset = (number - 1) * self.part_size
        return Part(number, offset, min(self.part_size, self.size - offset))
