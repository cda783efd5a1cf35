"""What is asked of a case's sync, and where it stands, on the wire."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from sync.models.job import JobState, Phase
from sync.serializers.case import CaseFieldsSerializer
from sync.serializers.fields import SwitchField, TextField
from sync.services.job import SyncRequest

ACTIONS = [
    *("copy", "upload", "download", "compare", "conflict", "delete", "create_folder", "keep", "skip", "set_aside")
]
"""What a plan calls what is to be done."""


class SyncRequestSerializer(CaseFieldsSerializer):
    """The payload of `POST /api/file/raylinksync`."""

    up = SwitchField(help_text="True: create or upload; false: download.")
    apiUrl = TextField(max_length=2048, help_text="Address of the case API, on one of the configured hosts.")  # noqa: N815
    source = TextField(  # type: ignore[assignment]  # the framework's own is a field's
        max_length=2048, help_text="Full path of the case's data, in the client's words."
    )
    delete = SwitchField(
        required=False, default=False, help_text="Also remove what the winning side has not, unless it has nothing."
    )
    dryRun = SwitchField(  # noqa: N815
        required=False, default=False, help_text="Only tell what would be done: the job ends with its `plan`."
    )

    def create(self, validated_data: dict[str, Any]) -> SyncRequest:
        """Build the value that the services take."""
        return SyncRequest(
            up=validated_data["up"],
            api_url=validated_data["apiUrl"],
            source=validated_data["source"],
            case=self.case_of(validated_data),
            delete=validated_data["delete"],
            dry_run=validated_data["dryRun"],
        )


class FailureSerializer(serializers.Serializer[Any]):
    """A file that could not be brought."""

    path = serializers.CharField(help_text="Within the case.")
    reason = serializers.CharField()


class ActionSerializer(serializers.Serializer[Any]):
    """One thing that a dry run found to be done."""

    action = serializers.ChoiceField(ACTIONS)
    path = serializers.CharField(help_text="Within the case; a folder's ends in a slash.")
    size = serializers.IntegerField(min_value=0, help_text="Bytes.")
    reason = serializers.CharField()


class ErrorSerializer(serializers.Serializer[Any]):
    """Why a job failed."""

    code = serializers.CharField()
    detail = serializers.CharField()


class JobSerializer(serializers.Serializer[Any]):
    """How `sync.progress` tells of a job, for the description."""

    jobId = serializers.UUIDField()  # noqa: N815
    caseId = serializers.UUIDField(allow_null=True, help_text="Null until the case API has named the case.")  # noqa: N815
    up = serializers.BooleanField()
    state = serializers.ChoiceField(JobState.choices)
    phase = serializers.ChoiceField(Phase.choices, help_text="What it is, or was last, at.")
    dryRun = serializers.BooleanField()  # noqa: N815
    filesDone = serializers.IntegerField(min_value=0)  # noqa: N815
    filesTotal = serializers.IntegerField(min_value=0, help_text="Of what is to be done, as far as it is planned.")  # noqa: N815
    bytesDone = serializers.IntegerField(min_value=0)  # noqa: N815
    bytesTotal = serializers.IntegerField(min_value=0)  # noqa: N815
    bytesPerSecond = serializers.IntegerField(min_value=0)  # noqa: N815
    currentFiles = serializers.ListField(child=serializers.CharField(), help_text="Some paths that are being moved.")  # noqa: N815
    failuresCount = serializers.IntegerField(min_value=0)  # noqa: N815
    failures = FailureSerializer(many=True, help_text="The first 1,000 of them.")
    startedOn = serializers.DateTimeField(allow_null=True)  # noqa: N815
    endedOn = serializers.DateTimeField(allow_null=True)  # noqa: N815
    error = ErrorSerializer(allow_null=True, help_text="Why it failed, if it did.")
    plan = ActionSerializer(many=True, required=False, help_text="Of a dry run that has ended: in the order of work.")
