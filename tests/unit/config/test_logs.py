from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import structlog
from celery import signals

from config import logs
from config.redaction import Redaction


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_an_event_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    logging.getLogger("any.library").error("it\nbroke: %s", "here", exc_info=ValueError("two\nlines"))

    [line] = capsys.readouterr().err.splitlines()
    assert "level='error'" in line
    assert "ValueError: two" in line


def test_the_servers_own_set_up_gives_way(capsys: pytest.CaptureFixture[str]) -> None:
    server = logging.getLogger("uvicorn.error")
    server.addHandler(logging.StreamHandler())

    logs.configure("INFO")
    server.info('%s - "WebSocket %s" [accepted]', "127.0.0.1:1", "/ws/events/?token=secret&cid=a")

    [line] = capsys.readouterr().err.splitlines()
    assert "/ws/events/" in line
    assert "secret" not in line
    assert "timestamp=" in line


def test_the_server_tells_no_path_of_a_clients_own(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" %d', "127.0.0.1:1", "/ws/P-4711/", 401)

    [line] = capsys.readouterr().err.splitlines()
    assert "127.0.0.1:1" in line
    assert "P-4711" not in line


def test_json_lines_hold_the_trace_and_nothing_secret(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "json", Redaction(secrets=["the configured key"]))
    try:
        int("pid=P-4711 at https://u:secret-1@host/x?sig=secret-2 with the configured key")
    except ValueError:
        structlog.get_logger("any").exception("it broke", token="secret-3", attempt=2)

    [line] = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["event"], told["attempt"], told["level"]) == ("it broke", 2, "error")
    assert "Traceback" in told["exception"]
    assert not {word for word in ("P-4711", "secret-", "the configured key") if word in line}


def test_a_view_is_named_and_not_its_path(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    request = SimpleNamespace(resolver_match=None)
    logging.getLogger("django.request").error(
        "Internal Server Error: %s", "/api/cases/P-4711", extra={"request": request, "status_code": 500}
    )

    [line] = capsys.readouterr().err.splitlines()
    assert "Internal Server Error: unmatched" in line
    assert "P-4711" not in line


def test_the_server_has_nowhere_to_tell_every_request() -> None:
    logging.getLogger("uvicorn.access").addHandler(logging.NullHandler())

    logs.configure("INFO")

    assert not logging.getLogger("uvicorn.access").hasHandlers()


@pytest.mark.parametrize(
    ("level", "name", "logged", "told"),
    [
        ("INFO", "kombu.connection", logging.INFO, False),
        ("INFO", "kombu.connection", logging.WARNING, True),
        ("ERROR", "kombu.connection", logging.WARNING, False),
        ("DEBUG", "urllib3.connectionpool", logging.WARNING, False),
        ("DEBUG", "botocore.auth", logging.DEBUG, False),
        ("DEBUG", "boto3.resources", logging.DEBUG, False),
        ("DEBUG", "s3transfer.futures", logging.INFO, False),
        ("INFO", "botocore.credentials", logging.WARNING, True),
        ("DEBUG", "django.db.backends", logging.DEBUG, False),
        ("INFO", "django.request", logging.WARNING, False),
        ("INFO", "django.request", logging.ERROR, True),
        ("WARNING", "uvicorn.error", logging.INFO, False),
        ("DEBUG", "uvicorn.error", logging.DEBUG, False),
        ("DEBUG", "uvicorn.error", logging.INFO, True),
        ("INFO", "celery.beat", logging.INFO, False),
        ("DEBUG", "transfers", logging.DEBUG, True),
    ],
)
def test_what_is_worth_a_line(
    level: str,
    name: str,
    logged: int,
    told: bool,  # noqa: FBT001 - a table
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(level)
    logging.getLogger(name).log(logged, "event")

    assert bool(capsys.readouterr().err) is told


@pytest.mark.parametrize("name", ["django.security.DisallowedHost", "channels_redis.pubsub"])
def test_what_comes_often_is_told_without_a_trace(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO")
    logs.configure("INFO")
    try:
        int("%s")
    except ValueError:
        logging.getLogger(name).exception("It failed for %s", "one")

    [line] = capsys.readouterr().err.splitlines()
    assert "It failed for one (ValueError(" in line
    assert "Traceback" not in line


def test_celery_finds_logging_set_up() -> None:
    logs.configure("INFO")
    logs.configure("INFO")

    assert len(signals.setup_logging.send(sender=None)) == 1
