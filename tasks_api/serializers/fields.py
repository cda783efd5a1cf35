"""Values as clients send them, in forms, JSON and queries: numbers in any of their forms, and text that is plain."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from datetime import MINYEAR, UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from rest_framework import serializers

from tasks_api import wording
from tasks_api.cids import is_cid

InstanceT = TypeVar("InstanceT")

MAX_NUMBER = 2**63 - 1
"""The largest number that the database can hold."""
_NUMBER = re.compile(r"[+-]?\d{1,40}(?:\.\d{0,40})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_CONTROLS = ("Cc", "Cs")
_MOMENT_CHARACTERS = 40
_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class FormSerializer(serializers.Serializer[InstanceT]):
    """Fields of a form, JSON object or query; an empty one counts as not there, and of a repeated one the last."""

    def to_internal_value(self, data: Any) -> Any:
        """Leave out what is empty."""
        if isinstance(data, Mapping):
            given = {name: data.get(name) for name in self.fields}
            data = {name: value for name, value in given.items() if value is not None and value != ""}
        return super().to_internal_value(data)


class NumberField(serializers.IntegerField):
    """A whole number within bounds, also where it comes as `102400.0`."""

    def __init__(self, *, min_value: int = 0, max_value: int = MAX_NUMBER, **options: Any) -> None:
        self._bounds = (min_value, max_value)
        super().__init__(min_value=min_value, max_value=max_value, **options)

    def to_internal_value(self, data: Any) -> int:
        """Refuse what is no whole number, or out of bounds."""
        number = _whole_number(data)
        if number is None:
            raise serializers.ValidationError(wording.say("no_number"))
        if not self._bounds[0] <= number <= self._bounds[1]:
            raise serializers.ValidationError(wording.say("out_of_range", *self._bounds))
        return int(number)


class TextField(serializers.CharField):
    """Text, to be kept as it came."""

    def __init__(self, *, max_length: int, **options: Any) -> None:
        self._max_length = max_length
        options.setdefault("allow_blank", not options.get("required", True))  # `FormSerializer` leaves it out then
        super().__init__(max_length=max_length, trim_whitespace=False, **options)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Refuse, before anything else looks at it, what is too long or not plain."""
        if isinstance(data, str):
            if len(data) > self._max_length:
                raise serializers.ValidationError(wording.say("too_long", self._max_length))
            if any(unicodedata.category(character) in _CONTROLS for character in data):
                raise serializers.ValidationError(wording.say("no_text"))
            if not data.strip():
                raise serializers.ValidationError(wording.say("required"))
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> str:
        """Refuse what is no text: a number in JSON is not kept as it came."""
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class CidField(TextField):
    """A CID of either version, kept as it came."""

    def to_internal_value(self, data: Any) -> str:
        """Refuse what is no CID."""
        text = super().to_internal_value(data)
        if not is_cid(text):
            raise serializers.ValidationError(wording.say("no_cid"))
        return text


class MomentField(serializers.DateTimeField):
    """A time in ISO 8601, UTC where it names no offset; a `+` that became a blank on its way is read as one."""

    def to_internal_value(self, value: Any) -> datetime:
        """Refuse what is no time that a database can hold."""
        text = str(value)
        with suppress(serializers.ValidationError):
            if len(text) <= _MOMENT_CHARACTERS:
                return super().to_internal_value(text[:11] + text[11:].replace(" ", "+"))
        raise serializers.ValidationError(wording.say("no_moment"))

    def enforce_timezone(self, value: datetime) -> datetime:
        """Read a time that only its offset takes beyond the calendar as the calendar's end."""
        try:
            return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)
        except OverflowError:
            return _EARLIEST if value.year == MINYEAR else _LATEST


def _whole_number(data: Any) -> int | Decimal | None:
    """The number, still to be checked for its size; None when it is none, or not whole."""
    if isinstance(data, bool):
        return None
    if isinstance(data, int):
        return data
    if isinstance(data, float):
        return int(data) if math.isfinite(data) and data.is_integer() else None
    if not isinstance(data, str) or not _NUMBER.fullmatch(data.strip()):
        return None
    number = Decimal(data.strip())
    return number if number == number.to_integral_value() else None
