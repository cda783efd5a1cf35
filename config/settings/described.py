"""The page of all settings, `docs/configure.md`, made from their class so that it cannot go stale."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from config.settings.environment import Environment

_HEAD = """# Configuring Carryon

Every setting is an environment variable. Made by `make docs` from `config/settings/environment.py`; do not edit.

- **Where to set them:** `make run PORT=9000`, or exported in the shell; in containers, in `.env` beside
  `docker-compose.yml`. All processes of a service need the same.
- **From a file:** `<NAME>_FILE` names a file whose text is the value: `SECRET_KEY_FILE=/run/secrets/key`. With both set
  it does not start.
- **Empty is unset.** What cannot be used is told at the start, all faults at once, by name and without its value.
- **Lists** have commas between their items, folders colons; JSON goes between single quotes.
- **Changes** need a restart: nothing is lost by one.
- Not ours, but read by what we use: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
  `AWS_DEFAULT_REGION` and `AWS_PROFILE` for S3; `SSL_CERT_FILE`, a file of certificates to trust.
"""
_SECTIONS = {
    "download": "Downloads",
    "fetch": "Downloads",
    "path": "Downloads",
    "ipfs": "Downloads",
    "legacy": "Downloads",
    "upload": "Files and uploads",
    "storage": "Files and uploads",
    "files": "Files and uploads",
    "s3": "Files and uploads",
    "x": "Files and uploads",
    "static": "Files and uploads",
    "order": "Orders",
    "sync": "Case sync",
    "case": "Case sync",
    "stuck": "Tasks over IPFS",
    "lease": "Workers",
    "heartbeat": "Workers",
    "reap": "Workers",
    "slice": "Workers",
    "sweep": "Workers",
    "worker": "Workers",
    "workers": "Workers",
    "log": "Logs and numbers",
    "metrics": "Logs and numbers",
}
"""The section of a setting, by the first word of its name; all others are told of first."""
_FIRST = "The service"
_UNITS = {
    "bytes_per_second": "bytes a second",
    "bytes": "bytes",
    "seconds": "seconds",
    "minutes": "minutes",
    "hours": "hours",
    "days": "days",
    "per_minute": "a minute",
    "per_hour": "an hour",
}
"""By the end of its name, or with `_per_…` behind it."""
_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_MEBI = 2**20


def page() -> str:
    """The whole page."""
    sections: dict[str, list[str]] = {_FIRST: []}
    for name, field in Environment.model_fields.items():
        section = _SECTIONS.get(name.split("_", 1)[0], _FIRST)
        sections.setdefault(section, []).append(_row(name, field))
    head = "| name | meaning | unit | default | may be |\n|---|---|---|---|---|"
    return _HEAD + "".join(f"\n## {title}\n\n{head}\n" + "".join(rows) for title, rows in sections.items())


def _row(name: str, field: FieldInfo) -> str:
    cells = (f"`{name.upper()}`", field.description or "", _unit(name), _default(name, field), _limits(field))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _unit(name: str) -> str:
    found = (unit for end, unit in _UNITS.items() if name.endswith(f"_{end}") or f"_{end}_per_" in name)
    return next(found, "")


def _default(name: str, field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True)
    if value in (None, "", [], {}):
        return "unset"
    if isinstance(value, Path):
        return f"`./{value}`"
    shown = f"`{value if isinstance(value, str) else json.dumps(value)}`"
    return f"{shown} ({_amount(value)})" if "bytes" in name and value and value % _MEBI == 0 else shown


def _amount(value: int) -> str:
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20)):
        if value >= size and value % size == 0:
            return f"{value // size} {unit}"
    return f"{value // _MEBI} MiB"


def _limits(field: FieldInfo) -> str:
    return ", ".join([*_choices(field.annotation), *_bounds(field.metadata), *_inner_bounds(field.annotation)])


def _choices(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield ", ".join(f"`{choice}`" for choice in get_args(annotation))


def _bounds(metadata: list[Any]) -> Iterator[str]:
    for each in metadata:
        for attribute, sign in _SIGNS.items():
            if (bound := getattr(each, attribute, None)) is not None:
                yield f"{sign} {bound}"


def _inner_bounds(annotation: Any) -> Iterator[str]:
    """The bounds of what is optional: `Annotated[int, …] | None`."""
    for argument in get_args(annotation):
        for constraint in getattr(argument, "__metadata__", ()):
            yield from _bounds([constraint, *getattr(constraint, "metadata", [])])
