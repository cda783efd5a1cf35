"""Stored files on the wire."""

from __future__ import annotations

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from transfers.models import StoredFile


class StoredFileSerializer(serializers.ModelSerializer[StoredFile]):
    """What is known of a stored file."""

    contentType = serializers.CharField(source="content_type")  # noqa: N815
    createdOn = serializers.DateTimeField(source="created_at")  # noqa: N815

    class Meta:
        """Read only."""

        model = StoredFile
        fields = ["id", "name", "size", "contentType", "folder", "md5", "sha256", "crc32", "verified", "createdOn"]
        read_only_fields = fields


class ServedFileSerializer(StoredFileSerializer):
    """A stored file, and where its bytes are to be had; needs the `request` in its context."""

    url = serializers.SerializerMethodField(help_text="Where its bytes are.")

    class Meta(StoredFileSerializer.Meta):
        """Read only."""

        fields = [*StoredFileSerializer.Meta.fields, "url"]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, stored: StoredFile) -> str:
        """The address as the client reaches the service."""
        address: str = self.context["request"].build_absolute_uri(reverse("stored-file-content", args=[stored.pk]))
        return address
