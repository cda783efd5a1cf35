"""What tasks count, before it is sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import pytest

from transfers import tally
from transfers.tally import Tally

Counted = Callable[[str, str], Mapping[str, int]]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """What was counted from now on of a name and a kind, by its error codes; "" for what has none."""
    kept = Tally()
    kept._thread = threading.current_thread()  # so that none is begun that sends it
    monkeypatch.setattr(tally, "_tally", kept)

    def of(name: str, kind: str) -> Mapping[str, int]:
        told = ((each, dict(labels), count) for (each, labels), count in kept._new.items())
        return {labels.get("code", ""): count for each, labels, count in told if (each, labels["kind"]) == (name, kind)}

    return of
