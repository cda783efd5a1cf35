"""Values as they are taken, in JSON of their own type only."""

from __future__ import annotations

import re
import unicodedata
import uuid
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CONTROLS = ("Cc", "Cs", "Zl", "Zp")
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_TEXT, _KEY_PREFIX = (rf"^[^{_CONTROL}]*[^{blank}{_CONTROL}][^{_CONTROL}]*$" for blank in (r"\s", r"\s/"))
"""What is taken for text, and for a key prefix, to the description."""


def parsed_uuid(text: str) -> uuid.UUID | None:
    """The UUID that this is in its usual form, with hyphens; None for everything else."""
    return uuid.UUID(text) if _UUID.fullmatch(text) else None


class TextField(serializers.CharField):
    """Text without control characters, to be kept as it came; not blank."""

    def __init__(self, *, max_length: int, **options: Any) -> None:
        super().__init__(max_length=max_length, trim_whitespace=False, **options)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Refuse, before anything else looks at it, what is too long, blank or not plain."""
        if isinstance(data, str):
            limit = self.max_length or 0
            if len(data) > limit:
                raise serializers.ValidationError(f"has {len(data)} characters, the limit is {limit}")
            if any(unicodedata.category(character) in _CONTROLS for character in data):
                raise serializers.ValidationError("contains control characters")
            if not data.strip():
                self.fail("blank")
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> str:
        """Refuse what is no text: a number would not be kept as it came."""
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class KeyPrefixField(TextField):
    """What a case's keys begin with; slashes around it count for nothing."""

    def to_internal_value(self, data: Any) -> str:
        """Refuse what is nothing but slashes: it would be the whole bucket."""
        prefix = super().to_internal_value(data).strip("/")
        if not prefix.replace("/", "").strip():
            self.fail("blank")
        return prefix


@extend_schema_field({"type": "boolean"})
class SwitchField(serializers.Field[bool, bool, bool, Any]):
    """True or false, and nothing that might be meant for one of them."""

    default_error_messages = {"invalid": "must be true or false"}

    def to_internal_value(self, data: bool) -> bool:  # noqa: FBT001 - the framework's own signature
        """Refuse what is no boolean."""
        if not isinstance(data, bool):
            self.fail("invalid")
        return data

    def to_representation(self, value: bool) -> bool:  # noqa: FBT001 - as above
        """As it is."""
        return value


@extend_schema_field({"anyOf": [{"type": "string", "format": "uuid"}, {"enum": ["", None]}]})
class CaseIdField(serializers.Field[uuid.UUID | None, Any, str | None, Any]):
    """What the case API calls a case; nothing, or an empty text, for a case that it has not named yet."""

    default_error_messages = {"invalid": "must be a UUID"}

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, allow_null=True, **options)

    def to_internal_value(self, data: Any) -> uuid.UUID | None:
        """Refuse what is no UUID."""
        if data == "":
            return None
        found = parsed_uuid(data) if isinstance(data, str) else None
        if found is None:
            self.fail("invalid")
        return found

    def to_representation(self, value: uuid.UUID | None) -> str | None:
        """With hyphens."""
        return str(value) if value else None


class _TextFieldDescribed(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Text as strict as it is taken."""

    target_class = TextField
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        """As Django's own field of the sort, and more exactly."""
        described = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)  # noqa: SLF001
        described.pop("description", None)  # stands beside it
        pattern = _KEY_PREFIX if isinstance(self.target, KeyPrefixField) else _TEXT
        return {**described, "pattern": pattern}
