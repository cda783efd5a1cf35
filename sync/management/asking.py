"""What an operator's options ask for, and how refusals are told in their words."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, cast

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import DatabaseError, transaction
from django.db.models import CharField

from sync.models import Case, Job
from sync.services import case as cases
from sync.services import job as jobs
from sync.services.case import CaseRequest
from sync.services.job import SyncRequest
from transfers import audit
from transfers.errors import (
    AlreadySyncingError,
    CarryonError,
    CaseDiffersError,
    InvalidInputError,
    NoSuchCaseError,
    UnknownRegionError,
)

USAGE = 2
"""The exit code for what cannot be synced as asked."""
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


def asked(options: dict[str, Any]) -> Job:
    """The job that the options ask for; CommandError, naming the options, when there can be none."""
    try:
        return _audited(options)
    except InvalidInputError as error:
        told = [f"{_OPTIONS.get(name, name)}: {' '.join(texts)}" for name, texts in error.errors.items()]
        raise CommandError("\n".join(told), returncode=USAGE) from None
    except UnknownRegionError as error:
        raise CommandError(f"--region: {error}", returncode=USAGE) from None
    except CaseDiffersError as error:
        words = re.sub(r"\w+", lambda word: _OPTIONS.get(word[0], word[0]), error.message)
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


@transaction.atomic
def _audited(options: dict[str, Any]) -> Job:
    """Have it done, and write down that it was."""
    job = _ask(options)
    user = _user(options["user"]) if options["user"] else None
    audit.by_command_line(row=job.case, what=_what(job), user=user)
    return job


def _what(job: Job) -> str:
    """What was asked for, as the admin's buttons call it."""
    way = "up" if job.up else "down"
    asked = f"Asked for a dry run {way}" if job.dry_run else f"Asked to sync {way}"
    return f"{asked}, deleting" if job.delete_missing else asked


def _ask(options: dict[str, Any]) -> Job:
    """Have the service do it; CarryonError when it refuses, CommandError where an option is missing or at odds."""
    if options["source"] and options["way"] == "down":
        raise _refused("--source", "is for the way up: what comes down goes to the case's own folder")
    way = {"up": options["way"] == "up", "dry_run": options["dry_run"], "delete": options["delete"]}
    case = _sought(options)
    if case is None:
        request = _request_for_new(options, way)
        return jobs.ask(user=_user(options["user"]), request=request)
    user = _user(options["user"]) if options["user"] else case.user
    if not cases.visible(user=user).filter(pk=case.pk).exists():
        raise _refused("--user", f"{user} may not see this case")
    if any(options[name] for name in ("source", "lab", "type", "region", "key_prefix")):
        return jobs.ask(user=user, request=_request_for_known(case, options, way))
    return jobs.again(user=user, case=case, **way)


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


def _user(name: str) -> User:
    """Who asks."""
    user = User.objects.filter(username=User.normalize_username(name), is_active=True).first()
    if user is None:
        raise _refused("--user", f"there is no active user {name!r}")
    return user


def _request_for_known(case: Case, options: dict[str, Any], way: dict[str, bool]) -> SyncRequest:
    request = CaseRequest(
        uuid=case.uuid,
        owner_group_id=case.owner_group_id,
        pid=case.pid,
        projectname=case.projectname,
        lab_id=options["lab"] or case.lab_id,
        projecttype=options["type"] or case.projecttype,
        s3keypath=_prefix(options["key_prefix"]) or case.s3keypath,
        region=options["region"] or case.region,
    )
    return SyncRequest(case=request, source=_source(options["source"]), api_url=case.api_url, **way)


def _request_for_new(options: dict[str, Any], way: dict[str, bool]) -> SyncRequest:
    """What is to be made; NoSuchCaseError where that was not meant, CommandError where something of it is missing."""
    if options["case"] or not way["up"]:
        raise NoSuchCaseError("There is no such case.")
    missing = [f"--{name}" for name in ("source", "lab", "type", "region", "user") if not options[name]]
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
            raise CommandError(f"{_OPTIONS[name]}: {' '.join(error.messages)}", returncode=USAGE) from None
    return SyncRequest(case=CaseRequest(**facts), source=_source(options["source"]), api_url="", **way)


def _source(folder: str | None) -> str:
    """The folder as the service wants it: what is here by its whole path, and a client's path as it is."""
    if not folder:
        return ""
    return os.path.abspath(folder) if Path(folder).is_dir() else folder  # noqa: PTH100 - which follows no link


def _prefix(text: str | None) -> str:
    return (text or "").strip("/")


def _refused(option: str, why: str) -> CommandError:
    return CommandError(f"{option}: {why}.", returncode=USAGE)
