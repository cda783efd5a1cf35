"""Which folders a backup has the files of, and what of them it leaves out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transfers.engine.local.names import JOURNAL_SUFFIX, OUR_SUFFIXES, PART_SUFFIX

if TYPE_CHECKING:
    from config.settings.environment import Environment

OUTSIDE = "outside"
"""The place of files that rows name and that lie in no folder of ours; its root is that of the file system."""
RESTORING = "restoring"
"""What lies in DATA_DIR for as long as a restore is not finished."""
KEY = "secret_key"
UPLOADS = ".uploads"


@dataclass(frozen=True, slots=True)
class Found:
    """Something in a place, by its path below the place's root."""

    place: str
    path: str
    source: Path


def places(environment: Environment) -> dict[str, Path]:
    """The folders that hold files of the service, by name; none lies in another."""
    named = {
        "data": environment.data_dir,
        "downloads": environment.download_root,
        "files": environment.files_root,
        "cases": environment.sync_save_path,
    } | {f"cloud-{region}": cloud.folder for region, cloud in environment.sync_regions.items() if cloud.folder}
    chosen: dict[str, Path] = {}
    for name, folder in sorted(named.items(), key=lambda item: (len(item[1].parts), item[0] != "data")):
        if not any(folder.is_relative_to(other) for other in chosen.values()):
            chosen[name] = folder
    return chosen


def left_out(environment: Environment, database: Path | None) -> frozenset[Path]:
    """What lies there and is no file to keep: of the running service, the database, the key."""
    data = environment.data_dir
    ours = {data / name for name in ("run", "broker", "unshown_login", RESTORING, KEY)}
    if database is not None:
        ours |= {database.with_name(database.name + suffix) for suffix in ("", "-wal", "-shm", "-journal")}
    return frozenset(ours)


def part_pairs(roots: Mapping[str, Path], without: frozenset[Path]) -> Iterator[Found]:
    """The journals of part files, each of which has its part file beside it."""
    for found in everything(roots, without):
        if found.path.endswith(JOURNAL_SUFFIX) and part_of(found.source).is_file():
            yield found


def part_of(journal: Path) -> Path:
    """The part file that a journal is about."""
    return journal.with_name(journal.name.removesuffix(JOURNAL_SUFFIX) + PART_SUFFIX)


def is_unfinished(source: Path) -> bool:
    """Whether it is something of a transfer that is under way, to be told by its name and its journal."""
    suffix = next((each for each in sorted(OUR_SUFFIXES, key=len, reverse=True) if source.name.endswith(each)), None)
    if suffix is None:
        return False
    stem = source.name.removesuffix(suffix)
    return suffix != PART_SUFFIX or source.with_name(stem + JOURNAL_SUFFIX).exists()


def finished(roots: Mapping[str, Path], without: frozenset[Path], files_root: Path) -> Iterator[Found]:
    """All files, and folders that are empty, but for what is unfinished."""
    uploads = files_root / UPLOADS
    for found in everything(roots, without | {uploads}):
        if not is_unfinished(found.source):
            yield found


def everything(roots: Mapping[str, Path], without: frozenset[Path]) -> Iterator[Found]:
    """Whatever lies in the places, folders only where they are empty, in the order of their names."""
    for place, root in roots.items():
        if root.is_dir():
            for path in _walked(root, without):
                yield Found(place, str(path.relative_to(root)), path)


def _walked(folder: Path, without: frozenset[Path]) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, PermissionError):  # deleted meanwhile; or whoever takes the folder itself finds out
        return
    for entry in entries:
        path = Path(entry.path)
        if path in without:
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield path
        elif (inner := iter(_walked(path, without))) and (first := next(inner, None)) is not None:
            yield first
            yield from inner
        else:
            yield path
