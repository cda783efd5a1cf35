"""One web process, as it is shipped, for all the tests that only talk to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import embedded_broker, manage, web_server

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Web:
    """A running web process, with a user `ann`, and the superuser `root` whose password is PASSWORD."""

    url: str
    data_dir: Path
    token: str
    """Of ann."""
    staff_token: str
    """Of root."""

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    @property
    def events_url(self) -> str:
        return f"{self.url.replace('http', 'ws')}/ws/events/"

    def log(self) -> str:
        """All that the process has written so far."""
        return (self.data_dir / "web.log").read_text()

    def new_token(self, *arguments: str) -> str:
        return manage(self.data_dir, "create_token", *arguments).splitlines()[-1]

    def write(self, statement: str, *values: object) -> None:
        """Change the database behind the process's back; AssertionError when that changes nothing."""
        with closing(sqlite3.connect(self.data_dir / "carryon.sqlite3", timeout=20)) as database, database:
            assert database.execute(statement, values).rowcount > 0


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The process, with the views of `tests.webapp` beside its own, and a broker for its sockets."""
    data_dir = tmp_path_factory.mktemp("web")
    variables = {"DJANGO_SETTINGS_MODULE": "tests.webapp.settings", "LOG_LEVEL": "DEBUG"}
    with embedded_broker(data_dir), web_server(data_dir, **variables) as url:
        superuser = ("createsuperuser", "--noinput", "--username", "root", "--email", "root@carryon.test")
        manage(data_dir, *superuser, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
        tokens = [manage(data_dir, "create_token", "--user", name).splitlines()[-1] for name in ("ann", "root")]
        yield Web(url, data_dir, *tokens)
