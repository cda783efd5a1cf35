"""Changes of download lists that are made by workers and by requests alike, within a transaction of the caller's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import connection
from django.db.models import BigIntegerField, Count, Max, Sum, Value
from django.db.models.functions import Now

from transfers.models import DownloadList, ListItem, OrderItem
from transfers.models.order import FailureCode
from transfers.models.stored_file import StoredFileQuerySet


def locked(user_id: int) -> DownloadList:
    """The user's list, which nobody else changes until the transaction ends; made where there was none."""
    DownloadList.objects.get_or_create(pk=user_id)
    return DownloadList.objects.select_for_update().get(pk=user_id)


def insert(download_list: DownloadList, files: StoredFileQuerySet) -> int:
    """Put these files on the locked list, in one statement however many they are; how many were not on it before."""
    listed = Value(download_list.pk, output_field=BigIntegerField())
    selected, parameters = (
        files.order_by("id").annotate(listed=listed).values_list("listed", "id", "size").query.sql_with_params()
    )
    with _counted(download_list), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {ListItem._meta.db_table} (download_list_id, file_id, size) {selected}"
            " ON CONFLICT (download_list_id, file_id) DO NOTHING",
            parameters,
        )
        return int(cursor.rowcount)


def insert_anew(download_list: DownloadList, items: Iterable[OrderItem]) -> None:
    """Put the files of these order items on the locked list again, but for those that are there a second time."""
    rows = [
        ListItem(download_list=download_list, file_id=item.file_id, size=item.size)
        for item in items
        if item.failure_code != FailureCode.DUPLICATE
    ]
    with _counted(download_list):
        ListItem.objects.bulk_create(rows, ignore_conflicts=True)


@contextmanager
def _counted(download_list: DownloadList) -> Iterator[None]:
    """Add to the locked list's totals what its block puts on it."""
    before = download_list.items.aggregate(last=Max("id"))["last"] or 0
    yield
    added = download_list.items.filter(id__gt=before).aggregate(count=Count("id"), size=Sum("size"))
    note_change(download_list, added["count"], added["size"] or 0)


def note_change(download_list: DownloadList, files: int, size: int) -> None:
    """Add these to the locked list's totals; nothing is noted where nothing changed."""
    if not files:
        return
    download_list.files_count += files
    download_list.total_bytes += size
    download_list.revision += 1
    DownloadList.objects.filter(pk=download_list.pk).update(
        files_count=download_list.files_count,
        total_bytes=download_list.total_bytes,
        revision=download_list.revision,
        updated_at=Now(),
    )
    download_list.refresh_from_db(fields=["updated_at"])
