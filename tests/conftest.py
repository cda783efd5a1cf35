"""The ground that every test stands on: settings of its own, on a data folder that goes with the run.

The settings module is named here and not in pyproject.toml, because pytest-django would read it before this file is
loaded, and with it the environment of whoever runs the tests.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest
from django.conf import settings
from django.test import TransactionTestCase

from config import redis
from tests import battery, emptying
from tests.broker import running_broker
from tests.postgres import running_postgres

_IN_XDIST_WORKER = "PYTEST_XDIST_WORKER" in os.environ
_DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "live_server", "admin_user"}
_FIRST = ("tests/e2e/", "tests/browser/", "tests/unit/transfers/engine/")
"""Where tests keep real processes: modules of minutes, the last of which would be waited for if they came late.

What pytest-django wants first, the tests of the database, comes before them all the same.
"""
_OPERATORS_VARIABLES = (
    *("HOST", "PORT", "WORKERS", "WORKER_THREADS", "WEB_THREADS", "DATABASE_URL", "REDIS_URL"),
    *("SECRET_KEY", "SECRET_KEY_FALLBACKS"),
    *("PUBLIC_URL", "ALLOWED_HOSTS", "TOKEN_EXPIRY_DAYS", "LOG_LEVEL", "FETCH_ALLOW", "DOWNLOAD_ROOT", "PATH_MAP"),
    *("LEGACY_FAIL_STATUS", "LEASE_SECONDS", "HEARTBEAT_SECONDS", "REAP_SECONDS", "SLICE_SECONDS"),
    *("TRUSTED_PROXIES", "LOGIN_FAILURES", "LOGIN_LOCKOUT_MINUTES", "CORS_ALLOWED_ORIGINS"),
    *("RATE_LIMIT_LOGIN", "RATE_LIMIT_ANONYMOUS", "RATE_LIMIT_START", "RATE_LIMIT_REQUESTS"),
    *("DOWNLOAD_HISTORY_DAYS", "UPLOAD_HISTORY_DAYS", "ORDER_HISTORY_DAYS", "LIST_JOB_HISTORY_DAYS"),
    *("SYNC_HISTORY_DAYS", "TASK_HISTORY_DAYS", "TOKEN_HISTORY_DAYS", "AUDIT_LOG_DAYS"),
    *("STUCK_TASK_MINUTES", "LOG_FORMAT", "METRICS_TOKEN"),
    *("STORAGE", "S3_BUCKET", "S3_PREFIX", "S3_ENDPOINT_URL", "FILES_ROOT", "X_ACCEL", "SWEEP_SECONDS"),
    "IPFS_GATEWAY_URL",
    *("SYNC_SOURCE_ROOTS", "SYNC_SAVE_PATH", "SYNC_REGIONS", "SYNC_CONNECTIONS"),
    *("CASE_API_HOSTS", "CASE_API_TOKEN", "CASE_API_TIMEOUT_SECONDS"),
    *("UPLOAD_MAX_BYTES", "UPLOAD_MAX_PART_BYTES", "UPLOAD_EXPIRY_DAYS", "UPLOAD_THREADS", "USER_QUOTA_BYTES"),
    "STATIC_ROOT",
)

hypothesis.settings.register_profile("carryon", deadline=None, max_examples=battery.rounds(100, 2_000), print_blob=True)
hypothesis.settings.load_profile("carryon")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the run choose its database."""
    parser.addoption(
        "--postgres", action="store_true", help="run on a PostgreSQL server of the run's own, not on SQLite"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Set the environment, then read the settings from it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background; what tests start inherits it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    data_dir = Path(tempfile.mkdtemp(prefix="carryon-test-"))
    config.add_cleanup(lambda: shutil.rmtree(data_dir))
    os.environ["DATA_DIR"] = str(data_dir)
    if not _IN_XDIST_WORKER:  # a worker finds what the run's first process has set
        for name in _OPERATORS_VARIABLES:
            os.environ.pop(name, None)
            os.environ.pop(f"{name}_FILE", None)
        if config.getoption("--postgres"):
            servers = ExitStack()
            config.add_cleanup(servers.close)
            os.environ["DATABASE_URL"] = servers.enter_context(running_postgres())
            os.environ["SECRET_KEY"] = "a key of forty characters, for tests only"
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        # A real file, as in service: in memory SQLite locks whole tables, and other processes cannot see it.
        settings.DATABASES["default"].setdefault("TEST", {})["NAME"] = str(data_dir / "test.sqlite3")
    _hurry()


def _hurry() -> None:
    """Leave out of this process what costs time and proves nothing; the services that tests start keep all of it."""
    # The real one takes a third of a second a user, on purpose: half of the time of the admin's tests.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.WHITENOISE_AUTOREFRESH = True  # otherwise each new client reads all static files anew
    emptying.install()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Have each worker read the settings in its own `pytest_configure`; sooner, all would share one data folder."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the database, so that it can be run again on the other one; leave long tests to `test-long`."""
    items.sort(key=_turn)
    for item in items:
        if _uses_database(item):
            item.add_marker("database")
        if item.get_closest_marker("long") and not battery.LONG:
            item.add_marker(pytest.mark.skip(reason="left to make test-long"))


def _turn(item: pytest.Item) -> int:
    return next((turn for turn, folder in enumerate(_FIRST) if item.nodeid.startswith(folder)), len(_FIRST))


def _uses_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("django_db") or _DATABASE_FIXTURES.intersection(getattr(item, "fixturenames", ())):
        return True
    test_class = getattr(item, "cls", None)
    return test_class is not None and issubclass(test_class, TransactionTestCase)


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """The embedded broker, running where the settings look for it; its URL."""
    run_dir = settings.ENVIRONMENT.run_dir
    with running_broker(settings.ENVIRONMENT.data_dir / "broker", redis.embedded_socket(run_dir)):
        yield settings.REDIS_URL
