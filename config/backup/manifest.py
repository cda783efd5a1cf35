"""What a backup says of itself: `backup.json`, and a line for each file in `files.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from config.backup.copying import sha256_of

FORMAT = 1
_ABOUT = "backup.json"
_FILES = "files.jsonl"
_FAILURES = "failures.json"


class NoBackupError(ValueError):
    """There is no backup that this version can read; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file of the backup, or an empty folder, which has no checksum."""

    place: str
    path: str
    """Below the place's root."""
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0
    """Size, times and inode as they were at the source: what is unchanged is not copied again."""
    sha256: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether it is an empty folder."""
        return not self.sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a backup is of."""

    version: str
    """Of the service."""
    made_at: str
    database: str
    """`sqlite` or `postgresql`."""
    migrations: list[str]
    """Those that the database has, as `app.name`."""
    places: dict[str, str]
    """The folders that its files come from: rows name files by their paths."""
    key: str
    """What tells whether a SECRET_KEY is the one that the database was encrypted with; not the key."""
    key_included: bool
    files: int
    bytes: int
    in_s3: int
    """Files that lie in S3 and so not here."""
    failures: list[str] = field(default_factory=list)
    """Files that could not be read."""
    format: int = FORMAT


def write_about(folder: Path, about: About) -> None:
    """Write what the backup is of, its failures included."""
    (folder / _ABOUT).write_text(json.dumps(asdict(about), indent=2) + "\n")
    (folder / _FAILURES).unlink(missing_ok=True)


def read_about(folder: Path) -> About:
    """What the backup is of; NoBackupError when there is none, or one of a later version."""
    try:
        told = json.loads((folder / _ABOUT).read_text())
    except (OSError, ValueError):
        raise NoBackupError(f"{folder} is no backup: it has no readable {_ABOUT}.") from None
    if told.get("format") != FORMAT:
        raise NoBackupError(f"{folder} is a backup of another format ({told.get('format')}, known is {FORMAT}).")
    return About(**told)


def about_sha256(folder: Path) -> str:
    """What tells this backup from all others, wherever it lies."""
    return sha256_of(folder / _ABOUT)


def write_failures(folder: Path, failures: list[str]) -> None:
    """Keep what could not be read so far for who goes on."""
    (folder / _FAILURES).write_text(json.dumps(failures))


def read_failures(folder: Path) -> list[str]:
    """What whoever began the backup could not read; nothing where it is only now begun."""
    kept = folder / _FAILURES
    failures: list[str] = json.loads(kept.read_text()) if kept.exists() else []
    return failures


class Listing:
    """The file that gets a line for each entry."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / _FILES).open("a")

    def add(self, entry: Entry) -> None:
        """Write down one more."""
        self._file.write(json.dumps(asdict(entry)) + "\n")

    def close(self) -> None:
        """It is whole."""
        self._file.close()


def entries(folder: Path) -> Iterator[Entry]:
    """All that is in the backup."""
    with (folder / _FILES).open() as lines:
        for line in lines:
            yield Entry(**json.loads(line))


def path_in(folder: Path, entry: Entry) -> Path:
    """Where the backup has the file."""
    return folder / "files" / entry.place / entry.path
