"""Who the user is: the token, and where it may come from."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from carryon.errors import UsageError

_TOKEN = re.compile(r"[\x21-\x7e]+")
"""What a header can carry."""
MAX_CHARACTERS = 8192


def token(named_file: str | None, environment: Mapping[str, str]) -> str:
    """The token from the named file ("-" is stdin), the environment, or the user's configuration; UsageError."""
    if named_file == "-":
        return _checked(sys.stdin.readline(MAX_CHARACTERS), "stdin")
    if named_file is not None:
        return _read(Path(named_file))
    if environment.get("CARRYON_TOKEN"):
        return _checked(environment["CARRYON_TOKEN"], "CARRYON_TOKEN")
    kept = folder(environment, "XDG_CONFIG_HOME", ".config") / "token"
    if kept.exists():
        return _read(kept)
    raise UsageError(f"no token: set CARRYON_TOKEN, or name a file with --token-file, or put it into {kept}")


def folder(environment: Mapping[str, str], variable: str, default: str) -> Path:
    """Our folder of a kind that the XDG base directory specification names by this variable."""
    named = environment.get(variable, "")
    return (Path(named) if Path(named).is_absolute() else Path.home() / default) / "carryon"


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return _checked(file.readline(MAX_CHARACTERS), str(path))
    except OSError as error:
        raise UsageError(f"no token: {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"no token: {path} is not text") from error


def _checked(text: str, place: str) -> str:
    found = text.strip()
    if not _TOKEN.fullmatch(found):
        raise UsageError(f"no token: what {place} has is none")
    return found
