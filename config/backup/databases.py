"""The database of one moment into a file, and back into an empty one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from django.db import connection

from config.backup.copying import sync

_DUMP = b"PGDMP"
SQLITE, POSTGRESQL = "database.sqlite3", "database.dump"

_SERVICE = "service=carryon"
_NOT_LIBPQ = ("cursor_factory", "context", "prepare_threshold", "server_side_binding")


class DatabaseError(Exception):
    """The database could not be dumped or restored; the text says why."""


def file_name() -> str:
    """What the database's file is called in a backup."""
    return SQLITE if connection.vendor == "sqlite" else POSTGRESQL


def sqlite_path() -> Path | None:
    """Where the database lies, if it is a file."""
    return Path(str(connection.settings_dict["NAME"])).absolute() if connection.vendor == "sqlite" else None


def dump(target: Path) -> None:
    """Write the database to the file, as of one moment, while others write to it."""
    path = sqlite_path()
    if path is not None:
        _copy_sqlite(path, target)
    else:
        _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")


def restore(source: Path) -> None:
    """Fill the database, which has nothing in it, at once or not at all."""
    path = sqlite_path()
    if path is None:
        options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
        _run("pg_restore", *options, f"--dbname={_SERVICE}", str(source))
        return
    connection.close()  # it would go on reading the file that is replaced
    fresh = path.with_name(f"{path.name}.restoring")
    fresh.unlink(missing_ok=True)
    _copy_sqlite(source, fresh)
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    sync(fresh)
    fresh.replace(path)
    sync(path.parent)


def is_empty() -> bool:
    """Whether it has no tables; a file that is not there yet has none."""
    path = sqlite_path()
    if path is not None and not path.exists():
        return True
    return not connection.introspection.table_names()


def check(source: Path) -> None:
    """Nothing, where the dump can be read from its beginning to its end; DatabaseError where not."""
    if source.name == SQLITE:
        _check_sqlite(source)
    elif shutil.which("pg_restore") is None:  # as in a container that has none
        check_form(source)
    else:
        _run("pg_restore", "--file=/dev/null", str(source))


def check_form(source: Path) -> None:
    """Nothing, where it is a dump of `pg_dump --format=custom`; DatabaseError where it is something else."""
    if not source.is_file():
        raise DatabaseError(f"{source} is not there.")
    with source.open("rb") as file:
        if file.read(len(_DUMP)) != _DUMP:
            raise DatabaseError(f"{source} is no dump of `pg_dump --format=custom`.")


def _copy_sqlite(source: Path, target: Path) -> None:
    """SQLite's online backup in one step: writers go on meanwhile, and nothing of theirs is half in it."""
    try:
        with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(target)) as writing:
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise DatabaseError(f"{source}: {error}") from None
    _check_sqlite(target)


def _check_sqlite(path: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            (told,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        told = str(error)
    if told != "ok":
        raise DatabaseError(f"{path} is damaged: {told}")


def _run(program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL's on our database, whose password is on no command line."""
    if (found := shutil.which(program)) is None:
        raise DatabaseError(f"{program} is not on the PATH; install PostgreSQL's client programs.")
    with _service() as environment:
        ended = subprocess.run(  # noqa: S603 - our own arguments
            [found, *arguments], env=environment, capture_output=True, text=True, check=False
        )
    if ended.returncode:
        raise DatabaseError(f"{program} ended with {ended.returncode}: {ended.stderr.strip()[-2000:]}")


@contextmanager
def _service() -> Iterator[dict[str, str]]:
    """The environment that tells libpq our database: by a file that nobody else may read."""
    told: dict[str, Any] = connection.get_connection_params()
    kept = {name: value for name, value in told.items() if isinstance(value, (str, int)) and name not in _NOT_LIBPQ}
    with tempfile.TemporaryDirectory() as folder:
        service = Path(folder) / "service"
        service.touch(mode=0o600)
        service.write_text("[carryon]\n" + "".join(f"{name}={value}\n" for name, value in kept.items()))
        yield os.environ | {"PGSERVICEFILE": str(service), "PGSERVICE": "carryon"}
