"""`manage.py restore`: a backup into a service that has nothing yet."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from config.backup import databases
from config.backup.display import Counter, amount
from config.backup.manifest import NoBackupError
from config.backup.restoring import Outcome, RefusedError, Restore

INCOMPLETE = 3
"""The exit code of a restore after which something is missing."""


class Command(BaseCommand):
    """Restore a backup."""

    help = (
        "Restore a backup into an empty database and the folders that it came from, with the service stopped. Nothing "
        "is overwritten. Every file is held against its SHA-256 as it is copied, and then every row against its file; "
        "what is damaged, missing or another is listed. May be repeated after an interruption; the service does not "
        "start before it is done. Exit codes: 0 all is there; 1 refused, or not done; 3 done, but for what is listed."
    )
    requires_system_checks: ClassVar[list[str]] = []  # type: ignore[misc]

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what can be asked for."""
        parser.add_argument("backup", type=Path, metavar="BACKUP", help="a backup's folder: DESTINATION/<UTC time>")
        steps = parser.add_mutually_exclusive_group()
        steps.add_argument("--check", action="store_true", help="only read all of the backup, and change nothing")
        steps.add_argument(
            "--files-only", action="store_true", help="bring the files; the database is brought by other means next"
        )
        steps.add_argument("--database-is-there", action="store_true", help="end what --files-only began")

    def handle(self, *_: Any, backup: Path, check: bool, files_only: bool, database_is_there: bool, **__: Any) -> None:
        """Restore it; CommandError when it was refused, or failed midway."""
        try:
            with Counter(sys.stderr) as counter:
                restore = Restore(backup.absolute(), counter)
                if check:
                    outcome = restore.read()
                elif database_is_there:
                    outcome = Outcome(failures=restore.about.failures)
                    restore.end(outcome)
                else:
                    outcome = self._restore(restore, counter, with_database=not files_only)
        except (RefusedError, NoBackupError) as error:
            raise CommandError(str(error)) from None
        except (databases.DatabaseError, OSError, Error) as error:
            raise CommandError(f"Not restored: {error}") from error
        self._tell(outcome, files_only=files_only, database_is_there=database_is_there)
        if not outcome.is_whole:
            sys.exit(INCOMPLETE)

    def _restore(self, restore: Restore, counter: Counter, *, with_database: bool) -> Outcome:
        counter.say("looking whether it fits")
        restore.check(database_follows=not with_database)
        outcome = restore.files()
        if with_database:
            counter.say("restoring the database")
            restore.database()
            restore.end(outcome)
        return outcome

    def _tell(self, outcome: Outcome, *, files_only: bool, database_is_there: bool) -> None:
        lists = {
            "damaged in the backup": outcome.damaged,
            "missing": outcome.missing,
            "another file than stored": outcome.differing,
            "was not in the backup": outcome.failures,
        }
        for what, paths in lists.items():
            for path in paths:
                self.stdout.write(f"{what}  {path}")
        if outcome.in_s3:
            self.stdout.write(f"{outcome.in_s3} files lie in S3, which was not asked for them.")
        if not outcome.is_whole:
            ended = "Done, but for what is listed above."
        elif files_only:
            ended = "The files are there; the database comes next."
        elif database_is_there:
            ended = "The database is there, and each of its rows has its file."
        else:
            ended = "All is there."
        counted = "" if database_is_there else f"{outcome.files} files, {amount(outcome.bytes)}. "
        self.stdout.write(counted + ended)
