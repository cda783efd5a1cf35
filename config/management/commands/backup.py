"""`manage.py backup`: the database and the files of one moment, while the service runs."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from config.backup import databases, making
from config.backup.display import Counter, amount
from config.backup.making import Backup, BackupError

INCOMPLETE = 3
"""The exit code of a backup that lacks files which could not be read."""


class Command(BaseCommand):
    """Back up the database and the files, while the service runs."""

    help = (
        "Back up the database and the files to DESTINATION/<UTC time>/, while the service runs. Files that have not "
        "changed since the last backup there are hard links to it. What was not finished never gets that name, and is "
        "removed by the next backup. Files in S3 are not copied. "
        "Exit codes: 0 done; 1 no backup was made; 3 made, without the files that are listed."
    )
    requires_system_checks: ClassVar[list[str]] = []  # type: ignore[misc]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what can be asked for."""
        parser.add_argument("destination", type=Path, metavar="DESTINATION", help="folder of backups, on other disks")
        parser.add_argument("--keep", type=_count, metavar="N", help="remove all but the newest N backups afterwards")
        parser.add_argument(
            "--without-key", action="store_true", help="leave out DATA_DIR/secret_key, which is kept elsewhere"
        )
        steps = parser.add_mutually_exclusive_group()
        steps.add_argument(
            "--begin",
            action="store_true",
            help="take what is unfinished, and print the folder that database.dump is to be put in (deploy/backup)",
        )
        steps.add_argument("--finish", type=Path, metavar="FOLDER", help="go on with that folder and the dump in it")

    def handle(
        self,
        *_: Any,
        destination: Path,
        keep: int | None,
        begin: bool,
        finish: Path | None,
        without_key: bool,
        **__: Any,
    ) -> None:
        """Make it; CommandError when none was made."""
        destination = destination.absolute()
        try:
            with making.locked(destination), Counter(sys.stderr) as counter:
                if cleared := making.clear(destination):
                    counter.say(f"removed {cleared} that were never finished")
                if begin:
                    self.stdout.write(str(_begin(destination, counter)))
                    return
                folder = finish.absolute() if finish else destination / f"{making.UNFINISHED}{_now()}"
                failures = self._make(folder, destination, counter, with_key=not without_key)
                self._thin(destination, keep, counter)
        except (BackupError, databases.DatabaseError, OSError, Error) as error:
            raise CommandError(f"No backup was made: {error}") from error
        if failures:
            sys.exit(INCOMPLETE)

    def _make(self, folder: Path, destination: Path, counter: Counter, *, with_key: bool) -> list[str]:
        """Make what is still to be made, and tell of it; the files that could not be read."""
        if folder.parent != destination or (folder.name.startswith(making.BEGUN) and not folder.is_dir()):
            raise BackupError(f"{folder} was not begun in {destination}.")
        backup = Backup(folder, destination, counter)
        if folder.name.startswith(making.BEGUN):
            databases.check_form(folder / databases.file_name())
        else:
            backup.unfinished()
            counter.say("copying the database")
            backup.database()
        counter.say("copying the files")
        backup.finished()
        named, about = backup.name(with_key=with_key)
        for failure in about.failures:
            self.stdout.write(f"not copied  {failure}")
        if not about.key_included:
            counter.say("SECRET_KEY is not in the backup: keep it, or stored addresses and sessions are lost")
        if about.in_s3:
            counter.say(f"{about.in_s3} files lie in S3 and are not in the backup")
        counter.say(f"{about.files} files, {amount(about.bytes)}")
        self.stdout.write(str(named))
        return about.failures

    @staticmethod
    def _thin(destination: Path, keep: int | None, counter: Counter) -> None:
        if keep is not None and (removed := making.remove_old(destination, keep)):
            counter.say(f"removed {removed} older")


def _begin(destination: Path, counter: Counter) -> Path:
    folder = destination / f"{making.BEGUN}{_now()}"
    backup = Backup(folder, destination, counter)
    backup.unfinished()
    backup.close()
    for failure in backup.failures:
        counter.say(f"not copied  {failure}")
    (folder / databases.file_name()).touch(mode=0o600)  # ours to read, whoever writes into it
    return folder


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%d%H%M%S%f")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("must be a whole number from 1 on")
    return int(text)
