"""Making cases, and looking them up."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Q, Value
from django.db.models.functions import Left
from django.db.models.lookups import Exact

from sync import places
from sync.models import Case
from sync.models.job import JobState
from transfers.errors import CaseDiffersError, InvalidInputError, NoSuchCaseError
from transfers.services import stored_file as stored_files

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from sync.models.case import CaseQuerySet


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRequest:
    """What a caller says of a case."""

    owner_group_id: str
    lab_id: str
    pid: str
    projectname: str
    projecttype: str
    s3keypath: str
    region: str
    uuid: uuid.UUID | None = None


def visible(*, user: User) -> CaseQuerySet:
    """The cases that this user may see, newest first."""
    return Case.objects.visible_to(user)


def find(*, user: User, case_uuid: uuid.UUID) -> Case:
    """The case that goes by this id here; NoSuchCaseError when the user has none."""
    case = Case.objects.visible_to(user).filter(uuid=case_uuid).first()
    if case is None:
        raise NoSuchCaseError("There is no such case.")
    return case


def sought(*, case_uuid: uuid.UUID | None = None, **names: str) -> Case | None:
    """The case that goes by this id, or has these three names, whoever's it is: for operators."""
    rows = Case.objects.select_related("user")
    return (rows.filter(uuid=case_uuid) if case_uuid is not None else rows.named(**names)).first()


def stored(*, case: Case) -> models.QuerySet[Any]:
    """The stored files of the case, sorted by their paths."""
    # Its folder is an index to them; but anybody may have called a folder of uploads so, too.
    rows = stored_files.visible(user=case.user, folder=stored_files.folder_name(case.folder))
    return rows.below(str(places.local_folder(case))).order_by("path")


def folder(*, case: Case) -> Path:
    """Where the case lies on this server."""
    return places.local_folder(case)


def cloud(*, case: Case) -> str:
    """Where the case's cloud is, in words; UnknownRegionError when its region is not configured any more."""
    folder = places.cloud_folder(case)
    return str(folder or f"s3://{places.cloud_of(case.region).bucket}/{case.s3keypath}")


def check(request: CaseRequest) -> None:
    """Refuse what can be no folder's or key's name (InvalidInputError), and a region without a cloud."""
    names = {"ownerGroupId": request.owner_group_id, "pid": request.pid, "projectname": request.projectname}
    errors = {name: [problem] for name, value in names.items() if (problem := places.problem_of_name(value))}
    if problems := places.problems_of_prefix(request.s3keypath):
        errors["s3keypath"] = problems
    if errors:
        raise InvalidInputError(errors)
    places.cloud_of(request.region)


def create(*, user: User, request: CaseRequest, api_url: str | None = None, named: bool = True) -> tuple[Case, bool]:
    """The case that institution, patient and name stand for, and whether it was made just now.

    With an `api_url` of "" this service is its case API, as it is for a new one without any. Unless `named`, a new case
    goes by no id yet, and one that is known is left as it is. NoSuchCaseError when it is
    another user's, CaseDiffersError when it is known otherwise, InvalidInputError for a prefix that is not free, and
    whatever `check` raises.
    """
    check(request)
    try:
        with transaction.atomic():
            return _found_or_made(user, request, api_url, named=named)
    except IntegrityError:  # somebody made it at the same time, or one that is in its way
        with transaction.atomic():
            return _found_or_made(user, request, api_url, named=named)


def _found_or_made(user: User, request: CaseRequest, api_url: str | None, *, named: bool) -> tuple[Case, bool]:
    _one_at_a_time()
    triple = {"owner_group_id": request.owner_group_id, "pid": request.pid, "projectname": request.projectname}
    case = Case.objects.named(**triple).first()
    if request.uuid is not None and Case.objects.filter(uuid=request.uuid).exclude(**triple).exists():
        raise NoSuchCaseError("There is no such case.")
    if case is None:
        return _made(user, request, api_url or "", named=named), True
    if not Case.objects.visible_to(user).filter(pk=case.pk).exists():
        raise NoSuchCaseError("There is no such case.")
    if _is_only_planned(case):
        _settle(case, request)
    _compare(case, request)
    if named:
        _update(case, request, api_url)
    return case, False


def _is_only_planned(case: Case) -> bool:
    """Whether nobody knows the case, and nothing lies where it was said to be: only dry runs, or failures, were."""
    if case.uuid is not None or case.copied_at is not None or case.manifest.exists():
        return False
    return not case.jobs.exclude(Q(dry_run=True) | Q(state=JobState.FAILED)).exists()


def _settle(case: Case, request: CaseRequest) -> None:
    """Let the case lie where the request says: the one before may have been a slip."""
    if (case.s3keypath, case.region) != (request.s3keypath, request.region):
        _check_prefix(request, case)
        case.s3keypath, case.region = request.s3keypath, request.region
        case.save(update_fields=["s3keypath", "region"])


def _update(case: Case, request: CaseRequest, api_url: str | None) -> None:
    """Take over what may change of a case: with whom it is shared, what it is, and where it is known."""
    case.api_url = case.api_url if api_url is None else api_url
    case.lab_id, case.projecttype = request.lab_id, request.projecttype
    if case.uuid is None and (request.uuid or not case.api_url):
        case.uuid = request.uuid or uuid.uuid4()
    case.save(update_fields=["api_url", "lab_id", "projecttype", "uuid"])


def _made(user: User, request: CaseRequest, api_url: str, *, named: bool) -> Case:
    _check_prefix(request)
    return Case.objects.create(
        user=user,
        uuid=request.uuid or (uuid.uuid4() if named and not api_url else None),
        api_url=api_url,
        owner_group_id=request.owner_group_id,
        lab_id=request.lab_id,
        pid=request.pid,
        projectname=request.projectname,
        projecttype=request.projecttype,
        s3keypath=request.s3keypath,
        region=request.region,
    )


def _compare(case: Case, request: CaseRequest) -> None:
    """What names the case's place and its past is not to change behind the manifest's back."""
    differing = [
        name
        for name, ours, theirs in (
            ("_id", case.uuid, request.uuid),
            ("s3keypath", case.s3keypath, request.s3keypath),
            ("region", case.region, request.region),
        )
        if theirs and ours and ours != theirs
    ]
    if differing:
        raise CaseDiffersError(f"The case is known with another {' and '.join(differing)}.")


def _check_prefix(request: CaseRequest, case: Case | None = None) -> None:
    """Refuse a prefix in or around that of another case than this one, or the uploads'.

    What one removes must never be the other's.
    """
    cloud = places.cloud_of(request.region)
    prefix = request.s3keypath
    names = prefix.split("/")
    above = ["/".join(names[:length]) for length in range(1, len(names) + 1)]
    regions = places.regions_with(cloud) or [request.region]
    below = Q(Exact(Left("s3keypath", len(prefix) + 1), Value(f"{prefix}/")))  # SQLite's LIKE takes "a" for "A"
    taken = Case.objects.filter(region__in=regions).filter(Q(s3keypath__in=above) | below)
    if case is not None:
        taken = taken.exclude(pk=case.pk)
    environment = settings.ENVIRONMENT
    uploads = environment.s3_prefix.strip("/")
    in_their_bucket = cloud.bucket and (cloud.bucket, cloud.endpoint_url) == (
        environment.s3_bucket,
        environment.s3_endpoint_url,
    )
    over_uploads = in_their_bucket and (not uploads or uploads in above or f"{uploads}/".startswith(f"{prefix}/"))
    if over_uploads or taken.exists():
        raise InvalidInputError({"s3keypath": ["lies in, or around, what belongs to something else"]})


def _one_at_a_time() -> None:
    """Cases are made one after another, so that none can come to lie within another unseen.

    On SQLite every transaction that writes has the database to itself.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


_LOCK = 0x73796E63
"""The lock's number: "sync" in ASCII."""
