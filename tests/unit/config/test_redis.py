from __future__ import annotations

from pathlib import Path

import pytest
from kombu import Connection
from redis.connection import parse_url

from config.redis import MAX_SOCKET_PATH_BYTES, broker_url, embedded_socket


@pytest.mark.parametrize(
    ("redis_url", "celery_url"),
    [
        ("redis://host:6379/1", "redis://host:6379/1"),
        ("rediss://:pass@host/0", "rediss://:pass@host/0"),
        ("unix:///run/broker.sock", "redis+socket:///run/broker.sock?virtual_host=0"),
        ("unix:///run/broker.sock?db=3", "redis+socket:///run/broker.sock?virtual_host=3"),
        ("unix://user:pass@/run/broker.sock", "redis+socket://user:pass@/run/broker.sock?virtual_host=0"),
        ("unix:///with%20space/%3F.sock", "redis+socket:///with%20space/%3F.sock?virtual_host=0"),
    ],
)
def test_one_address_in_two_forms(redis_url: str, celery_url: str) -> None:
    assert broker_url(redis_url) == celery_url


@pytest.mark.parametrize(
    "redis_url", ["unix:///run/broker.sock", "unix:///with%20space/%3F.sock?db=2", "unix://user:pass@/run/b.sock"]
)
def test_both_forms_lead_to_one_place(redis_url: str) -> None:
    ours = parse_url(redis_url)  # type: ignore[no-untyped-call]

    theirs = Connection(broker_url(redis_url)).channel()._connparams()  # type: ignore[attr-defined]

    assert theirs["path"] == ours["path"]
    assert theirs["db"] == ours.get("db", 0)
    assert theirs["password"] == ours.get("password")


def test_the_socket_lies_in_the_run_folder_when_its_path_fits(tmp_path: Path) -> None:
    short = Path("/srv/carryon/run")
    long = tmp_path / ("x" * MAX_SOCKET_PATH_BYTES)

    assert embedded_socket(short) == short / "broker.sock"
    assert len(bytes(embedded_socket(long))) <= MAX_SOCKET_PATH_BYTES
    assert embedded_socket(long) == embedded_socket(long) != embedded_socket(long / "other")
