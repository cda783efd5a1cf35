"""Who may read the numbers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.test import override_settings

from config.metrics.access import may_read

TOKEN = "a token of twenty-four.."


def scope(host: str | None, **headers: str) -> dict[str, object]:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"client": None if host is None else (host, 50000), "headers": named}


@pytest.mark.parametrize(
    ("host", "headers", "allowed"),
    [
        ("127.0.0.1", {}, True),
        ("127.8.8.8", {}, True),
        ("::1", {}, True),
        ("::ffff:127.0.0.1", {}, True),
        ("10.0.0.5", {}, False),
        ("172.18.0.2", {}, False),
        ("192.168.1.1", {}, False),
        ("203.0.113.9", {}, False),
        (None, {}, False),
        ("unix", {}, False),
        ("127.0.0.1", {"x_forwarded_for": "127.0.0.1"}, False),
        ("127.0.0.1", {"X_Forwarded_Proto": "https"}, False),
        ("127.0.0.1", {"forwarded": "for=1.2.3.4"}, False),
        ("127.0.0.1", {"x_real_ip": "1.2.3.4"}, False),
        ("127.0.0.1", {"via": "1.1 proxy"}, False),
    ],
)
def test_without_a_token_this_machine_alone_may(
    host: str | None,
    headers: dict[str, str],
    allowed: bool,  # noqa: FBT001 - a table
) -> None:
    with override_settings(ENVIRONMENT=SimpleNamespace(metrics_token="")):
        assert may_read(scope(host, **headers)) is allowed


@pytest.mark.parametrize(
    ("shown", "allowed"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer {TOKEN}", False),
        (f"Bearer {TOKEN}x", False),
        (f"Bearer {TOKEN[:-1]}", False),
        (TOKEN, False),
        ("", False),
    ],
)
def test_with_one_everybody_needs_it(
    shown: str,
    allowed: bool,  # noqa: FBT001 - a table
) -> None:
    with override_settings(ENVIRONMENT=SimpleNamespace(metrics_token=TOKEN)):
        assert may_read(scope("127.0.0.1", authorization=shown)) is allowed
        assert may_read(scope("203.0.113.9", authorization=shown)) is allowed
