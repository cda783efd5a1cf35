"""Folders, download lists and orders on the wire."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from rest_framework import serializers

from transfers import folders
from transfers.engine.local import MAX_NAME_BYTES
from transfers.models import DownloadList, ListJob, Order, OrderItem
from transfers.models.order import FailureCode
from transfers.models.selection import FileQuery, Selection
from transfers.services.folder import MAX_PAGE_SIZE, MAX_TOKEN_CHARACTERS, Child, ChildPage, Totals
from transfers.services.order import OrderRequest

FILE_ENTITY = "FileEntity"
MEGABYTE = 2**20
MAX_ID = 2**63 - 1
MAX_SHOWN_CHARACTERS = 255
MAX_FOLDER_ID_CHARACTERS = 1_500
MAX_ASSOCIATIONS = 200_000
"""Files that one request may name: what a body may have room for in the usual form."""
MAX_REPEATS = 1_000
"""How often in all an order may name files that it has already: each is told of, and none comes of it."""
COUNT, TOTAL_SIZE = 0x01, 0x02
"""What a `partMask` asks for."""
ZIP_SUFFIX = ".zip"
_ID = re.compile(r"[0-9]{1,19}")
_CONTENT_TYPE = re.compile(r"\A[\w.+-]{1,100}/(\*|[\w.+-]{1,100})\Z", re.ASCII)
_CONTROLS = ("Cc", "Cs", "Zl", "Zp")


def megabytes(size: int) -> int:
    """Whole megabytes (2**20 bytes) that hold so many bytes."""
    return -(-size // MEGABYTE)


class FileIdField(serializers.CharField):
    """The id of a stored file, as a string or a number."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse what is the id of nothing."""
        if isinstance(data, bool) or not isinstance(data, str | int) or not _ID.fullmatch(str(data)):
            raise serializers.ValidationError("must be the id of a file: a number")
        return min(int(data), MAX_ID)


class PlainTextField(serializers.CharField):
    """Text without control characters."""

    def to_internal_value(self, data: Any) -> str:
        """Refuse what is no plain text."""
        if not isinstance(data, str):
            self.fail("invalid")
        if any(unicodedata.category(character) in _CONTROLS for character in data):
            raise serializers.ValidationError("contains control characters")
        return str(super().to_internal_value(data))


class StrictSerializer(serializers.Serializer[Any]):
    """One that refuses fields it does not know: what a client asks for must not be passed over in silence."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse unknown fields by name."""
        if isinstance(data, Mapping) and (unknown := [name for name in data if name not in self.fields]):
            known = ", ".join(self.fields)
            raise serializers.ValidationError(
                {str(name)[:MAX_SHOWN_CHARACTERS]: [f"is not known here; known are {known}"] for name in unknown}
            )
        return super().to_internal_value(data)


class AssociationSerializer(serializers.Serializer[Any]):
    """A FileHandleAssociation; becomes the id of the stored file."""

    fileHandleId = FileIdField(help_text="Of the stored file.")  # noqa: N815
    associateObjectId = FileIdField(required=False, help_text="Of the entity: here, too, the stored file's.")  # noqa: N815
    associateObjectType = serializers.ChoiceField([FILE_ENTITY], required=False)  # noqa: N815

    def validate(self, attrs: dict[str, Any]) -> Any:
        """Refuse a file under another entity's name."""
        if attrs.get("associateObjectId", attrs["fileHandleId"]) != attrs["fileHandleId"]:
            raise serializers.ValidationError({"associateObjectId": ["is not the entity that has this file"]})
        return attrs["fileHandleId"]


class FileQuerySerializer(StrictSerializer):
    """A query for files; all that is told must hold."""

    text = PlainTextField(required=False, max_length=255, help_text="In the name, in any case.")
    contentType = serializers.RegexField(  # noqa: N815
        _CONTENT_TYPE, max_length=201, required=False, help_text="`image/png`, or `image/*`."
    )
    folder = PlainTextField(
        required=False,
        allow_blank=True,
        max_length=255,
        trim_whitespace=False,
        help_text='The folder\'s name; "" for files in none.',
    )
    createdAfter = serializers.DateTimeField(required=False)  # noqa: N815
    createdBefore = serializers.DateTimeField(required=False)  # noqa: N815
    minSize = serializers.IntegerField(required=False, min_value=0, max_value=MAX_ID, help_text="Bytes.")  # noqa: N815
    maxSize = serializers.IntegerField(required=False, min_value=0, max_value=MAX_ID, help_text="Bytes.")  # noqa: N815

    def validate(self, attrs: dict[str, Any]) -> Any:
        """Build the value."""
        return FileQuery(
            text=attrs.get("text"),
            content_type=attrs.get("contentType"),
            folder=attrs.get("folder"),
            created_after=attrs.get("createdAfter"),
            created_before=attrs.get("createdBefore"),
            min_size=attrs.get("minSize"),
            max_size=attrs.get("maxSize"),
        )


class AddRequestSerializer(StrictSerializer):
    """What is to be added to a list: a folder's files, or those that a query finds."""

    parentId = PlainTextField(  # noqa: N815
        required=False, allow_null=True, max_length=MAX_FOLDER_ID_CHARACTERS, help_text="A folder's id; null: the root."
    )
    query = FileQuerySerializer(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse both and neither."""
        if attrs.get("query") is None and "parentId" not in attrs:
            raise serializers.ValidationError({"parentId": ["either this or query is needed"]})
        if attrs.get("query") is not None and attrs.get("parentId") is not None:
            raise serializers.ValidationError({"query": ["either this or parentId, not both"]})
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Selection:
        """Build the value that the services take."""
        return Selection(parent_id=validated_data.get("parentId"), query=validated_data.get("query"))


class OrderRequestSerializer(StrictSerializer):
    """What is to be ordered."""

    subSet: serializers.ListSerializer[Any] = serializers.ListSerializer(  # noqa: N815
        child=AssociationSerializer(),
        max_length=MAX_ASSOCIATIONS,
        required=False,
        allow_null=True,
        help_text="Left out: the whole list.",
    )
    zipFileName = PlainTextField(trim_whitespace=False, help_text="A plain file name; .zip is added.")  # noqa: N815

    def validate_subSet(self, value: list[int] | None) -> list[int] | None:  # noqa: N802
        """Refuse what names the same files over and over."""
        repeats = len(value) - len(set(value)) if value else 0
        if repeats > MAX_REPEATS:
            raise serializers.ValidationError(f"names files {repeats} times more than once, the limit is {MAX_REPEATS}")
        return value

    def validate_zipFileName(self, value: str) -> str:  # noqa: N802
        """Refuse what could be anything but the name of a file."""
        if any(unicodedata.category(c) in folders.UNSEEN for c in value) or set(value) & set("/\\"):
            raise serializers.ValidationError("must be a plain file name, without slashes or control characters")
        name = value if value.lower().endswith(ZIP_SUFFIX) else value + ZIP_SUFFIX
        if len(name.encode()) > MAX_NAME_BYTES:
            raise serializers.ValidationError(
                f"has {len(name.encode())} bytes with .zip, the limit is {MAX_NAME_BYTES}"
            )
        if not name.removesuffix(name[-len(ZIP_SUFFIX) :]).strip(". ") or folders.safe_file_name(name) != name:
            raise serializers.ValidationError("must be a name that a file can have everywhere")
        return name

    def create(self, validated_data: dict[str, Any]) -> OrderRequest:
        """Build the value that the services take."""
        return OrderRequest(zip_file_name=validated_data["zipFileName"], sub_set=validated_data.get("subSet"))


class ChildrenRequestSerializer(StrictSerializer):
    """What is asked of a folder."""

    parentId = PlainTextField(  # noqa: N815
        required=False, allow_null=True, max_length=MAX_FOLDER_ID_CHARACTERS, help_text="A folder's id; null: the root."
    )
    partMask = serializers.IntegerField(  # noqa: N815
        required=False,
        allow_null=True,
        min_value=0,
        max_value=COUNT | TOTAL_SIZE,
        help_text="1: count, 2: totalFileSizeMB.",
    )
    nextPageToken = PlainTextField(required=False, allow_null=True, allow_blank=True, max_length=MAX_TOKEN_CHARACTERS)  # noqa: N815
    pageSize = serializers.IntegerField(required=False, min_value=1, max_value=MAX_PAGE_SIZE)  # noqa: N815


class PageSerializer(serializers.Serializer[Any]):
    """Which page of a list or a history."""

    pageSize = serializers.IntegerField(required=False, min_value=1, max_value=10_000)  # noqa: N815
    nextPageToken = PlainTextField(required=False, max_length=64)  # noqa: N815


# What is told -----------------------------------------------------------------------------------------------------


def association(file_id: int) -> dict[str, str]:
    """A FileHandleAssociation."""
    return {
        "fileHandleId": str(file_id),
        "associateObjectId": str(file_id),
        "associateObjectType": FILE_ENTITY,
    }


def shown_children(page: ChildPage, totals: Totals | None, mask: int) -> dict[str, Any]:
    """A page of a folder, with the totals that the mask asks for."""
    told: dict[str, Any] = {"page": [_child(child) for child in page.children]}
    if page.next_token:
        told["nextPageToken"] = page.next_token
    if totals is not None and mask & COUNT:
        told["count"] = totals.files_count
    if totals is not None and mask & TOTAL_SIZE:
        told["totalFileSizeMB"] = megabytes(totals.total_bytes)
    return told


def shown_list(download_list: DownloadList, file_ids: Iterable[int], next_token: str = "") -> dict[str, Any]:
    """A DownloadList."""
    told: dict[str, Any] = {
        "userId": str(download_list.pk),
        "files": [association(file_id) for file_id in file_ids],
        "numberOfFiles": download_list.files_count,
        "totalSizeMB": megabytes(download_list.total_bytes),
        "updatedOn": download_list.updated_at,
        "etag": download_list.etag,
    }
    return told | ({"nextPageToken": next_token} if next_token else {})


def shown_order(order: Order, file_ids: Iterable[int]) -> dict[str, Any]:
    """A DownloadOrder."""
    return {
        "orderId": str(order.pk),
        "files": [association(file_id) for file_id in file_ids],
        "createdOn": order.created_at,
        "createdBy": str(order.user_id),
        "zipFileName": order.zip_file_name,
        "totalSizeMB": megabytes(order.total_bytes),
    }


def shown_order_summary(order: Order) -> dict[str, Any]:
    """A DownloadOrderSummary."""
    return {
        "orderId": str(order.pk),
        "createdOn": order.created_at,
        "zipFileName": order.zip_file_name,
        "numberOfFiles": order.files_count,
        "totalSizeMB": megabytes(order.total_bytes),
    }


def shown_result(job: ListJob, items: Iterable[OrderItem]) -> dict[str, Any]:
    """A BulkFileDownloadResponse."""
    return {
        "resultZipFileHandleId": str(job.stored_file_id) if job.stored_file_id else None,
        "userId": str(job.user_id),
        "fileSummary": [_summary(item) for item in items],
    }


def _summary(item: OrderItem) -> dict[str, Any]:
    told = {**association(item.file_id), "zipEntryName": item.entry_name}
    if not item.failure_code:
        return {**told, "status": "SUCCESS"}
    failure = {"failureCode": FailureCode(item.failure_code), "failureMessage": item.failure_message}
    return {**told, "status": "FAILURE", **failure}


def _child(child: Child) -> dict[str, Any]:
    told: dict[str, Any] = {"id": child.id, "name": child.name, "type": "folder", "createdOn": child.created_at}
    if child.file_id is None:
        return told
    return {**told, "type": "file", "fileHandleId": str(child.file_id), "size": child.size}
