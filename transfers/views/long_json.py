"""JSON bodies that are longer than others may be: lists of very many files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import IO, Any, cast

from rest_framework.parsers import BaseParser
from rest_framework.settings import api_settings


class LongJSONParser(BaseParser):
    """Reads JSON of any length as the API reads all JSON: who uses it has to look at the length beforehand.

    REST framework has what it takes for a JSON parser read Django's `body`, which may have DATA_UPLOAD_MAX_MEMORY_SIZE.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Parse the body; ParseError for what is not JSON, or half of it."""
        usual = cast("type[BaseParser]", api_settings.DEFAULT_PARSER_CLASSES[0])
        return usual().parse(io.BytesIO(stream.read()), media_type, parser_context)
