"""Settings out of files: `<NAME>_FILE` names a file that holds what `<NAME>` would say, as containers get secrets."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

SUFFIX = "_FILE"
MOST_BYTES = 2**16
"""No setting is longer; a device or a log that is named by mistake is not read into memory."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands in for a value that a file should have given; `why` says what is wrong, and nothing of the value."""

    why: str


class FileSource(PydanticBaseSettingsSource):
    """The settings whose `<NAME>_FILE` is set, each the text of its file without the line ends behind it."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - pydantic's
        """The value, None where no file is named."""
        name = field_name.upper()
        file = os.environ.get(name + SUFFIX)
        return (self._value(name, Path(file)) if file else None), field_name, False

    def __call__(self) -> dict[str, Any]:
        """The values by the names of their fields."""
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value not in (None, "")}

    @staticmethod
    def _value(name: str, file: Path) -> str | Unreadable:
        if os.environ.get(name):
            return Unreadable(f"is set, and so is {name}{SUFFIX}; only one can be")
        try:
            with file.open("rb") as opened:
                text = opened.read(MOST_BYTES + 1).decode()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            return Unreadable(f"the file that {name}{SUFFIX} names cannot be read: {why}")
        if len(text.encode()) > MOST_BYTES:
            return Unreadable(f"the file that {name}{SUFFIX} names has more than {MOST_BYTES} bytes")
        return text.rstrip("\r\n")
