"""Cases on the wire."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from sync.models import Case
from sync.serializers.fields import CaseIdField, KeyPrefixField, TextField
from sync.services.case import CaseRequest


class CaseFieldsSerializer(serializers.Serializer[Any]):
    """What a caller says of a case, whatever it is to be done with it."""

    _id = CaseIdField(label="_id", help_text="What the case API calls it; without it, the case is to be created.")
    projectname = TextField(max_length=255, help_text="Case name: of one folder, so in at most 255 bytes.")
    pid = TextField(max_length=128, help_text="Patient id.")
    projecttype = TextField(max_length=255, help_text="Case type.")
    s3keypath = KeyPrefixField(max_length=900, help_text="What the keys of its files begin with, in at most 900 bytes.")
    ownerGroupId = TextField(max_length=128, help_text="Id of the institution that made the case.")  # noqa: N815
    labId = TextField(max_length=128, help_text="Id of the institution that it is shared with.")  # noqa: N815
    region = TextField(max_length=64, help_text="AWS region; the operator has said where its cloud is.")

    @staticmethod
    def case_of(validated_data: dict[str, Any]) -> CaseRequest:
        """Build the part of it that is a case."""
        return CaseRequest(
            uuid=validated_data.get("_id"),
            owner_group_id=validated_data["ownerGroupId"],
            lab_id=validated_data["labId"],
            pid=validated_data["pid"],
            projectname=validated_data["projectname"],
            projecttype=validated_data["projecttype"],
            s3keypath=validated_data["s3keypath"],
            region=validated_data["region"],
        )


class CaseRequestSerializer(CaseFieldsSerializer):
    """A case that is to be there."""

    def create(self, validated_data: dict[str, Any]) -> CaseRequest:
        """Build the value that the services take."""
        return self.case_of(validated_data)


class CaseSerializer(serializers.ModelSerializer[Case]):
    """A case as it is shown."""

    _id = serializers.UUIDField(
        source="uuid", allow_null=True, label="_id", help_text="Null until the case API has named it."
    )
    ownerGroupId = serializers.CharField(source="owner_group_id")  # noqa: N815
    labId = serializers.CharField(source="lab_id")  # noqa: N815
    createdOn = serializers.DateTimeField(source="created_at")  # noqa: N815

    class Meta:
        """Read only."""

        model = Case
        fields = [
            "_id",
            "ownerGroupId",
            "labId",
            "pid",
            "projectname",
            "projecttype",
            "s3keypath",
            "region",
            "createdOn",
        ]
        read_only_fields = fields
