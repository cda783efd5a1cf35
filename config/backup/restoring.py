"""Restoring a backup: nothing that is there is overwritten, and until all is there the service does not start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.db.migrations.loader import MigrationLoader

from config.backup import databases, manifest, places
from config.backup.copying import put, sha256_of, sync
from config.backup.making import Tell, key_fingerprint
from config.backup.manifest import About, Entry, NoBackupError
from config.supervisor.errors import StartError
from config.supervisor.run_folder import RunFolder
from transfers.engine.local.journal import bound_inode, rebind
from transfers.engine.local.names import JOURNAL_SUFFIX, PART_SUFFIX
from transfers.models import StoredFile
from transfers.storage.choice import SCHEME

SHOWN = 10
_FILES_ARE_THERE = "the files are there, the database comes next"


class RefusedError(Exception):
    """The backup is not restored, and nothing was changed; the text says why."""


@dataclass(slots=True)
class Outcome:
    """What became of a restore, or would."""

    files: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    """Files whose bytes in the backup are not those that were put in: left out."""
    missing: list[str] = field(default_factory=list)
    """Rows whose file is not there."""
    differing: list[str] = field(default_factory=list)
    """Rows whose file is another than the row tells."""
    failures: list[str] = field(default_factory=list)
    """Files that the backup could not read when it was made."""
    in_s3: int = 0
    """Rows whose file lies in S3, which was not asked."""

    @property
    def is_whole(self) -> bool:
        """Whether all is there."""
        return not (self.damaged or self.missing or self.differing or self.failures)


class Restore:
    """A backup and the place where it is to go."""

    def __init__(self, folder: Path, tell: Tell) -> None:
        self._folder, self._tell = folder, tell
        self._environment = settings.ENVIRONMENT
        self.about: About = manifest.read_about(folder)
        self._roots = {name: Path(root) for name, root in self.about.places.items()} | {places.OUTSIDE: Path("/")}
        self._key = self._environment.data_dir / places.KEY
        self._marker = self._environment.data_dir / places.RESTORING
        self._dump = folder / databases.file_name()

    def check(self, *, database_follows: bool = False) -> None:
        """Nothing where it can be restored here; RefusedError with the first reason why not."""
        for reason in self._reasons(database_follows=database_follows):
            raise RefusedError(reason)

    def read(self) -> Outcome:
        """Read all of the backup and change nothing."""
        outcome = Outcome(failures=self.about.failures)
        if self._dump.exists():
            databases.check(self._dump)
        for entry in self._entries():
            if sha256_of(manifest.path_in(self._folder, entry)) != entry.sha256:
                outcome.damaged.append(str(self._target(entry)))
            self._count(outcome, entry)
        return outcome

    def files(self) -> Outcome:
        """Bring the files and the key; what is there already as it was stays."""
        outcome = Outcome(failures=self.about.failures)
        data = self._environment.data_dir
        data.chmod(data.stat().st_mode & 0o750)  # it may have been made by this very start, for everybody to read
        if not self._files_are_there():
            self._mark("the files come first")
        if self.about.key_included:
            # One that is there was made by this very start, and has encrypted nothing.
            _replace(self._key, (self._folder / places.KEY).read_bytes())
        folders: set[Path] = set()
        for entry in manifest.entries(self._folder):
            self._bring(entry, outcome)
            folders.update(_between(self._target(entry).parent, self._roots[entry.place]))
            if not entry.is_folder:
                self._count(outcome, entry)
        for folder in folders:
            sync(folder)
        self._mark(_FILES_ARE_THERE)
        return outcome

    def database(self) -> None:
        """Bring the database, which comes at once or not at all, unless an interrupted restore has."""
        if databases.is_empty():
            databases.restore(self._dump)

    def end(self, outcome: Outcome) -> None:
        """Hold the rows against the files, and let the service start."""
        compare(outcome)
        self._marker.unlink(missing_ok=True)

    # Why not

    def _reasons(self, *, database_follows: bool) -> Iterator[str]:
        yield from self._wrong_here()
        yield from self._wrong_version()
        if not database_follows and not self._dump.is_file():
            yield f"{self._folder} has no {self._dump.name}."
        if not databases.is_empty() and not self._files_are_there():
            yield "The database is not empty: restore into a new one. Nothing is ever overwritten."
        if found := self._in_the_way():
            told = "\n".join(f"  {path}" for path in found[:SHOWN])
            yield f"{len(found)} files lie where others of the backup belong; nothing is ever overwritten:\n{told}"
        if lacking := [str(path) for path in self._lacking()]:
            told = "\n".join(f"  {path}" for path in lacking[:SHOWN])
            yield f"{len(lacking)} files are missing in the backup itself:\n{told}"

    def _wrong_here(self) -> Iterator[str]:
        folder = RunFolder(self._environment.run_dir)
        try:
            folder.lock()
        except StartError as error:
            yield str(error)
        else:
            folder.release()
        vendor = "sqlite" if databases.sqlite_path() else "postgresql"
        if vendor != self.about.database:
            yield f"The backup is of {self.about.database}, and this service is set to {vendor} (DATABASE_URL)."
        here = {name: str(root) for name, root in places.places(self._environment).items()}
        for name in sorted(here.keys() | self.about.places):
            then, now = self.about.places.get(name, "no folder of their own"), here.get(name, "no folder of their own")
            if then != now:
                yield (
                    f"The files of '{name}' were in {then}, and are to be in {now} now. The database names files by "
                    "their paths: give this service the folders that it had "
                    "(DATA_DIR, FILES_ROOT, DOWNLOAD_ROOT, SYNC_SAVE_PATH, SYNC_REGIONS)."
                )
        keys = (settings.SECRET_KEY, *self._environment.secret_key_fallbacks)
        known = self.about.key in map(key_fingerprint, keys)
        if self.about.key_included and self._environment.secret_key and not known:
            yield "SECRET_KEY is another than the backup's, which brings its own: unset it, or set the former one."
        if not self.about.key_included and not known:
            yield "The backup has no key, and SECRET_KEY is not the one that its database was encrypted with."

    def _wrong_version(self) -> Iterator[str]:
        known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
        if unknown := sorted(set(self.about.migrations) - known):
            yield (
                f"The backup is of version {self.about.version}, whose database this version does not know "
                f"({', '.join(unknown[:3])}): restore it with that version, or a later one."
            )

    def _in_the_way(self) -> list[Path]:
        """Files of ours that have the place of others."""
        targets = ((entry, self._target(entry)) for entry in self._entries())
        return [path for entry, path in targets if os.path.lexists(path) and not _is_there(entry, path)]

    def _lacking(self) -> Iterator[Path]:
        for entry in self._entries():
            kept = manifest.path_in(self._folder, entry)
            if not kept.is_file() or kept.stat().st_size != entry.size:
                yield kept

    # How far it is

    def _mark(self, step: str) -> None:
        """Note durably which backup is being restored, and how far that is; the service does not start meanwhile."""
        _replace(self._marker, f"{self._folder}\n{manifest.about_sha256(self._folder)}\n{step}\n".encode())

    def _files_are_there(self) -> bool:
        """Whether an earlier restore of this very backup got as far as the database, which was empty until then."""
        told = self._marker.read_text().splitlines() if self._marker.exists() else []
        return told[1:] == [manifest.about_sha256(self._folder), _FILES_ARE_THERE]

    # What is brought

    def _entries(self) -> Iterator[Entry]:
        return (entry for entry in manifest.entries(self._folder) if not entry.is_folder)

    def _target(self, entry: Entry) -> Path:
        root = self._roots[entry.place]
        target = root / entry.path
        if ".." in Path(entry.path).parts or not target.is_relative_to(root):
            raise NoBackupError(f"{self._folder} names a file outside of its folders: {entry.path}")
        return target

    def _bring(self, entry: Entry, outcome: Outcome) -> None:
        target = self._target(entry)
        if entry.is_folder:
            target.mkdir(parents=True, exist_ok=True)
        elif not _is_there(entry, target) and not put(
            manifest.path_in(self._folder, entry), target, sha256=entry.sha256
        ):
            outcome.damaged.append(str(target))
            return
        if target.name.endswith(PART_SUFFIX):  # its journal was listed, and so brought, before it
            _bind(target.with_name(target.name.removesuffix(PART_SUFFIX) + JOURNAL_SUFFIX), target)

    def _count(self, outcome: Outcome, entry: Entry) -> None:
        outcome.files += 1
        outcome.bytes += entry.size
        self._tell(outcome.files, outcome.bytes)


def compare(outcome: Outcome) -> None:
    """Hold each row of a stored file against the file that is there, by size and time."""
    rows = StoredFile.objects.kept().order_by("pk").values_list("path", "size", "modified_ns")
    for path, size, modified_ns in rows.iterator():
        if path.startswith(SCHEME):
            outcome.in_s3 += 1
            continue
        try:
            status = Path(path).stat()
        except OSError:
            outcome.missing.append(path)
            continue
        if (status.st_size, status.st_mtime_ns) != (size, modified_ns):
            outcome.differing.append(path)


def _between(folder: Path, root: Path) -> list[Path]:
    """The folder, and those above it up to the root."""
    above = [each for each in folder.parents if each.is_relative_to(root)]
    return [each for each in (folder, *above) if each.is_dir()]


def _is_there(entry: Entry, path: Path) -> bool:
    """Whether the file is at its place already, from an earlier restore that did not come to its end."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns)


def _bind(journal: Path, part: Path) -> None:
    if not journal.is_file() or bound_inode(journal) is None:
        return  # somebody's file that is merely called so
    status = journal.stat()
    rebind(journal, part)
    os.utime(journal, ns=(status.st_atime_ns, status.st_mtime_ns))


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole and durably, or not at all, in place of what is there; nobody else may read it."""
    fresh = path.with_name(f"{path.name}.restoring")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    sync(fresh)
    fresh.replace(path)
    sync(path.parent)
