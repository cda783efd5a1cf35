from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from kombu import Connection
from redis import Redis

from config.redis import MAX_SOCKET_PATH_BYTES, broker_url, embedded_socket
from tests.broker import running_broker


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


@pytest.mark.parametrize("database", [0, 2])
def test_both_forms_lead_to_one_place(database: int, tmp_path: Path) -> None:
    socket = tmp_path / "a b%20?#.sock"
    redis_url = f"unix://{quote(str(socket))}?db={database}"

    with running_broker(tmp_path / "journal", socket), Redis.from_url(redis_url) as ours:
        ours.set("place", "here")
        with Connection(broker_url(redis_url)) as theirs:
            assert theirs.default_channel.client.get("place") == b"here"  # type: ignore[attr-defined]


def test_the_socket_lies_in_the_run_folder_when_its_path_fits(tmp_path: Path) -> None:
    short = Path("/srv/carryon/run")
    long = tmp_path / ("x" * MAX_SOCKET_PATH_BYTES)

    assert embedded_socket(short) == short / "broker.sock"
    assert len(bytes(embedded_socket(long))) <= MAX_SOCKET_PATH_BYTES
    assert embedded_socket(long) == embedded_socket(long) != embedded_socket(long / "other")
