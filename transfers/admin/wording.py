"""Sizes, speeds and times in words for a person; `admin-progress.js` words them the same way."""

from __future__ import annotations

from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

NOTHING = "–"  # noqa: RUF001 - a dash on its own, as an empty cell has it
_STEP = 1024
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SPANS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def size(count: int | None) -> str:
    """Bytes in the largest unit that leaves at least one of it, as `157.4 MiB`."""
    if count is None:
        return NOTHING
    amount, power = float(count), 0
    while round(amount, 1) >= _STEP and power < len(_UNITS) - 1:
        amount, power = amount / _STEP, power + 1
    return f"{amount:.1f} {_UNITS[power]}" if power else f"{count} B"


def exact_size(count: int | None) -> str:
    """The same with the number of bytes, as `157.4 MiB (165,051,921 bytes)`."""
    return size(count) if count is None or count < _STEP else f"{size(count)} ({count:,} bytes)"


def rate(bytes_per_second: float) -> str:
    """A speed, as `12.5 MiB/s`; a dash for none."""
    return f"{size(round(bytes_per_second))}/s" if bytes_per_second else NOTHING


def span(seconds: float | None) -> str:
    """A length of time in its two largest units, as `2 min 3 s`."""
    if seconds is None:
        return NOTHING
    if 0 < seconds < 1:
        return "under 1 s"
    rest = max(0, round(seconds))
    words: list[str] = []
    for unit, length in _SPANS:
        count, rest = divmod(rest, length)
        if count or words or unit == "s":
            words.append(f"{count} {unit}" if count or not words else "")
    return " ".join(word for word in words[:2] if word)


def moment(when: datetime | None) -> SafeString | str:
    """A point in time to the second, in UTC."""
    if when is None:
        return NOTHING
    shown = f"{when:%Y-%m-%d %H:%M:%S}"
    return format_html('<time datetime="{}" class="transfer-moment">{}</time>', when.isoformat(), shown)
