"""The source document's examples, as answers are held against them: names and types, whatever the order."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_CALL = re.compile(r"^`(?P<call>[A-Z]+ \S+)`\n\n```json\n(?P<body>.*?)\n```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"//[^\n\"]*$", re.MULTILINE)
_META_BESIDES = {"count": int, "page": int, "page_size": int}
"""What lists tell of themselves beyond the document."""


def examples() -> dict[str, Any]:
    """The bodies of the answers, by method and path."""
    text = (Path(__file__).parent / "examples.md").read_text()
    return {found["call"]: json.loads(_COMMENT.sub("", found["body"])) for found in _CALL.finditer(text)}


EXAMPLES = examples()


def shape(value: Any) -> Any:
    """The value with types in place of what they hold; of a list the shapes that occur in it."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        shapes: list[Any] = []
        shapes.extend(found for found in map(shape, value) if found not in shapes)
        return shapes
    return type(value)


def differences(call: str, answer: Any) -> Any:
    """What is between the answer's shape and that of the call's example: None when nothing is."""
    expected = shape(EXAMPLES[call])
    if "meta" in expected:
        expected["meta"] = {**expected["meta"], **_META_BESIDES}
    found = shape(answer)
    if found["data"] == []:  # a list of nothing has nothing to compare
        expected["data"] = []
    return None if found == expected else (found, expected)
