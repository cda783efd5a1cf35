"""Downloads on the wire."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from transfers import folders
from transfers.engine import ipfs
from transfers.models import Download, DownloadAttempt
from transfers.serializers.stored_file import StoredFileSerializer
from transfers.services.download import DownloadRequest

MAX_URL_CHARACTERS = 8192
SCHEMES = ("http", "https")


def shown_folder(output_folder: str) -> str:
    """The folder in the caller's own words, or the download folder where the caller named none."""
    return output_folder or str(settings.ENVIRONMENT.download_root)


class DownloadRequestSerializer(serializers.Serializer[DownloadRequest]):
    """The payload of start, stop and check."""

    fileUrl = serializers.CharField(max_length=MAX_URL_CHARACTERS, help_text="URL to fetch.")  # noqa: N815
    outputFolder = serializers.CharField(  # noqa: N815
        required=False,
        allow_blank=True,
        allow_null=True,
        trim_whitespace=False,
        max_length=folders.MAX_FOLDER_CHARACTERS,
    )
    cid = serializers.CharField(max_length=255, help_text="Code of the calling application.")
    fid = serializers.CharField(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=255,
        help_text="The application's key of the file.",
    )

    def validate_fileUrl(self, value: str) -> str:  # noqa: N802
        """Refuse what is no http or https URL with a host, nor an ipfs one that there is a gateway for."""
        try:
            parts = urlsplit(value)
            complete = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
        except ValueError:
            complete = False
        unclear = any(character.isspace() or not character.isprintable() for character in value)
        if value.lower().startswith(f"{ipfs.SCHEME}://") and not unclear:
            _check_ipfs(value)
        elif not complete or unclear:
            raise serializers.ValidationError("must be an http or https URL with a host")
        return value

    def create(self, validated_data: dict[str, Any]) -> DownloadRequest:
        """Build the value that the services take."""
        return DownloadRequest(
            file_url=validated_data["fileUrl"],
            cid=validated_data["cid"],
            fid=validated_data.get("fid") or "",
            output_folder=validated_data.get("outputFolder") or "",
        )


def _check_ipfs(url: str) -> None:
    if not settings.ENVIRONMENT.ipfs_gateway_url:
        raise serializers.ValidationError("ipfs URLs cannot be fetched here: no IPFS gateway is configured")
    try:
        ipfs.Address.parse(url)
    except ipfs.InvalidAddressError as error:
        raise serializers.ValidationError(str(error)) from None


class AttemptSerializer(serializers.ModelSerializer[DownloadAttempt]):
    """One try at a download."""

    beganOn = serializers.DateTimeField(source="began_at")  # noqa: N815
    endedOn = serializers.DateTimeField(source="ended_at", allow_null=True)  # noqa: N815
    startOffset = serializers.IntegerField(source="start_offset")  # noqa: N815
    bytesFetched = serializers.IntegerField(source="bytes_fetched")  # noqa: N815
    errorCode = serializers.CharField(source="error_code")  # noqa: N815

    class Meta:
        """Read only."""

        model = DownloadAttempt
        fields = ["worker", "beganOn", "endedOn", "startOffset", "bytesFetched", "outcome", "errorCode", "error"]
        read_only_fields = fields


class DownloadSerializer(serializers.ModelSerializer[Download]):
    """A download in a list."""

    fileUrl = serializers.CharField(source="url_shown")  # noqa: N815
    outputFolder = serializers.SerializerMethodField()  # noqa: N815
    savePath = serializers.SerializerMethodField()  # noqa: N815
    downloaded = serializers.IntegerField(source="bytes_done")
    totalSize = serializers.IntegerField(source="size", allow_null=True)  # noqa: N815
    bytesPerSecond = serializers.IntegerField(source="bytes_per_second")  # noqa: N815
    requestedOn = serializers.DateTimeField(source="requested_at")  # noqa: N815
    endedOn = serializers.DateTimeField(source="ended_at", allow_null=True)  # noqa: N815
    errorCode = serializers.CharField(source="error_code")  # noqa: N815

    class Meta:
        """Read only."""

        model = Download
        fields = [
            "id", "fileUrl", "outputFolder", "cid", "fid", "savePath", "state", "downloaded", "totalSize",
            "bytesPerSecond", "requestedOn", "endedOn", "error", "errorCode",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(str)
    def get_outputFolder(self, download: Download) -> str:  # noqa: N802
        """The folder as the answer to the start told it."""
        return shown_folder(download.output_folder)

    @extend_schema_field(str)
    def get_savePath(self, download: Download) -> str:  # noqa: N802
        """The file's path in the client's own form."""
        return folders.shown(download.output_folder, download.save_path)


class DownloadDetailSerializer(DownloadSerializer):
    """Everything about one download."""

    bytesFetched = serializers.IntegerField(source="bytes_fetched")  # noqa: N815
    bytesRefetched = serializers.IntegerField(source="bytes_refetched")  # noqa: N815
    remainingSeconds = serializers.FloatField(source="remaining_seconds", allow_null=True)  # noqa: N815
    durationSeconds = serializers.SerializerMethodField()  # noqa: N815
    validator = serializers.SerializerMethodField()
    attempts = AttemptSerializer(many=True)
    storedFile = StoredFileSerializer(source="stored_file", allow_null=True)  # noqa: N815

    class Meta(DownloadSerializer.Meta):
        """Read only."""

        fields = [
            *DownloadSerializer.Meta.fields,
            "bytesFetched", "bytesRefetched", "remainingSeconds", "durationSeconds",
            "validator", "attempts", "storedFile",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.FloatField(allow_null=True))
    def get_durationSeconds(self, download: Download) -> float | None:  # noqa: N802
        """From the request to the end."""
        return download.duration.total_seconds() if download.duration else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_validator(self, download: Download) -> str | None:
        """What proves that the remote file is the same."""
        return str(download.validator) if download.validator else None
