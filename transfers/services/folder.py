"""Browsing: the folders that stored files are listed in, and what is in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Min, Q, Sum

from transfers.errors import InvalidInputError, NoSuchFolderError
from transfers.models import StoredFile
from transfers.models.selection import Folder, Selection, plain_bytes, plain_text

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from transfers.models.stored_file import StoredFileQuerySet

PAGE_SIZE = 50
MAX_PAGE_SIZE = 1_000
MAX_TOKEN_CHARACTERS = 3_000
"""A name has up to 1,530 bytes in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A folder or a file in a folder."""

    id: str
    name: str
    created_at: datetime
    file_id: int | None = None
    """Of the stored file; None for a folder."""
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildPage:
    """Some of a folder's children, and how to ask for those behind them."""

    children: Sequence[Child]
    next_token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a folder's files come to, without those of its sub-folders."""

    files_count: int
    total_bytes: int


def files_in(*, user: User, parent_id: str | None) -> StoredFileQuerySet:
    """The files of a folder (None: those that lie in none) that the user may see, in the order of their ids.

    NoSuchFolderError when the folder has none.
    """
    rows = Selection(parent_id=parent_id).files(user).order_by("id")
    if parent_id is not None and not rows.exists():
        raise NoSuchFolderError("There is no such folder.")
    return rows


def children(*, user: User, parent_id: str | None, token: str = "", page_size: int = PAGE_SIZE) -> ChildPage:
    """A page of what is in the folder (None: the root), folders before files, each by name.

    NoSuchFolderError, and InvalidInputError for a token that is none of ours.
    """
    kind, after = _place(token)
    found: list[tuple[Child, list[Any]]] = []
    if parent_id is None and kind == "folder":
        found = _folders(user, after, page_size + 1)
        after = None
    rows = files_in(user=user, parent_id=parent_id)
    if len(found) <= page_size:
        found += _files(rows, after, page_size + 1 - len(found))
    shown = found[:page_size]
    more = len(found) > page_size
    return ChildPage(children=[child for child, _ in shown], next_token=_token(shown[-1]) if more else "")


def totals(*, user: User, parent_id: str | None) -> Totals:
    """How many files the folder has, and of how many bytes together."""
    added = files_in(user=user, parent_id=parent_id).order_by().aggregate(count=Count("id"), size=Sum("size"))
    return Totals(files_count=added["count"], total_bytes=added["size"] or 0)


def _folders(user: User, after: list[Any] | None, limit: int) -> list[tuple[Child, list[Any]]]:
    rows = StoredFile.objects.visible_to(user).exclude(folder="").order_by()
    if after is not None:
        name, owner_id = after
        rows = rows.filter(Q(folder__gt=name) | Q(folder=name, owner_id__gt=owner_id))
    grouped = rows.values("folder", "owner_id").annotate(first=Min("created_at")).order_by("folder", "owner_id")
    return [
        (
            Child(id=Folder(row["owner_id"], row["folder"]).id, name=row["folder"], created_at=row["first"]),
            ["folder", row["folder"], row["owner_id"]],
        )
        for row in grouped[:limit]
    ]


def _files(rows: StoredFileQuerySet, after: list[Any] | None, limit: int) -> list[tuple[Child, list[Any]]]:
    if after is not None:
        name, pk = after
        rows = rows.filter(Q(name__gt=name) | Q(name=name, id__gt=pk), name__gte=name)  # the last is for the index
    return [
        (
            Child(id=str(file.pk), name=file.name, created_at=file.created_at, file_id=file.pk, size=file.size),
            ["file", file.name, file.pk],
        )
        for file in rows.order_by("name", "id")[:limit]
    ]


def _token(last: tuple[Child, list[Any]]) -> str:
    return plain_text(json.dumps(last[1], ensure_ascii=False).encode())


def _place(token: str) -> tuple[str, list[Any] | None]:
    """The kind of child that a page begins with, and the one that it begins behind."""
    if not token:
        return "folder", None
    try:
        kind, name, number = json.loads(plain_bytes(token))
        name.encode()  # half a surrogate pair is no text
    except (ValueError, TypeError, AttributeError, RecursionError):
        kind, name, number = "", "", 0
    if kind not in ("folder", "file") or not isinstance(name, str) or type(number) is not int or "\0" in name:
        raise InvalidInputError({"nextPageToken": ["is not one that a page ended with"]})
    return kind, [name, max(0, min(number, 2**63 - 1))]
