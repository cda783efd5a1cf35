"""Tasks: what is asked, told and shown."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tasks_api import progress, wording
from tasks_api.cids import MAX_CID_CHARS
from tasks_api.models import Report, Source, Task
from tasks_api.models.task import WHOLE
from tasks_api.serializers.fields import CidField, FormSerializer, MomentField, NumberField, TextField
from tasks_api.services.task import Filters
from tasks_api.services.upload import NewSource

MAX_STATUS = 9
MAX_PAGE = 10**9
MAX_PAGE_SIZE = 200
_TIME = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$"
_BLOCK_FIELDS = ("name", "file", "hash", "size", "ip")


class NewSourceSerializer(FormSerializer[NewSource]):
    """What begins a public upload."""

    series_id = NumberField(min_value=1, help_text="Of the series; any number that the client's side knows it by.")
    uuid = TextField(max_length=100, help_text="The client's own name for the file; the same one is the same task.")
    source_name = TextField(max_length=500, help_text="The file's name.")

    def create(self, validated_data: dict[str, Any]) -> NewSource:
        """Build the value that the services take."""
        names = {"uuid": validated_data["uuid"], "name": validated_data["source_name"]}
        return NewSource(series_id=validated_data["series_id"], **names)


class SourceIdSerializer(FormSerializer[int]):
    """Which source is to be downloaded."""

    source_id = NumberField(help_text="As the public upload's answer told it.")

    def create(self, validated_data: dict[str, Any]) -> int:
        """The id alone."""
        return int(validated_data["source_id"])


class ReportSerializer(FormSerializer[Report]):
    """What a client tells of a download."""

    status = NumberField(max_value=MAX_STATUS, help_text="One that the kind of task knows.")
    percent = NumberField(max_value=WHOLE, required=False, help_text="May fall only when the status changes.")

    def create(self, validated_data: dict[str, Any]) -> Report:
        """Build the value that the services take."""
        block = {name: value for name, value in validated_data.items() if name in _BLOCK_FIELDS}
        return Report(status=validated_data["status"], percent=validated_data.get("percent"), block=block)


class UploadReportSerializer(ReportSerializer):
    """What a client tells of an upload; what it leaves out or empty stays as it was told before."""

    name = TextField(max_length=500, required=False, help_text="The block's file name.")
    file = TextField(max_length=1000, required=False, help_text="The folder's name.")
    hash = CidField(max_length=MAX_CID_CHARS, required=False, help_text="The block's CID; needed before status 8.")
    size = NumberField(required=False, help_text="Bytes, also as `102400.0`; needed before status 8.")
    ip = TextField(max_length=255, required=False, help_text="The uploader's IPFS address.")


class FiltersSerializer(FormSerializer[Filters]):
    """What narrows a list of tasks of the kind that the context names."""

    status = NumberField(required=False)
    series_id = NumberField(min_value=1, required=False)
    updated_since = MomentField(required=False, help_text="ISO 8601; changed then or later.")

    def validate_status(self, value: int) -> int:
        """Refuse what no task of the kind can be."""
        kind: type[Task] = self.context["kind"]
        known = [state.value for state in kind.statuses()]
        if value not in known:
            raise serializers.ValidationError(wording.say("status_of_other_kind", ", ".join(map(str, known))))
        return value

    def create(self, validated_data: dict[str, Any]) -> Filters:
        """Build the value that the services take."""
        status = validated_data.pop("status", None)
        return Filters(statuses=() if status is None else (status,), **validated_data)


class PageSerializer(FormSerializer[dict[str, int]]):
    """Which page of a list."""

    page = NumberField(min_value=1, max_value=MAX_PAGE, required=False, help_text="From 1.")
    page_size = NumberField(min_value=1, max_value=MAX_PAGE_SIZE, required=False)

    def create(self, validated_data: dict[str, Any]) -> dict[str, int]:
        """What was given."""
        return validated_data


class SourceFields(serializers.Serializer[Any]):
    """What names a source, and its public block."""

    series_id = serializers.IntegerField()
    source_id = serializers.IntegerField()
    source_name = serializers.CharField()
    uuid = serializers.CharField()
    ip = serializers.CharField(help_text="The uploader's IPFS address; empty while unknown, as all text here.")
    file = serializers.CharField(help_text="The folder's name.")
    name = serializers.CharField(help_text="The block's file name.")
    size = serializers.IntegerField(min_value=0, help_text="The block's bytes; 0 while unknown.")
    hash = serializers.CharField(help_text="The block's CID.")
    created_at = serializers.RegexField(_TIME, help_text="`YYYY-MM-DD HH:MM:SS`, UTC.")


class PrivateBlockFields(serializers.Serializer[Any]):
    """What is known of a source's private block."""

    private_status = serializers.IntegerField(min_value=0, max_value=MAX_STATUS, help_text="Of its upload.")
    private_name = serializers.CharField()
    private_size = serializers.IntegerField(min_value=0)
    private_hash = serializers.CharField(help_text="Empty until the block can be fetched.")


class UploadTaskSerializer(SourceFields):
    """An upload of either block."""

    id = serializers.IntegerField()
    status = serializers.IntegerField(min_value=0, max_value=MAX_STATUS)
    percent = serializers.IntegerField(min_value=0, max_value=WHOLE)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Show the task as the socket does."""
        return progress.shown(instance)


class DownloadTaskSerializer(PrivateBlockFields, UploadTaskSerializer):
    """A download; its block is the public one."""


class DownloadableSourceSerializer(PrivateBlockFields, SourceFields):
    """A source that can be downloaded."""

    def to_representation(self, instance: Source) -> dict[str, Any]:
        """Show the source with its blocks."""
        return progress.shown_downloadable(instance)


class UserSerializer(serializers.ModelSerializer[User]):
    """The signed-in user."""

    email = serializers.CharField(help_text="Empty while unknown, as the names.")
    name = serializers.SerializerMethodField(help_text="To be shown: the full name, or else the username.")

    class Meta:
        """Read only."""

        model = User
        fields = ["id", "username", "name", "first_name", "last_name", "email", "is_staff"]
        read_only_fields = fields

    @extend_schema_field(serializers.CharField())
    def get_name(self, user: User) -> str:
        """The full name, or else the username."""
        return user.get_full_name() or user.get_username()


def status_choices(kind: type[Task]) -> list[dict[str, Any]]:
    """All that tasks of the kind may be, with their names in the active language."""
    return [{"code": status.value, "name": wording.status_name(status)} for status in kind.statuses()]
