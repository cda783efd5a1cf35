"""`deploy/backup` and `deploy/restore`, on a real PostgreSQL: what fails, what overlaps, what is cut short."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.integration.test_backup import Place
from tests.postgres import find_programs, running_postgres
from tests.servers import environment_of, manage
from tests.service import REPOSITORY, wait_until

KEY = "a key of forty characters, for tests only"


@dataclass
class Deployed:
    """What deploy/backup and deploy/restore find, and how they are run."""

    place: Place
    compose: Path
    folder: Path

    def start(self, script: str, *arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
        told = {**self.place.variables, "COMPOSE": str(self.compose), "STUB": str(self.folder), **variables}
        return subprocess.Popen(
            [REPOSITORY / "deploy" / script, *arguments],
            env=environment_of(self.place.data_dir, told),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, script: str, *arguments: str | Path, **variables: str) -> tuple[int, str]:
        """Its exit code and what it told."""
        process = self.start(script, *arguments, **variables)
        told, _ = process.communicate(timeout=120)
        return process.returncode, told

    def back_up(self, *options: str, **variables: str) -> tuple[int, str]:
        return self.run("backup", self.place.backups, *options, **variables)

    def psql(self, statement: str) -> None:
        with psycopg.connect(self.place.variables["DATABASE_URL"], autocommit=True) as connection:
            connection.execute(statement)

    def empty(self) -> None:
        self.psql("DROP SCHEMA public CASCADE")
        self.psql("CREATE SCHEMA public")

    def is_readable(self, dump: Path) -> bool:
        command: list[str | Path] = [find_programs() / "pg_restore", "--file=/dev/null", dump]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def on_postgres(tmp_path: Path) -> Iterator[Place]:
    with running_postgres() as url:
        path = f"{find_programs()}{os.pathsep}{os.environ['PATH']}"
        made = Place(tmp_path / "data", tmp_path / "backups", {"DATABASE_URL": url, "SECRET_KEY": KEY, "PATH": path})
        made.data_dir.mkdir()
        manage(made.data_dir, "migrate", "--verbosity", "0", **made.variables)
        yield made


@pytest.fixture
def deployed(on_postgres: Place, tmp_path: Path) -> Deployed:
    """Compose itself needs an engine; what the scripts have it do is done here, by programs of their names."""
    compose = tmp_path / "compose"
    database = on_postgres.variables["DATABASE_URL"]
    compose.write_text(COMPOSE.format(python=sys.executable, database=database, repository=REPOSITORY))
    compose.chmod(0o755)
    return Deployed(on_postgres, compose, tmp_path)


def test_the_steps_that_deploy_backup_takes_on_postgresql(deployed: Deployed) -> None:
    place = deployed.place
    (path,) = place.add(film=b"film")
    code, told = deployed.back_up("--keep", "3")
    assert code == 0, told
    (backup,) = place.whole()
    dump = backup / "database.dump"
    assert dump.read_bytes()[:5] == b"PGDMP"
    assert dump.stat().st_mode & 0o077 == 0
    path.unlink()
    code, told = deployed.run("restore", backup)
    assert (code, "not empty" in told) == (1, True), told
    deployed.empty()
    code, told = deployed.run("restore", backup, FAIL="--database-is-there")
    assert code == 1, told
    code, told = deployed.run("restore", backup)  # which finds the database there, and goes on
    assert code == 0, told
    assert "1 files, 4 bytes. The files are there" in told
    assert "each of its rows has its file" in told.splitlines()[-1]
    assert path.read_bytes() == b"film"


def test_a_deploy_backup_that_fails_leaves_nothing(deployed: Deployed) -> None:
    faults: list[dict[str, str]] = [{"FAIL": "--begin"}, {"FAIL": "pg_dump"}, {"CUT": "5000"}]
    for fault in faults:
        code, told = deployed.back_up(**fault)
        left = [path.name for path in deployed.place.backups.iterdir() if path.name != ".lock"]
        assert (code, left) == (1, []), (fault, told)


def test_two_deploy_backups_at_once_are_both_whole(deployed: Deployed) -> None:
    deployed.place.add(film=b"film")
    held = deployed.start("backup", deployed.place.backups, HOLD="5000")
    wait_until((deployed.folder / "held").exists, 60)
    deployed.psql("CREATE TABLE noise AS SELECT md5(i::text) FROM generate_series(1, 20000) AS i")
    code, told = deployed.back_up()
    assert code == 0, told
    (deployed.folder / "held").unlink()
    told, _ = held.communicate(timeout=120)
    assert held.returncode == 0, told
    whole = deployed.place.whole()
    assert [deployed.is_readable(backup / "database.dump") for backup in whole] == [True, True]


COMPOSE = """#!/bin/sh
# What `docker compose` would do for deploy/backup and deploy/restore, without containers.
# A command with FAIL in it fails; CUT has so many bytes of the dump come over, HOLD halts after as many for $STUB/held.
held() {{ head -c "$HOLD"; touch "$STUB/held"; while [ -e "$STUB/held" ]; do sleep 0.05; done; cat; }}
if [ -n "${{FAIL:-}}" ]; then case "$*" in *"$FAIL"*) exit 1 ;; esac; fi
case "$1 $2" in
"exec -T")
    program=$4; shift 4
    [ "$program" = pg_isready ] && exit 0
    # -U carryon, -d carryon and the database's name are the container's.
    for word; do
        shift
        case $word in -U | -d | carryon) ;; *) set -- "$@" "$word" ;; esac
    done
    case "$program $*" in
    "pg_dump "*)
        set -- "$program" --dbname="{database}" "$@"
        if [ -n "${{CUT:-}}" ]; then "$@" | head -c "$CUT"
        elif [ -n "${{HOLD:-}}" ]; then "$@" | held
        else exec "$@"; fi ;;
    *--file=*) exec "$program" "$@" ;;
    *) exec "$program" --dbname="{database}" "$@" ;;
    esac ;;
"run --rm")
    while [ "$1" != worker ]; do [ "$1" = -v ] && volume=$2; shift; done
    shift
    folder=${{volume%%:*}}
    for word; do
        shift
        case $word in /backup*) word=$folder${{word#/backup}} ;; esac
        set -- "$@" "$word"
    done
    cd {repository} && exec {python} "$@" ;;
*) exit 0 ;;
esac
"""
