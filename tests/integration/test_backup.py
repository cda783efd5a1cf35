"""`manage.py backup` and `restore`: what they refuse, what they find wrong, and what a kill leaves."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.postgres import find_programs, running_postgres
from tests.servers import environment_of, manage
from tests.service import REPOSITORY
from tests.unit.transfers.engine.local.building import begun, half_built, sizes

KEY = "a key of forty characters, for tests only"
FILMS = {f"film{number}": bytes([number + 1]) * 60_000_000 for number in range(5)}
"""Large enough to be killed in their midst."""
ADD = """
from pathlib import Path
from django.contrib.auth.models import User
from transfers.models import StoredFile
user, _ = User.objects.get_or_create(username="ann")
for path in map(Path, {paths!r}):
    status = path.stat()
    facts = dict(size=status.st_size, modified_ns=status.st_mtime_ns)
    StoredFile.objects.create(owner=user, name=path.name, path=str(path), **facts)
"""


@dataclass
class Place:
    """A service's data folder, which no service runs on."""

    data_dir: Path
    backups: Path
    variables: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            env=environment_of(self.data_dir, self.variables),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def add(self, **contents: bytes) -> list[Path]:
        """Stored files with their rows."""
        folder = self.data_dir / "files" / "1"
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        paths = [str(folder / name) for name in contents]
        manage(self.data_dir, "shell", "-v", "0", "-c", ADD.format(paths=paths), **self.variables)
        return [folder / name for name in contents]

    def back_up(self, *options: str) -> Path:
        done = self.run("backup", str(self.backups), *options)
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.splitlines()[-1])

    def wreck(self) -> None:
        """Nothing is there any more."""
        self.data_dir.rename(self.data_dir.with_name(f"wrecked-{time.monotonic_ns()}"))

    def whole(self) -> list[Path]:
        """The backups that have their names."""
        return sorted(self.backups.glob("[0-9]*"))


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a database that has nothing in it."""
    folder = tmp_path_factory.mktemp("migrated")
    manage(folder, "migrate", "--verbosity", "0")
    return folder


@pytest.fixture
def place(tmp_path: Path, migrated: Path) -> Place:
    shutil.copytree(migrated, tmp_path / "data")
    return Place(tmp_path / "data", tmp_path / "backups", {})


def test_there_and_back_with_the_key(place: Place) -> None:
    (path,) = place.add(film=os.urandom(3_000_000))
    (place.data_dir / "cases" / "empty").mkdir(parents=True)
    before, key = path.read_bytes(), (place.data_dir / "secret_key").read_text()
    mtime = path.stat().st_mtime_ns
    backup = place.back_up()
    assert backup.stat().st_mode & 0o077 == 0
    place.wreck()
    restored = place.run("restore", str(backup))
    assert (restored.returncode, "All is there." in restored.stdout) == (0, True), restored.stderr
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, mtime)
    assert (place.data_dir / "secret_key").read_text() == key
    assert (place.data_dir / "secret_key").stat().st_mode & 0o777 == 0o600
    assert (place.data_dir / "cases" / "empty").is_dir()
    assert not (place.data_dir / "restoring").exists()
    assert place.data_dir.stat().st_mode & 0o007 == 0
    with closing(sqlite3.connect(place.data_dir / "carryon.sqlite3")) as database:
        assert database.execute("SELECT name FROM transfers_storedfile").fetchall() == [("film",)]


def test_an_unfinished_download_goes_on(place: Place) -> None:
    folder = place.data_dir / "downloads"
    folder.mkdir()
    half_built(folder)
    before = begun(folder)
    kept = sizes(before)
    before.close()
    backup = place.back_up()
    place.wreck()
    restored = place.run("restore", str(backup))
    assert restored.returncode == 0, restored.stderr
    sink = begun(folder)
    assert sizes(sink) == kept != {}
    sink.close()


def test_what_is_unchanged_is_not_copied_again_and_old_ones_go(place: Place) -> None:
    _, changing = place.add(same=b"same", other=b"before")
    first = place.back_up()
    changing.write_bytes(b"after!")
    os.utime(changing, ns=(1, 1))
    second = place.back_up()
    name = "files/data/files/1/{}"
    assert (first / name.format("same")).samefile(second / name.format("same"))
    assert (first / name.format("other")).read_bytes() == b"before"
    assert (second / name.format("other")).read_bytes() == b"after!"
    third = place.back_up("--keep", "2")
    assert place.whole() == [second, third]


def test_nothing_is_overwritten(place: Place) -> None:
    (path,) = place.add(film=b"film")
    backup = place.back_up()
    refused = place.run("restore", str(backup))
    assert (refused.returncode, "not empty" in refused.stderr) == (1, True), refused.stderr
    place.wreck()
    path.parent.mkdir(parents=True)
    path.write_bytes(b"another")
    refused = place.run("restore", str(backup))
    assert (refused.returncode, str(path) in refused.stderr) == (1, True), refused.stderr
    assert path.read_bytes() == b"another"
    assert not (place.data_dir / "carryon.sqlite3").exists()


def test_only_into_the_folders_that_it_came_from_and_with_its_key(place: Place, tmp_path: Path) -> None:
    place.add(film=b"film")
    backup = place.back_up()
    elsewhere = Place(tmp_path / "elsewhere", place.backups, {})
    elsewhere.data_dir.mkdir()
    refused = elsewhere.run("restore", str(backup))
    assert (refused.returncode, "DATA_DIR" in refused.stderr) == (1, True), refused.stderr
    without = place.back_up("--without-key")
    assert not (without / "secret_key").exists()
    place.wreck()
    refused = place.run("restore", str(without))
    assert (refused.returncode, "SECRET_KEY" in refused.stderr) == (1, True), refused.stderr


def test_what_is_damaged_or_missing_is_listed(place: Place) -> None:
    damaged, missing, whole = place.add(damaged=b"damaged", missing=b"missing", whole=b"whole")
    missing.unlink()
    backup = place.back_up()
    (backup / "files/data/files/1/damaged").write_bytes(b"DAMAGED")
    checked = place.run("restore", "--check", str(backup))
    assert (checked.returncode, str(damaged) in checked.stdout) == (3, True), checked.stderr
    place.wreck()
    restored = place.run("restore", str(backup))
    assert restored.returncode == 3, restored.stderr
    assert f"damaged in the backup  {damaged}" in restored.stdout
    assert f"missing  {missing}" in restored.stdout
    assert f"missing  {damaged}" in restored.stdout  # it was left out
    assert str(whole) not in restored.stdout
    assert whole.read_bytes() == b"whole"


def test_a_backup_that_lacks_a_file_is_not_restored(place: Place) -> None:
    place.add(film=b"film")
    backup = place.back_up()
    (backup / "files/data/files/1/film").unlink()
    place.wreck()
    refused = place.run("restore", str(backup))
    assert (refused.returncode, "missing in the backup" in refused.stderr) == (1, True), refused.stderr


def test_no_backup_among_what_is_backed_up(place: Place) -> None:
    place.backups = place.data_dir / "backups"
    refused = place.run("backup", str(place.backups))
    assert (refused.returncode, "elsewhere" in refused.stderr) == (1, True), refused.stderr


def test_a_kill_leaves_no_half_backup_and_the_next_one_clears_up(place: Place) -> None:
    place.add(**FILMS)
    command = [sys.executable, "manage.py", "backup", str(place.backups)]
    process = subprocess.Popen(command, env=environment_of(place.data_dir, {}), cwd=REPOSITORY)
    try:
        wait_for_films(place.backups)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert place.whole() == []
    assert list(place.backups.glob(".unfinished-*"))
    backup = place.back_up()
    assert place.whole() == [backup]
    assert not list(place.backups.glob(".unfinished-*"))


def test_a_killed_restore_goes_on_and_nothing_starts_before(place: Place) -> None:
    films = place.add(**FILMS)
    backup = place.back_up()
    place.wreck()
    command = [sys.executable, "manage.py", "restore", str(backup)]
    process = subprocess.Popen(command, env=environment_of(place.data_dir, {}), cwd=REPOSITORY)
    try:
        wait_for_films(place.data_dir)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (place.data_dir / "carryon.sqlite3").exists()
    refused = place.run("prepare")
    assert (refused.returncode, "not restored to its end" in refused.stderr) == (1, True), refused.stderr
    again = place.run("restore", str(backup))
    assert again.returncode == 0, again.stdout + again.stderr
    assert [film.read_bytes() for film in films] == list(FILMS.values())
    assert not list(place.data_dir.rglob("*.restoring"))
    assert place.run("prepare").returncode == 0


def wait_for_films(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not list(folder.rglob("film1*")):
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def on_postgres(tmp_path: Path) -> Iterator[Place]:
    with running_postgres() as url:
        path = f"{find_programs()}{os.pathsep}{os.environ['PATH']}"
        made = Place(tmp_path / "data", tmp_path / "backups", {"DATABASE_URL": url, "SECRET_KEY": KEY, "PATH": path})
        made.data_dir.mkdir()
        manage(made.data_dir, "migrate", "--verbosity", "0", **made.variables)
        yield made


def test_the_steps_that_deploy_backup_takes_on_postgresql(on_postgres: Place, tmp_path: Path) -> None:
    """Compose itself needs an engine; what the scripts have it do is done here, by programs of their names."""
    (path,) = on_postgres.add(film=b"film")
    database = on_postgres.variables["DATABASE_URL"]
    compose = tmp_path / "compose"
    compose.write_text(COMPOSE.format(python=sys.executable, database=database, repository=REPOSITORY))
    compose.chmod(0o755)
    environment = environment_of(on_postgres.data_dir, {**on_postgres.variables, "COMPOSE": str(compose)})

    def ran(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)

    done = ran(str(REPOSITORY / "deploy" / "backup"), str(on_postgres.backups), "--keep", "3")
    assert done.returncode == 0, done.stderr
    (backup,) = on_postgres.whole()
    assert (backup / "database.dump").read_bytes()[:5] == b"PGDMP"
    path.unlink()
    refused = ran(str(REPOSITORY / "deploy" / "restore"), str(backup))
    assert (refused.returncode, "not empty" in refused.stderr) == (1, True), refused.stderr
    ran("psql", "--quiet", f"--dbname={database}", "--command=DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    restored = ran(str(REPOSITORY / "deploy" / "restore"), str(backup))
    assert (restored.returncode, "All is there." in restored.stdout) == (0, True), restored.stdout + restored.stderr
    assert path.read_bytes() == b"film"
    failing = environment | {"FAIL": "pg_dump"}
    failed = subprocess.run(
        [REPOSITORY / "deploy" / "backup", on_postgres.backups], env=failing, capture_output=True, check=False
    )
    assert failed.returncode == 1
    assert on_postgres.whole() == [backup]


COMPOSE = """#!/bin/sh
# What `docker compose` would do for deploy/backup and deploy/restore, without containers.
case "$1 $2" in
"exec -T")
    program=$4; shift 4
    [ "$program" = "${{FAIL:-}}" ] && exit 1
    [ "$program" = pg_isready ] && exit 0
    # -U carryon, -d carryon and the database's name are the container's.
    for word; do
        shift
        case $word in -U | -d | carryon) ;; *) set -- "$@" "$word" ;; esac
    done
    exec "$program" --dbname="{database}" "$@" ;;
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
