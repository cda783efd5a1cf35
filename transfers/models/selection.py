"""Ways to pick stored files, as values: a folder, or what a query finds."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from transfers.errors import NoSuchFolderError
from transfers.models.stored_file import StoredFile, StoredFileQuerySet

_FOLDER_ID = re.compile(r"folder-([0-9]{1,18})-([0-9A-Za-z_-]{1,1400})")


@dataclass(frozen=True, slots=True)
class Folder:
    """A logical folder: a name in the files of one owner."""

    owner_id: int
    name: str

    @property
    def id(self) -> str:
        """What clients know it by: everything about it, so that no table is needed."""
        return f"folder-{self.owner_id}-{plain_text(self.name.encode())}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The folder of this id; NoSuchFolderError for what can be none's."""
        found = _FOLDER_ID.fullmatch(text)
        try:
            name = plain_bytes(found[2]).decode() if found else ""
        except ValueError:
            name = ""
        if found is None or not name or "\0" in name:
            raise NoSuchFolderError("There is no such folder.")
        return cls(int(found[1]), name)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileQuery:
    """What files must be like, all of it; None asks nothing."""

    text: str | None = None
    """In the name, in any case."""
    content_type: str | None = None
    """`image/png`, or `image/*`."""
    folder: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    min_size: int | None = None
    """Bytes, included."""
    max_size: int | None = None

    def as_json(self) -> dict[str, Any]:
        """What is asked, to be kept."""
        asked = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asked
            if value is not None
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """What was kept."""
        moments = ("created_after", "created_before")
        return cls(**kept | {name: datetime.fromisoformat(kept[name]) for name in moments if name in kept})

    def among(self, rows: StoredFileQuerySet) -> StoredFileQuerySet:
        """Those of the rows that it finds."""
        if self.text:
            rows = rows.filter(name__iregex=re.escape(self.text))  # which knows letters beyond ASCII in SQLite too
        if self.content_type is not None:
            essence, any_of = self.content_type.removesuffix("/*"), self.content_type.endswith("/*")
            rows = (
                rows.filter(content_type__istartswith=f"{essence}/")
                if any_of
                else rows.filter(content_type__iexact=essence)
            )
        conditions = {
            "folder": self.folder,
            "created_at__gt": self.created_after,
            "created_at__lt": self.created_before,
            "size__gte": self.min_size,
            "size__lte": self.max_size,
        }
        return rows.filter(**{name: value for name, value in conditions.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is to be put on a list: a folder's files (None: those that lie in none), or what a query finds."""

    parent_id: str | None = None
    query: FileQuery | None = None

    def as_json(self) -> dict[str, Any]:
        """What was asked, to be kept with the job."""
        return {"parentId": self.parent_id} if self.query is None else {"query": self.query.as_json()}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """What was kept."""
        query = kept.get("query")
        return cls(parent_id=kept.get("parentId"), query=None if query is None else FileQuery.from_json(query))

    def files(self, user: Any) -> StoredFileQuerySet:
        """The files that the user may see of it; NoSuchFolderError for an id that can be no folder's."""
        rows = StoredFile.objects.visible_to(user)
        if self.query is not None:
            return self.query.among(rows)
        if self.parent_id is None:
            return rows.filter(folder="")
        folder = Folder.parse(self.parent_id)
        return rows.filter(owner_id=folder.owner_id, folder=folder.name)


def plain_text(content: bytes) -> str:
    """Bytes as text that needs no escape anywhere (RFC 4648, section 5, without padding)."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def plain_bytes(text: str) -> bytes:
    """The bytes that such text stands for; ValueError for any other."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
