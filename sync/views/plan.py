"""A job with its plan, written as it is read: 100,000 actions are never in memory at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from rest_framework.renderers import JSONRenderer

from sync.views.base import success

ACTIONS_AT_ONCE = 200
_END = b"]}}"
"""How the answer ends after the plan's last action: the plan, the data, the envelope."""


def with_plan(data: Mapping[str, Any], plan: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """The success envelope with this data, and at its end the plan."""
    renderer = JSONRenderer()
    head = bytes(renderer.render(success({**data, "plan": []})))
    yield head.removesuffix(_END)
    actions, comma = iter(plan), b""
    while run := list(islice(actions, ACTIONS_AT_ONCE)):
        yield comma + bytes(renderer.render(run))[1:-1]
        comma = b","
    yield _END
