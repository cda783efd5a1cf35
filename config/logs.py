"""How the service logs: one line an event, of `key=value` or JSON, to standard error, with no secret in it."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog
from celery import signals

from config import tracing
from config.redaction import Redaction
from transfers.engine.redaction import MASK

Format = Literal["text", "json"]
SOCKETS = frozenset(("/ws/events",))
"""Paths of WebSockets that the server may tell of."""


def configure(level: str, form: Format = "text", redaction: Redaction | None = None) -> None:
    """Send every logger's events, structlog's and the library's, through one formatter, which masks what is secret."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # Traces become text first: a renderer of its own taste would show variables' values, and pass the masking by.
    last: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        redaction or Redaction(),
        _renderer(form),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # These tell every connection, message, query or round of a task at INFO.
    for noisy in (
        *("kombu", "amqp", "asyncio", "django.db.backends", "django.template", "websockets"),
        *("celery.worker.strategy", "celery.app.trace", "celery.beat", "axes"),
        # And these, at DEBUG, every key, address and header, and what is signed of them.
        *("boto3", "botocore", "s3transfer"),
    ):
        logging.getLogger(noisy).setLevel(max(root.level, logging.WARNING))
    # These tell refused requests at WARNING, or quote URLs with their secrets.
    for loud in ("django.request", "urllib3"):
        logging.getLogger(loud).setLevel("ERROR")
    logging.getLogger("django.request").addFilter(without_path)
    # Strangers who guess at host names, and every second in which the broker is away.
    for frequent in ("django.security.DisallowedHost", "channels_redis.pubsub"):
        logging.getLogger(frequent).addFilter(without_trace)
    _take_over_uvicorn()
    tracing.connect()
    # Celery asks here before it would put its own handlers and level in place.
    signals.setup_logging.connect(_leave_as_it_is, weak=False, dispatch_uid="config.logs")


def _renderer(form: Format) -> structlog.typing.Processor:
    if form == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    if sys.stderr.isatty():
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"])


def _take_over_uvicorn() -> None:
    """Lead the server's own loggers, which it has set up before it imports us, to the one formatter."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
    logging.getLogger("uvicorn").propagate = True
    # A line a request is the business of the proxy in front; without a handler the server does not even make it.
    logging.getLogger("uvicorn.access").propagate = False
    server = logging.getLogger("uvicorn.error")
    server.addFilter(known_path_alone)  # it tells every WebSocket's path at INFO
    # And at DEBUG every header of a handshake, tokens among them.
    server.setLevel(max(logging.getLogger().level, logging.INFO))


def known_path_alone(record: logging.LogRecord) -> bool:
    """Cut query strings, where tokens may be, and paths that are not ours, which may hold anything, out of a record."""
    if isinstance(record.args, tuple):
        record.args = tuple(_shown(value) for value in record.args)
    return True


def _shown(value: object) -> object:
    if not isinstance(value, str):
        return value
    path = value.partition("?")[0]
    return path if not path.startswith("/") or path.rstrip("/") in SOCKETS else MASK


def without_path(record: logging.LogRecord) -> bool:
    """Name the view in place of the path, which clients may put anything into."""
    if request := getattr(record, "request", None):
        match = getattr(request, "resolver_match", None)
        record.msg, record.args = "%s: %s", (record.getMessage().partition(":")[0], tracing.view_of(match))
    return True


def without_trace(record: logging.LogRecord) -> bool:
    """Put a record's exception in a few words instead of its traceback."""
    if record.exc_info:
        record.msg, record.args = f"{record.getMessage()} ({record.exc_info[1]!r})", ()
        record.exc_info = None
    return True


def _leave_as_it_is(**_: object) -> None:
    """Answer Celery's question whether logging is set up: it is."""
