"""New uploads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from tasks_api.models import PublicUpload, Series, Source
from tasks_api.services.task import tell


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSource:
    """What a client tells of a file before it works on it."""

    series_id: int
    uuid: str
    name: str


@transaction.atomic
def create(*, user: User, new: NewSource) -> PublicUpload:
    """Begin the upload of a source; the one that there is when the user has named it in the series before."""
    names = {"owner": user, "series_id": new.series_id, "uuid": new.uuid}
    if (known := _uploads(names).first()) is not None:
        return known
    Series.objects.bulk_create([Series(pk=new.series_id)], ignore_conflicts=True)
    # Of twins at once, one waits here for the other to commit, and then finds what it has made.
    Source.objects.bulk_create([Source(**names, name=new.name)], ignore_conflicts=True)
    source = Source.objects.get(**names)
    task = PublicUpload(source=source, user=user, series_id=new.series_id)
    PublicUpload.objects.bulk_create([task], ignore_conflicts=True)
    tell((), seen_by=[user.pk])
    return _uploads(names).get()


def _uploads(names: Mapping[str, object]) -> QuerySet[PublicUpload]:
    return PublicUpload.objects.with_source().filter(**{f"source__{name}": value for name, value in names.items()})
