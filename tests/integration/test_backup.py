"""`manage.py backup` and `restore`: what they refuse, what they find wrong, and what a kill leaves."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import environment_of, manage
from tests.service import REPOSITORY
from tests.unit.transfers.engine.local.building import begun, half_built, sizes

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


KILLED = """
import os, signal, sys, django
django.setup()
from django.core.management import call_command
from config.backup import databases, restoring
{where} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
call_command("restore", sys.argv[1])
"""


@pytest.mark.parametrize("where", ["databases.restore", "restoring.compare"])
def test_a_restore_killed_before_or_after_the_database_goes_on(place: Place, where: str) -> None:
    path, damaged = place.add(film=b"film", damaged=b"damaged")
    other, backup = place.back_up(), place.back_up()
    (backup / "files/data/files/1/damaged").write_bytes(b"DAMAGED")
    place.wreck()
    place.data_dir.mkdir()
    (place.data_dir / "carryon.sqlite3").touch()  # as a command of ours leaves it that came too early
    command = [sys.executable, "-c", KILLED.format(where=where), str(backup)]
    killed = subprocess.run(command, env=environment_of(place.data_dir, {}), cwd=REPOSITORY, check=False)
    assert killed.returncode == -signal.SIGKILL
    if where == "restoring.compare":
        refused = place.run("restore", str(other))
        assert (refused.returncode, "not empty" in refused.stderr) == (1, True), refused.stderr
    refused = place.run("prepare")
    assert (refused.returncode, "not restored to its end" in refused.stderr) == (1, True), refused.stderr
    again = place.run("restore", str(backup))
    assert again.returncode == 3, again.stdout + again.stderr
    assert f"damaged in the backup  {damaged}" in again.stdout  # as if nothing had been in between
    assert path.read_bytes() == b"film"
    assert not list(place.data_dir.rglob("*restoring"))
    assert place.run("prepare").returncode == 0


def wait_for_films(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not list(folder.rglob("film1*")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
