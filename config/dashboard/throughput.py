"""Bytes moved in the last hour, by kind, as numbers and as a line of sixty bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transfers import tally
from transfers.admin import wording
from transfers.tally import Counted

KINDS = {
    "download": ("Fetched from sources", "admin:transfers_download_changelist"),
    "upload": ("Received in uploads", "admin:transfers_upload_changelist"),
    "sync": ("Moved by case syncs", "admin:sync_job_changelist"),
    "zip": ("Put into zips", "admin:transfers_order_changelist"),
    "sent": ("Sent to clients", "admin:transfers_storedfile_changelist"),
}
"""What each is called, and the list of what it moved."""
HEIGHT = 24
"""Of the tallest bar, in the drawing's own units; each minute is one unit wide."""
_LEAST = 1
"""How high a bar is at least that stands for anything."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """What was moved of one kind."""

    title: str
    view: str
    hour: str
    now: str
    """The speed of the last whole minute."""
    bars: str
    """The bars, as a path of SVG."""


def told(minutes: Mapping[Counted, Sequence[int]]) -> list[Throughput]:
    """Every kind's, from the counts of the last sixty minutes."""
    return [_of(kind, minutes.get(tally.counted("bytes_moved", kind=kind), [0] * tally.HOUR)) for kind in KINDS]


def sums(minutes: Mapping[Counted, Sequence[int]]) -> dict[str, int]:
    """Every kind's bytes in the last sixty minutes."""
    return {kind: sum(minutes.get(tally.counted("bytes_moved", kind=kind), ())) for kind in KINDS}


def _of(kind: str, minutes: Sequence[int]) -> Throughput:
    title, view = KINDS[kind]
    return Throughput(
        title=title,
        view=view,
        hour=wording.size(sum(minutes)),
        now=wording.rate(minutes[-2] / 60),
        bars=bars(minutes),
    )


def bars(minutes: Sequence[int]) -> str:
    """A bar for each minute, the tallest of the full height; "" when nothing was moved."""
    tallest = max(minutes)
    heights = [max(_LEAST, round(count * HEIGHT / tallest)) if count else 0 for count in minutes]
    return "".join(f"M{at}.1 {HEIGHT}v-{height}h.8v{height}z" for at, height in enumerate(heights) if height)
