"""`manage.py sync_case`: a case brought up to the cloud or down from it, while an operator looks on."""

from __future__ import annotations

import argparse
import json
import os
import sys
import unicodedata
import uuid
from contextlib import closing, suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandParser, DjangoHelpFormatter
from rich.console import Console
from rich.filesize import decimal

from sync import progress
from sync.management.asking import asked
from sync.management.display import Bar, Display, Lines, duration, printable
from sync.management.watching import followed, heeding_ctrl_c
from sync.models import Job
from sync.models.job import JobState
from sync.services import job as jobs

DONE, FAILED, WITH_FAILURES, INTERRUPTED = 0, 1, 3, 130
"""Exit codes, as `--help` tells them; `asking` has the one for what cannot be asked."""
_CODES = {JobState.COMPLETED: DONE, JobState.COMPLETED_WITH_FAILURES: WITH_FAILURES}
_ABOUT = """\
Sync a case: a patient's folder of files, here and in the cloud.

The first time up, --source is copied to the case's own folder, and from there
to the cloud; --group, --patient, --name, --lab, --type and --region say what
case it is. Later its --case, or --group, --patient and --name, are enough. The
service's workers do the work; should this command end before them, they go on.
"""
_EXIT_CODES = """\
exit status:
  0    completed; with --no-wait: asked for
  1    failed, or stopped by somebody else
  2    the command is wrong, or the case cannot be synced as asked
  3    completed, but some files could not be brought: stderr says which
  130  stopped by Ctrl-C; the same command goes on from what is done
"""


class _Layout(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Django's order of options, in lines as they are written."""


class Command(BaseCommand):
    """Sync a case."""

    help = _ABOUT
    requires_system_checks = []

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        """Keep the lines of the help as they are written."""
        parser = super().create_parser(prog_name, subcommand, epilog=_EXIT_CODES, **options)
        parser.formatter_class = _Layout
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what can be asked for."""
        parser.add_argument("way", choices=["up", "down"], help="to the cloud, or from it")
        named = parser.add_argument_group("which case")
        named.add_argument("--case", type=_uuid, metavar="UUID", help="what the case API calls it")
        named.add_argument("--group", type=_text, metavar="ID", help="institution that made it")
        named.add_argument(
            "--patient", type=_text, metavar="ID", help="patient; --case keeps it out of the list of processes"
        )
        named.add_argument("--name", type=_text, metavar="NAME", help="case name")
        new = parser.add_argument_group("what is to be known of a new one")
        new.add_argument("--source", metavar="FOLDER", help="folder to copy first, below one of SYNC_SOURCE_ROOTS")
        new.add_argument("--lab", type=_text, metavar="ID", help="institution that it is shared with")
        new.add_argument("--type", type=_text, metavar="TYPE", help="type of the case")
        new.add_argument("--region", type=_text, metavar="REGION", help="one of SYNC_REGIONS, such as ap-northeast-2")
        new.add_argument(
            "--key-prefix",
            type=_text,
            metavar="PREFIX",
            help="of its keys in the cloud [userdata/GROUP/LAB/PATIENT/NAME]",
        )
        parser.add_argument(
            "--user", type=_text, metavar="NAME", help="who asks, and owns a new case [the case's owner]"
        )
        parser.add_argument("--delete", action="store_true", help="remove what the winning side does not have any more")
        parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
        parser.add_argument("--no-wait", action="store_true", help="print the job's id, and leave it to the workers")
        parser.add_argument("--json", action="store_true", help="print the job as JSON, a dry run's plan included")

    def handle(self, **options: Any) -> None:
        """Ask for the sync, and follow it to its end; exits with a code that tells how it went."""
        _forgive_encodings()
        try:
            code = self._synced(options)
        except BrokenPipeError:  # nobody reads the plan any more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = FAILED
        except KeyboardInterrupt:
            code = INTERRUPTED
        if code:
            sys.exit(code)

    def _synced(self, options: dict[str, Any]) -> int:
        with heeding_ctrl_c() as wish:
            job = asked(options)
            if options["no_wait"]:
                self._print_json(job) if options["json"] else self.stdout.write(str(job.pk))
                return DONE
            with closing(self._display(options)) as display:
                job = followed(job, display, wish)
            self._tell(job, as_json=options["json"])
            if job.state == JobState.STOPPED and wish.is_there:
                return INTERRUPTED
            return _CODES.get(JobState(job.state), FAILED)

    def _display(self, options: dict[str, Any]) -> Display:
        if self.stderr.isatty():
            return Bar(Console(stderr=True, no_color=options.get("no_color") or None))
        return Lines(self._note)

    # What is told in the end

    def _tell(self, job: Job, *, as_json: bool) -> None:
        if job.error:
            self._note(f"{job.error} ({job.error_code})", failed=True)
        for failure in progress.shown_failures(job):
            self._note(f"{printable(failure['path'])}: {failure['reason']}", failed=True)
        if (rest := job.failures_count - progress.SHOWN_FAILURES) > 0:
            self._note(f"and {rest:,} more", failed=True)
        if as_json:
            self._print_json(job)
        elif job.dry_run and job.state == JobState.COMPLETED:
            self._print_plan(job)
        else:
            self.stdout.write(_verdict(job))

    def _print_json(self, job: Job) -> None:
        told = jobs.shown(job=job)
        if job.dry_run and job.is_end:
            told["plan"] = list(jobs.planned(job=job))
        self.stdout.write(json.dumps(told))

    def _print_plan(self, job: Job) -> None:
        count = size = 0
        for count, action in enumerate(jobs.planned(job=job), 1):
            if count == 1:
                self.stdout.write(f"{'ACTION':<13}  {'SIZE':>9}  PATH (WHY)")
            size += action["size"]
            told = f"{printable(action['path'])} ({action['reason']})"
            self.stdout.write(f"{action['action']:<13}  {decimal(action['size']):>9}  {told}")
        total = f"{count:,} actions, {decimal(size)}" if count else "Both sides are the same: nothing would be done"
        self.stdout.write(f"{total}. This was a dry run: nothing was changed.")

    def _note(self, line: str, *, failed: bool = False) -> None:
        self.stderr.write(line, self.style.ERROR if failed else str)


def _text(text: str) -> str:
    if not text or any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise argparse.ArgumentTypeError("must be text, without control characters")
    return text


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no UUID") from None


def _verdict(job: Job) -> str:
    """How it went, in a line."""
    seconds = (job.ended_at - job.started_at).total_seconds() if job.started_at and job.ended_at else 0
    state = job.state.replace("_", " ").capitalize()
    done = f"{job.files_done:,} of {job.files_total:,} files, {decimal(job.bytes_done)}"
    return f"{state}: {done if job.files_total else 'nothing was to be done'}, in {duration(seconds)}."


def _forgive_encodings() -> None:
    """Have names that the terminal cannot show replaced, instead of failing over them."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
