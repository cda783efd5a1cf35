"""Making a backup: what is unfinished, the database, what is finished; then its name, at once."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils.crypto import salted_hmac

from config.backup import databases, manifest, places
from config.backup.copying import ChangedError, Copied, copy, link, sync, sync_folders
from config.backup.manifest import About, Entry
from transfers.engine.local.journal import bound_inode
from transfers.engine.local.names import PART_SUFFIX
from transfers.engine.local.part_journal import numbers_in
from transfers.models import StoredFile
from transfers.storage.choice import SCHEME

UNFINISHED, BEGUN = ".unfinished-", ".begun-"
"""What the folder of a backup is called while it is made: in one go, or in two."""
BEGUN_HOURS = 24
"""How long a backup that was begun may wait for its database."""
TRIES, TRY_SECONDS = 5, 0.2
"""How often, and after what growing pauses, an upload is copied whose parts are replaced meanwhile."""

Tell = Callable[[int, int], None]
"""Takes files and bytes that the backup has so far."""


class BackupError(Exception):
    """There is no backup; the text says why."""


class Backup:
    """One backup on its way: a folder that gets its name when all is in it."""

    def __init__(self, folder: Path, destination: Path, tell: Tell) -> None:
        self._folder, self._destination, self._tell = folder, destination, tell
        self._environment = settings.ENVIRONMENT
        self._places = places.places(self._environment)
        self._without = places.left_out(self._environment, databases.sqlite_path())
        self._earlier, self._known = _earlier(destination)
        folder.mkdir(mode=0o700, exist_ok=True)
        self._failures = manifest.read_failures(folder)
        self._listing = manifest.Listing(folder)
        begun = [entry.size for entry in manifest.entries(folder)]
        self._files, self._bytes = len(begun), sum(begun)

    def unfinished(self) -> None:
        """Take what of transfers is under way: uploads as they stand, part files with their journals."""
        uploads = self._environment.files_root / places.UPLOADS
        for folder in sorted(uploads.glob("*")) if uploads.is_dir() else ():
            if folder.is_dir() and not folder.is_symlink():
                self._take_upload(folder)
        for journal in places.part_pairs(self._places, self._without | {uploads}):
            self._take_pair(journal)

    def database(self) -> None:
        """Take the database."""
        databases.dump(self._folder / databases.file_name())

    def finished(self) -> None:
        """Take all files that are whole, those included that lie where only rows know of them."""
        for found in places.finished(self._places, self._without, self._environment.files_root):
            self._take(found)
        for path in _rows():
            if not path.startswith(SCHEME) and not any(Path(path).is_relative_to(p) for p in self._places.values()):
                self._take(places.Found(places.OUTSIDE, path.lstrip("/"), Path(path)))

    @property
    def failures(self) -> list[str]:
        """What could not be read so far."""
        return list(self._failures)

    def close(self) -> None:
        """Leave it as it is, for another to go on with."""
        self._listing.close()
        manifest.write_failures(self._folder, self._failures)

    def name(self, *, with_key: bool) -> tuple[Path, About]:
        """Make it durable and give it its name: where it lies, and what it is of."""
        self._listing.close()
        key = self._environment.data_dir / places.KEY
        key_included = with_key and not self._environment.secret_key and key.is_file()
        if key_included:
            copy(key, self._folder / places.KEY)
        about = self._about(key_included=key_included)
        manifest.write_about(self._folder, about)
        for file in self._folder.iterdir():
            if file.is_file():
                sync(file)
        sync_folders(self._folder)
        while (named := self._destination / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")).exists():
            time.sleep(0.1)  # another one was made in this very second
        self._folder.rename(named)
        sync(self._destination)
        return named, about

    # What is taken

    def _take_upload(self, folder: Path) -> None:
        """Its journal first, then what that vouches for; again when a part was replaced meanwhile."""
        for attempt in range(TRIES):
            time.sleep(attempt * TRY_SECONDS)
            taken: list[Entry] = []
            try:
                for path in sorted(folder.iterdir(), key=lambda path: path.name != "journal"):
                    taken += self._copied_of_upload(path)
                if self._still_stands(folder, taken):
                    self._list(taken)
                    return
            except FileNotFoundError:  # it was completed, or ended
                pass
            for entry in taken:
                manifest.path_in(self._folder, entry).unlink()
        if folder.exists():
            self._failures.append(f"{folder}: its parts were replaced {TRIES} times while they were read")

    def _copied_of_upload(self, path: Path) -> list[Entry]:
        """The file, unless it need not be there: a lock, or a part beside that is gone and so has moved or ended."""
        root, place = self._place_of(path)
        if path.suffix == ".lock":
            return []
        try:
            return [self._copied(places.Found(place, str(path.relative_to(root)), path), settled=False)]
        except FileNotFoundError:
            if path.name in ("journal", "data"):
                raise
            return []

    def _still_stands(self, folder: Path, taken: list[Entry]) -> bool:
        """Whether no part that the copied journal vouches for was replaced while the bytes were copied."""
        if not taken or not taken[0].path.endswith("/journal"):
            return True  # no part was stored
        copied = manifest.path_in(self._folder, taken[0]).read_bytes()
        new = (folder / "journal").read_bytes()[len(copied) :]
        return not numbers_in(copied) & numbers_in(new)

    def _take_pair(self, journal: places.Found) -> None:
        part = places.part_of(journal.source)
        part_path = str(Path(journal.path).with_name(part.name))
        taken: list[Entry] = []
        with suppress(FileNotFoundError):  # it is finished by now
            taken.append(self._copied(journal, settled=False))
            inode = bound_inode(manifest.path_in(self._folder, taken[0]))
            taken.append(self._copied(places.Found(journal.place, part_path, part), settled=False))
            if taken[1].inode == inode:
                self._list(taken)
                return
        for entry in taken:  # another file by now, which the journal knows nothing of
            manifest.path_in(self._folder, entry).unlink()

    def _take(self, found: places.Found) -> None:
        settled = not found.path.endswith(PART_SUFFIX)
        try:
            if found.source.is_dir() and not found.source.is_symlink():
                if not os.access(found.source, os.R_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, "cannot be read", str(found.source))
                self._listing.add(Entry(place=found.place, path=found.path))
            else:
                self._list([self._linked(found) or self._copied(found, settled=settled)])
        except FileNotFoundError:
            return  # deleted meanwhile
        except ChangedError as error:
            self._failures.append(f"{found.source}: {error}")
        except OSError as error:
            if not self._is_its_own(error, found.source):
                raise
            self._failures.append(f"{found.source}: {error.strerror or error}")

    @staticmethod
    def _is_its_own(error: OSError, source: Path) -> bool:
        """Whether the fault is the file's alone, and the backup can do without it: a link, a pipe, no permission."""
        return source.is_symlink() or not source.is_file() or error.errno in (errno.EACCES, errno.EIO)

    def _linked(self, found: places.Found) -> Entry | None:
        """The file as the earlier backup has it, when it has not changed since."""
        known = self._known.get((found.place, found.path))
        if known is None or self._earlier is None:
            return None
        status = found.source.lstat()
        now = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        if now != (known.size, known.mtime_ns, known.ctime_ns, known.inode):
            return None
        linked = link(manifest.path_in(self._earlier, known), manifest.path_in(self._folder, known))
        return known if linked else None

    def _copied(self, found: places.Found, *, settled: bool) -> Entry:
        target = self._folder / "files" / found.place / found.path
        target.unlink(missing_ok=True)
        copied: Copied = copy(found.source, target, settled=settled)
        return Entry(place=found.place, path=found.path, **asdict(copied))

    def _list(self, taken: list[Entry]) -> None:
        for entry in taken:
            self._listing.add(entry)
            self._files += 1
            self._bytes += entry.size
        self._tell(self._files, self._bytes)

    def _place_of(self, path: Path) -> tuple[Path, str]:
        return next((root, name) for name, root in self._places.items() if path.is_relative_to(root))

    def _about(self, *, key_included: bool) -> About:
        return About(
            version=settings.VERSION,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            database="sqlite" if databases.sqlite_path() else "postgresql",
            migrations=sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations()),
            places={name: str(root) for name, root in self._places.items()},
            key=key_fingerprint(settings.SECRET_KEY),
            key_included=key_included,
            files=self._files,
            bytes=self._bytes,
            in_s3=sum(path.startswith(SCHEME) for path in _rows()),
            failures=self._failures,
        )


@contextmanager
def locked(destination: Path) -> Iterator[None]:
    """The folder of backups for ourselves; BackupError when somebody else makes one there right now."""
    data = settings.ENVIRONMENT.data_dir
    destination.mkdir(mode=0o700, parents=True, exist_ok=True)
    for root in places.places(settings.ENVIRONMENT).values():
        if destination.resolve().is_relative_to(root.resolve()):
            raise BackupError(f"{destination} lies in {root}, which is to be backed up: name a folder elsewhere.")
    if not data.is_dir():
        raise BackupError(f"{data}: there is nothing to back up.")
    descriptor = os.open(destination / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"Another backup to {destination} is under way.") from None
        yield
    finally:
        os.close(descriptor)


def clear(destination: Path) -> int:
    """Remove what backups left that were never finished; how many they were."""
    old = time.time() - BEGUN_HOURS * 3600
    left = [*destination.glob(f"{UNFINISHED}*")]
    left += [folder for folder in destination.glob(f"{BEGUN}*") if folder.stat().st_mtime < old]
    for folder in left:
        shutil.rmtree(folder)
    return len(left)


def finished_backups(destination: Path) -> list[Path]:
    """The backups that are whole, oldest first."""
    return sorted(folder for folder in destination.glob("[0-9]*Z") if folder.is_dir())


def remove_old(destination: Path, keep: int) -> int:
    """Remove all but the newest backups; how many they were."""
    old = finished_backups(destination)[:-keep]
    for folder in old:
        going = folder.with_name(f"{UNFINISHED}{folder.name}")
        folder.rename(going)  # half of one must not look like a whole one
        shutil.rmtree(going)
    return len(old)


def key_fingerprint(key: str) -> str:
    """What tells a SECRET_KEY from others, and nothing else of it."""
    return salted_hmac("carryon.backup", "key", secret=key, algorithm="sha256").hexdigest()


def _earlier(destination: Path) -> tuple[Path | None, dict[tuple[str, str], Entry]]:
    """The backup before this one, and its files."""
    before = finished_backups(destination)
    if not before:
        return None, {}
    known = (entry for entry in manifest.entries(before[-1]) if not entry.is_folder)
    return before[-1], {(entry.place, entry.path): entry for entry in known}


def _rows() -> Iterator[str]:
    return StoredFile.objects.kept().order_by("pk").values_list("path", flat=True).iterator()
