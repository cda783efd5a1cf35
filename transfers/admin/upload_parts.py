"""Which parts of an upload are here: as the storage itself knows them, or as they are written down once it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from django.utils.safestring import SafeString

from transfers.admin import wording
from transfers.admin.runs import Run, drawn, gaps, runs_of, worded
from transfers.engine.plan import MAX_PARTS
from transfers.errors import CarryonError
from transfers.models import Upload
from transfers.models.upload import UploadState
from transfers.tasks.upload import collection

FIXED = (UploadState.COMPLETING, UploadState.COMPLETED)
"""Where an upload's parts are written down with it; in every other state the storage knows them."""
TABLED = 100
"""Parts that the page has in its table; a text has them all."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: a part that is here, or a run of numbers that are not."""

    number: str
    size: str = ""
    md5: str = ""

    @property
    def missing(self) -> bool:
        """Whether these are not here."""
        return not self.md5


@dataclass(frozen=True)
class Parts:
    """The parts of an upload that are here."""

    upload: Upload
    here: dict[int, tuple[int | None, str]]
    """Sizes and MD5s by number; a size is None once only the MD5s are kept."""
    problem: str = ""
    """Why the storage could not be asked."""

    @classmethod
    def of(cls, upload: Upload) -> Parts:
        """Ask whoever knows them."""
        if upload.state in FIXED:
            return cls(upload, {int(number): (None, md5) for number, md5 in upload.parts.items()})
        try:
            stored = collection(upload).stored_parts()
        except (CarryonError, OSError) as error:
            return cls(upload, {}, problem=str(error))
        return cls(upload, {number: (part.size, part.etag) for number, part in stored.items()})

    @property
    def stored_bytes(self) -> int | None:
        """Bytes of all of them; None where that was not asked or could not be."""
        asked = self.sized and not self.problem
        return sum(size or 0 for size, _ in self.here.values()) if asked else None

    @property
    def sized(self) -> bool:
        """Whether their sizes are known."""
        return self.upload.state not in FIXED

    @cached_property
    def runs(self) -> list[Run]:
        """Their numbers."""
        return runs_of(self.here)

    @cached_property
    def last(self) -> int:
        """The highest number that is to be expected, as far as that can be told."""
        highest = self.runs[-1][1] if self.runs else 0
        return highest if self.upload.state in FIXED else max(highest, expected(self.upload) or 0)

    @cached_property
    def gaps(self) -> list[Run]:
        """The numbers that are not here."""
        return gaps(self.runs, self.last)

    @property
    def tabled(self) -> int:
        """How many the table has."""
        return min(len(self.here), TABLED)

    @property
    def count(self) -> str:
        """How many there are."""
        return f"{len(self.here):,}"

    @property
    def told(self) -> str:
        """How many there are of how many, where that can be told."""
        whole = self.upload.state in FIXED or expected(self.upload) is None
        return self.count if whole else f"{self.count} of {self.last:,}"

    @property
    def present(self) -> str:
        """Which are here."""
        return worded(self.runs)

    @property
    def missing(self) -> str:
        """Which are not."""
        return worded(self.gaps)

    @property
    def drawing(self) -> SafeString:
        """All of them at a glance."""
        return drawn(self.runs, self.last)

    @property
    def all_tabled(self) -> bool:
        """Whether the table has them all."""
        return len(self.here) <= TABLED

    def rows(self) -> Iterator[Row]:
        """The first of them, and what is missing in between and after."""
        before = 0
        for number in sorted(self.here)[:TABLED]:
            size, md5 = self.here[number]
            if number > before + 1:
                yield Row(worded([(before + 1, number - 1)]))
            yield Row(str(number), wording.size(size), md5)
            before = number
        if self.all_tabled and before < self.last:
            yield Row(worded([(before + 1, self.last)]))

    def lines(self) -> Iterator[str]:
        """All of them as text: number, bytes, MD5."""
        for number in sorted(self.here):
            size, md5 = self.here[number]
            yield f"{number}\t{'-' if size is None else size}\t{md5}\n"


def expected(upload: Upload) -> int | None:
    """How many parts it should come to have, by the first to arrive; None when its size is unknown."""
    if upload.size is None:
        return None
    count = max(1, -(-upload.size // (upload.stride or upload.part_size)))
    return count if count <= MAX_PARTS else max(1, -(-upload.size // upload.part_size))


def counted(upload: Upload, parts_fixed: int) -> str:
    """How many parts are here, without asking the storage: counted where they are written down, else about."""
    if upload.state in FIXED:
        return f"{parts_fixed:,}" if parts_fixed else wording.NOTHING
    count, about = expected(upload), -(-upload.received // (upload.stride or upload.part_size))
    if count is None:
        return f"≈ {about:,}" if about else "0"
    shown = min(about, count)
    return f"≈ {shown:,} of {count:,}" if shown else f"0 of {count:,}"
