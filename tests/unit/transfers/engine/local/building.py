"""Building one file through a local sink, step by step."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from transfers.engine.copying import Watch, WholePlan, copy
from transfers.engine.local import LocalSink
from transfers.engine.memory import MemorySource
from transfers.engine.plan import Plan
from transfers.errors import SourceInterruptedError

CONTENT = random.Random(5).randbytes(20_480)
OTHER = random.Random(6).randbytes(len(CONTENT))
SIZE = len(CONTENT)
PLAN = Plan(SIZE, 6000)  # four parts, the last of 2480 bytes
NAME = "film.mov"


class CutReader:
    """Gives these bytes and then fails."""

    def __init__(self, content: bytes) -> None:
        self._rest = content

    def readinto(self, buffer: memoryview) -> int:
        if not self._rest:
            raise SourceInterruptedError("cut")
        piece, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def begun(folder: Path, *, generation: str = "one", plan: Plan = PLAN, replace: bool = False) -> LocalSink:
    """A sink that is ready for the plan's parts."""
    sink = LocalSink(folder / NAME, generation=generation, replace=replace)
    sink.begin(plan)
    return sink


def write(sink: LocalSink, number: int, *, content: bytes = CONTENT, plan: Plan = PLAN) -> None:
    """Store the whole part, whatever is stored of it."""
    part = plan.part(number)
    with MemorySource(content).open(part.offset, part.end) as reader:
        sink.write_part(part, reader)


def write_beginning(sink: LocalSink, number: int, count: int, *, start: int = 0, plan: Plan = PLAN) -> None:
    """Store so many bytes of the part from its byte `start` on, and let the reader fail."""
    part = plan.part(number)
    begin = part.offset + start
    with pytest.raises(SourceInterruptedError):
        sink.write_part(part, CutReader(CONTENT[begin : begin + count]), start)


def sizes(sink: LocalSink) -> dict[int, int]:
    """Bytes stored, by part number."""
    return {number: part.size for number, part in sink.stored_parts().items()}


def finish(sink: LocalSink, *, content: bytes = CONTENT, plan: Plan = PLAN) -> int:
    """Copy what is missing, complete and close; gives the bytes that were fetched for it."""
    stored = sink.stored_parts()
    watch = Watch(plan, stored)
    copy(MemorySource(content), sink, WholePlan(plan, stored), watch)
    sink.complete(len(content))
    sink.close()
    return watch.fetched


def names(folder: Path) -> list[str]:
    """What lies in the folder."""
    return sorted(path.name for path in folder.iterdir())


def half_built(folder: Path) -> None:
    """Leave parts 1 and 3 whole and half of part 2, as a run that ended does."""
    sink = begun(folder)
    write(sink, 1)
    write_beginning(sink, 2, 3000)
    write(sink, 3)
    sink.close()
