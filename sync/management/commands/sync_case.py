"""`manage.py sync_case`: a case brought up to the cloud or down from it, while an operator looks on."""

from __future__ import annotations

import argparse
import json
import os
import sys
import uuid
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, cast

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.db import DatabaseError
from django.db.models import CharField
from rich.console import Console
from rich.filesize import decimal

from sync import progress
from sync.management.display import Bar, Display, Lines, duration, printable
from sync.management.watching import followed, heeding_ctrl_c
from sync.models import Case, Job
from sync.models.job import JobState
from sync.services import case as cases
from sync.services import job as jobs
from sync.services.case import CaseRequest
from sync.services.job import SyncRequest
from transfers.errors import (
    AlreadySyncingError,
    CarryonError,
    CaseDiffersError,
    InvalidInputError,
    NoSuchCaseError,
    UnknownRegionError,
)

DONE, FAILED, USAGE, WITH_FAILURES, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes, as `--help` tells them."""
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
_OPTIONS = {
    "_id": "--case",
    "ownerGroupId": "--group",
    "owner_group_id": "--group",
    "labId": "--lab",
    "lab_id": "--lab",
    "pid": "--patient",
    "projectname": "--name",
    "projecttype": "--type",
    "s3keypath": "--key-prefix",
    "region": "--region",
    "source": "--source",
    "apiUrl": "its case API",
}
"""What the services call them, and the command line."""


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
        named.add_argument("--group", metavar="ID", help="institution that made it")
        named.add_argument("--patient", metavar="ID", help="patient; --case keeps it out of the list of processes")
        named.add_argument("--name", metavar="NAME", help="case name")
        new = parser.add_argument_group("what is to be known of a new one")
        new.add_argument("--source", metavar="FOLDER", help="folder to copy first, below one of SYNC_SOURCE_ROOTS")
        new.add_argument("--lab", metavar="ID", help="institution that it is shared with")
        new.add_argument("--type", metavar="TYPE", help="type of the case")
        new.add_argument("--region", metavar="REGION", help="one of SYNC_REGIONS, such as ap-northeast-2")
        new.add_argument(
            "--key-prefix", metavar="PREFIX", help="of its keys in the cloud [userdata/GROUP/LAB/PATIENT/NAME]"
        )
        parser.add_argument("--user", metavar="NAME", help="who asks, and owns a new case [the case's owner]")
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
            job = self._asked(options)
            if options["no_wait"]:
                self._print_json(job) if options["json"] else self.stdout.write(str(job.pk))
                return DONE
            with closing(self._display(options)) as display:
                job = followed(job, display, wish)
            self._tell(job, as_json=options["json"])
            if job.state == JobState.STOPPED and wish.is_there:
                return INTERRUPTED
            return _CODES.get(JobState(job.state), FAILED)

    def _asked(self, options: dict[str, Any]) -> Job:
        """The job; CommandError, in the words of the command line, when there can be none."""
        try:
            return _ask(options)
        except InvalidInputError as error:
            told = [f"{_OPTIONS.get(name, name)}: {' '.join(texts)}" for name, texts in error.errors.items()]
            raise CommandError("\n".join(told), returncode=USAGE) from None
        except UnknownRegionError as error:
            raise CommandError(f"--region: {error}", returncode=USAGE) from None
        except CaseDiffersError as error:
            words = " ".join(_OPTIONS.get(word.strip("."), word) for word in str(error).split())
            raise CommandError(words, returncode=USAGE) from None
        except NoSuchCaseError:
            named = "--case" if options["case"] else "--group, --patient, --name"
            raise CommandError(f"{named}: There is no such case.", returncode=USAGE) from None
        except AlreadySyncingError as error:
            raise CommandError(f"{error.message} Its job is {error.job_id}.", returncode=USAGE) from None
        except CarryonError as error:
            raise CommandError(error.message, returncode=USAGE) from None
        except DatabaseError as error:
            raise CommandError(f"The database is not ready ({error}); run `manage.py migrate` first.") from None

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


def _ask(options: dict[str, Any]) -> Job:
    """Have the service do it; CarryonError when it refuses, CommandError where an option is missing or at odds."""
    if options["source"] and options["way"] == "down":
        raise _refused("--source", "is for the way up: what comes down goes to the case's own folder")
    case = _sought(options)
    user = _user(options["user"], case)
    way = {"up": options["way"] == "up", "dry_run": options["dry_run"], "delete": options["delete"]}
    if case is not None:
        if not cases.visible(user=user).filter(pk=case.pk).exists():
            raise _refused("--user", f"{user} may not see this case")
        if not any(options[name] for name in ("source", "lab", "type", "region", "key_prefix")):
            return jobs.again(user=user, case=case, **way)
    elif options["case"] or options["way"] == "down":
        raise NoSuchCaseError("There is no such case.")
    request = _request_for_known(case, options) if case else _request_for_new(options)
    source, api_url = _source(options["source"]), case.api_url if case else ""
    return jobs.ask(user=user, request=SyncRequest(case=request, source=source, api_url=api_url, **way))


def _sought(options: dict[str, Any]) -> Case | None:
    """The case that the options name, if it is known; CommandError when they name none."""
    names = {"--group": options["group"], "--patient": options["patient"], "--name": options["name"]}
    missing = [option for option, value in names.items() if not value]
    if options["case"]:
        if len(missing) < len(names):
            raise _refused("--case", f"names the case already: leave out {', '.join(names)}")
        return cases.sought(case_uuid=options["case"])
    if len(missing) == len(names):
        raise _refused("--case", f"is needed, or {', '.join(names)}")
    if missing:
        raise _refused(", ".join(missing), "needed besides: institution, patient and name together name a case")
    return cases.sought(owner_group_id=options["group"], pid=options["patient"], projectname=options["name"])


def _user(name: str | None, case: Case | None) -> User:
    """Who asks."""
    if name is None:
        if case is None:
            raise _refused("--user", "needed for a new case: whose is it to be?")
        owner: User = case.user
        return owner
    user = User.objects.filter(username=User.normalize_username(name), is_active=True).first()
    if user is None:
        raise _refused("--user", f"there is no active user {name!r}")
    return user


def _request_for_known(case: Case, options: dict[str, Any]) -> CaseRequest:
    return CaseRequest(
        uuid=case.uuid,
        owner_group_id=case.owner_group_id,
        pid=case.pid,
        projectname=case.projectname,
        lab_id=options["lab"] or case.lab_id,
        projecttype=options["type"] or case.projecttype,
        s3keypath=_prefix(options["key_prefix"]) or case.s3keypath,
        region=options["region"] or case.region,
    )


def _request_for_new(options: dict[str, Any]) -> CaseRequest:
    missing = [f"--{name}" for name in ("source", "lab", "type", "region") if not options[name]]
    if missing:
        raise _refused(", ".join(missing), "needed, for the case is new")
    names = [options[name] for name in ("group", "lab", "patient", "name")]
    facts = {
        "owner_group_id": options["group"],
        "pid": options["patient"],
        "projectname": options["name"],
        "lab_id": options["lab"],
        "projecttype": options["type"],
        "s3keypath": _prefix(options["key_prefix"]) or "/".join(["userdata", *names]),
        "region": options["region"],
    }
    for name, value in facts.items():
        try:
            cast("CharField[Any, Any]", Case._meta.get_field(name)).clean(value, None)
        except ValidationError as error:
            raise _refused(_OPTIONS[name], " ".join(error.messages)) from None
    return CaseRequest(**facts)


def _source(folder: str | None) -> str:
    """The folder as the service wants it: what is here by its whole path, and a client's path as it is."""
    if not folder:
        return ""
    return os.path.abspath(folder) if Path(folder).is_dir() else folder  # noqa: PTH100 - which follows no link


def _prefix(text: str | None) -> str:
    return (text or "").strip("/")


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no UUID") from None


def _refused(option: str, why: str) -> CommandError:
    return CommandError(f"{option}: {why}.", returncode=USAGE)


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
