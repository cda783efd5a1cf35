from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.s3.fixtures import rclone, s3_credentials, store, swift
from transfers.engine.s3 import S3Place, exchange
from transfers.engine.s3.conditions import forget_stores

__all__ = ["asked", "rclone", "s3_credentials", "short_pauses", "store", "swift"]


@pytest.fixture(autouse=True)
def _new_stores() -> Iterator[None]:
    """Every test finds out anew what its store does with conditions."""
    forget_stores()
    yield
    forget_stores()


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried again soon."""
    monkeypatch.setattr(exchange, "FIRST_PAUSE_SECONDS", 0.001)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[exchange.Request]:
    """Every request for a small object or a listing, also those that are tried again."""
    requests: list[exchange.Request] = []
    really = exchange._exchange_once

    def once(place: S3Place, request: exchange.Request) -> exchange.Answer:
        requests.append(request)
        return really(place, request)

    monkeypatch.setattr(exchange, "_exchange_once", once)
    return requests
