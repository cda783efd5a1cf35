"""Download lists: looking, adding, removing, clearing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Sum

from transfers.doorbell import ring
from transfers.errors import NoSuchFileError, NoSuchListError
from transfers.models import DownloadList, ListItem, ListJob, StoredFile
from transfers.models.list_job import ListJobKind
from transfers.models.selection import Selection
from transfers.services import folder as folders
from transfers.tasks.adding import add_to_list
from transfers.tasks.lists import insert, locked, note_change

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import QuerySet

ROWS_AT_ONCE = 500
MAX_LOOKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage:
    """Some of a list's files, by id, and the item that the next page begins behind (0: there is none)."""

    file_ids: Sequence[int]
    next_after: int = 0


def owner(*, user: User, userid: str) -> User:
    """The user that the path names, as `me` or a number; NoSuchListError for one that is not the caller's to see."""
    if userid == "me" or userid == str(user.pk):
        return user
    if user.is_staff and userid.isdecimal():
        found: User | None = get_user_model().objects.filter(pk=min(int(userid), 2**63 - 1)).first()
        if found is not None:
            return found
    raise NoSuchListError("There is no such user's list.")


def look(*, user: User) -> DownloadList:
    """The user's list as it is now; an empty one for who never had any."""
    found = DownloadList.objects.filter(pk=user.pk).first()
    return found or DownloadList(user=user, updated_at=user.date_joined)


def look_at_page(*, user: User, after: int = 0, page_size: int | None = None) -> tuple[DownloadList, ListPage]:
    """The user's list and a page of its files, as of one moment unless the list never stands still."""
    for _ in range(MAX_LOOKS):
        found = look(user=user)
        shown = page(user=user, after=after, page_size=page_size)
        if look(user=user).revision == found.revision:
            break
    return found, shown


def page(*, user: User, after: int = 0, page_size: int | None = None) -> ListPage:
    """The files on the list in the order in which they were added, behind that item; all of them without a size."""
    rows = ListItem.objects.filter(download_list_id=user.pk, id__gt=after).order_by("id")
    if page_size is None:
        return ListPage(file_ids=list(rows.values_list("file_id", flat=True)))
    found = list(rows.values_list("id", "file_id")[: page_size + 1])
    shown = found[:page_size]
    return ListPage(
        file_ids=[file_id for _, file_id in shown], next_after=shown[-1][0] if len(found) > page_size else 0
    )


def add(*, user: User, file_id: int) -> DownloadList:
    """Put one file on the list; one that is on it already stays there. NoSuchFileError for what the user cannot see."""
    with transaction.atomic():
        download_list = locked(user.pk)
        if not insert(download_list, StoredFile.objects.visible_to(user).filter(pk=file_id)) and not (
            StoredFile.objects.visible_to(user).filter(pk=file_id).exists()
        ):
            raise NoSuchFileError("There is no such file.")
    return download_list


def start_adding(*, user: User, request: Selection) -> ListJob:
    """Have a worker put many files on the list; NoSuchFolderError at once for a folder that the user cannot see."""
    if request.query is None:
        folders.files_in(user=user, parent_id=request.parent_id)
    with transaction.atomic():
        job = ListJob.objects.create(user=user, kind=ListJobKind.ADD, request=request.as_json())
        transaction.on_commit(lambda: ring(add_to_list, job.pk))
    return job


def remove(*, user: User, file_ids: Collection[int]) -> DownloadList:
    """Take files off the list; what is not on it is none's loss."""
    with transaction.atomic():
        download_list = locked(user.pk)
        wanted = list(dict.fromkeys(file_ids))
        for start in range(0, len(wanted), ROWS_AT_ONCE):
            rows = download_list.items.filter(file_id__in=wanted[start : start + ROWS_AT_ONCE])
            size = rows.aggregate(size=Sum("size"))["size"] or 0
            count, _ = rows.delete()
            note_change(download_list, -count, -size)
    return download_list


def take(*, user: User, file_ids: QuerySet[Any, Any]) -> int:
    """Take the files that the query tells off the list, in one statement however many they are; how many were on it."""
    with transaction.atomic():
        download_list = locked(user.pk)
        rows = download_list.items.filter(file_id__in=file_ids)
        size = rows.aggregate(size=Sum("size"))["size"] or 0
        count, _ = rows.delete()
        note_change(download_list, -count, -size)
    return count


def clear(*, user: User) -> None:
    """Take everything off the list."""
    with transaction.atomic():
        download_list = locked(user.pk)
        download_list.items.all().delete()
        note_change(download_list, -download_list.files_count, -download_list.total_bytes)
