"""Uploads on the wire."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from transfers import folders
from transfers.engine.plan import MAX_PARTS
from transfers.models import Upload
from transfers.models.upload import UploadState
from transfers.services.upload import UploadRequest

MAX_NAME_CHARACTERS = 255
MAX_CATALOG_CHARACTERS = 100
MAX_NOTES_CHARACTERS = 10_000
MAX_PARTS_CHARACTERS = 2**20
MAX_MODE = 2**63 - 1
_MD5 = re.compile(r"[0-9a-fA-F]{32}")
_CONTENT_TYPE = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}", re.ASCII)
_LITERAL = re.compile(
    r"""\s*\{\s*(?:['"]?\d{1,5}['"]?\s*:\s*['"]?[0-9a-fA-F]{32}['"]?\s*(?:,\s*|(?=\})))*\}\s*""", re.ASCII
)
_PAIR = re.compile(r"""['"]?(\d{1,5})['"]?\s*:\s*['"]?([0-9a-fA-F]{32})['"]?""", re.ASCII)


class MD5Field(serializers.CharField):
    """An MD5 as hex in either case; lowercase inside."""

    def to_internal_value(self, data: Any) -> str:
        """Refuse what is no MD5."""
        text = str(super().to_internal_value(data))
        if text and not _MD5.fullmatch(text):
            raise serializers.ValidationError("must be an MD5: 32 hexadecimal digits")
        return text.lower()


class PartsField(serializers.CharField):
    """The parts of an upload: a string that holds `{1: "md5", …}` as JSON, or as the source prints it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_PARTS_CHARACTERS, **options)

    def to_internal_value(self, data: Any) -> Any:
        """MD5s by number; refuses what names a number twice or holds anything else."""
        text = str(super().to_internal_value(data))
        if not _LITERAL.fullmatch(text):
            raise serializers.ValidationError('must be like {"1":"md5","2":"md5"}: numbers from 1 and MD5s')
        pairs = [(int(number), md5.lower()) for number, md5 in _PAIR.findall(text)]
        parts = dict(pairs)
        if len(parts) != len(pairs):
            raise serializers.ValidationError("names a part twice")
        if parts and not 1 <= min(parts) <= max(parts) <= MAX_PARTS:
            raise serializers.ValidationError(f"may name parts from 1 to {MAX_PARTS}")
        return parts


class InitiateSerializer(serializers.Serializer[UploadRequest]):
    """What begins an upload, beside the `file` itself, whose name and type the view adds."""

    catalog = serializers.CharField(max_length=MAX_CATALOG_CHARACTERS, help_text="The folder, such as `other-doc`.")
    mode = serializers.IntegerField(
        required=False, allow_null=True, min_value=-MAX_MODE, max_value=MAX_MODE, help_text="Stored as given."
    )
    notes = serializers.CharField(required=False, allow_blank=True, max_length=MAX_NOTES_CHARACTERS)
    fileName = serializers.CharField(  # noqa: N815
        required=False, allow_blank=True, help_text="In place of `file`, or of its name."
    )
    contentType = serializers.CharField(required=False, allow_blank=True)  # noqa: N815
    fileSize = serializers.IntegerField(  # noqa: N815
        required=False, allow_null=True, min_value=0, max_value=MAX_MODE, help_text="Bytes."
    )
    md5 = MD5Field(required=False, allow_blank=True, help_text="Of the whole file.")

    def validate_catalog(self, value: str) -> str:
        """Refuse what names no single folder."""
        if any(unicodedata.category(c) in folders.UNSEEN for c in value) or set(value) & set("/\\"):
            raise serializers.ValidationError("must be the name of a folder, without slashes or control characters")
        if not value.strip(". "):
            raise serializers.ValidationError("must be the name of a folder")
        return value

    def validate_fileName(self, value: str) -> str:  # noqa: N802
        """Take what people can read of it."""
        name = folders.shown_name(value)
        if len(name) > MAX_NAME_CHARACTERS:
            raise serializers.ValidationError(f"may have {MAX_NAME_CHARACTERS} characters, and has {len(name)}")
        return name

    def validate_contentType(self, value: str) -> str:  # noqa: N802
        """Take what is a plain media type, without parameters; anything else is unknown."""
        essence = value.partition(";")[0].strip().lower()
        return essence if _CONTENT_TYPE.fullmatch(essence) else ""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a file without a name."""
        if not attrs.get("fileName"):
            raise serializers.ValidationError({"file": "must have a file name, or `fileName` be given"})
        return attrs

    def create(self, validated_data: dict[str, Any]) -> UploadRequest:
        """Build the value that the services take."""
        return UploadRequest(
            catalog=validated_data["catalog"],
            name=validated_data["fileName"],
            content_type=validated_data.get("contentType") or "application/octet-stream",
            mode=validated_data.get("mode"),
            notes=validated_data.get("notes") or "",
            size=validated_data.get("fileSize"),
            md5=validated_data.get("md5") or "",
        )


class UploadIdSerializer(serializers.Serializer[int]):
    """Which upload."""

    fileId = serializers.IntegerField(min_value=1)  # noqa: N815

    def create(self, validated_data: dict[str, Any]) -> int:
        """The id alone."""
        return int(validated_data["fileId"])


class PartSerializer(UploadIdSerializer):
    """Which part of which upload, and what its bytes must be."""

    part = serializers.IntegerField(min_value=1, max_value=MAX_PARTS)
    md5 = MD5Field(required=False, allow_blank=True, help_text="Of the part.")


class CompleteSerializer(UploadIdSerializer):
    """Of which parts an upload is to be completed."""

    parts = PartsField(help_text='JSON.stringify({1: "md5", 2: "md5"})')


class UploadSerializer(serializers.ModelSerializer[Upload]):
    """Where an upload stands."""

    fileId = serializers.IntegerField(source="pk")  # noqa: N815
    fileName = serializers.CharField(source="name")  # noqa: N815
    contentType = serializers.CharField(source="content_type")  # noqa: N815
    suggestedChunkSize = serializers.IntegerField(source="part_size")  # noqa: N815
    completed = serializers.SerializerMethodField()
    createdOn = serializers.DateTimeField(source="created_at")  # noqa: N815
    expiresOn = serializers.SerializerMethodField()  # noqa: N815

    class Meta:
        """Read only."""

        model = Upload
        fields = [
            "fileId", "fileName", "contentType", "catalog", "mode", "notes", "size", "md5", "suggestedChunkSize",
            "received", "completed", "createdOn", "expiresOn",
        ]  # fmt: skip
        read_only_fields = fields

    def get_completed(self, upload: Upload) -> bool:
        """Whether it is a file."""
        return upload.state == UploadState.COMPLETED

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_expiresOn(self, upload: Upload) -> str | None:  # noqa: N802
        """When it is removed unless something comes."""
        return None if upload.expires_at is None else upload.expires_at.isoformat()
