"""How numbers and names are put before a person."""

from __future__ import annotations

from rich.filesize import decimal

_MINUTE = 60
_HOUR = 3600


def printable(name: str) -> str:
    """A name that any terminal can show, and none obeys."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)


def duration(seconds: float) -> str:
    """So many seconds as a person says them."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def size(count: int) -> str:
    """So many bytes as a person says them, in powers of ten."""
    return decimal(count)
