"""Which files a backup is to have: all but the service's own, each once, and what is unfinished apart."""

from __future__ import annotations

from pathlib import Path

from config.backup.places import Found, finished, is_unfinished, left_out, part_pairs, places
from config.settings.environment import read_environment
from config.settings.values import Cloud


def made(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def paths(found: list[Found]) -> list[str]:
    return [each.path for each in found]


def test_no_place_lies_in_another(tmp_path: Path) -> None:
    clouds = {"a": Cloud(folder=tmp_path / "cloud"), "b": Cloud(folder=tmp_path / "data" / "b"), "c": Cloud(bucket="c")}
    environment = read_environment(
        data_dir=tmp_path / "data", files_root=tmp_path / "data" / "files", sync_save_path=tmp_path / "cases"
    )
    environment.sync_regions = clouds
    assert places(environment) == {
        "data": tmp_path / "data",
        "cases": tmp_path / "cases",
        "cloud-a": tmp_path / "cloud",
    }


def test_what_is_the_services_own_is_left_out(tmp_path: Path) -> None:
    environment = read_environment(data_dir=tmp_path, files_root=tmp_path / "files")
    made(tmp_path, "run/lock", "broker/aof", "secret_key", "carryon.sqlite3", "carryon.sqlite3-wal", "restoring")
    made(tmp_path, "files/1/a/film.mov", "files/.uploads/7/journal", "cases/c/secret_key")
    (tmp_path / "cases" / "empty").mkdir()
    without = left_out(environment, tmp_path / "carryon.sqlite3")
    found = list(finished({"data": tmp_path}, without, tmp_path / "files"))
    assert paths(found) == ["cases/c/secret_key", "cases/empty", "files/1/a/film.mov"]


def test_part_files_are_told_by_their_journals(tmp_path: Path) -> None:
    made(tmp_path, "a.mov.part", "a.mov.part.journal", "b.mov.part.journal", "c.mov.part.journal.new", "own.part", "d")
    assert paths(list(part_pairs({"data": tmp_path}, frozenset()))) == ["a.mov.part.journal"]
    assert not is_unfinished(tmp_path / "own.part")
    found = list(finished({"data": tmp_path}, frozenset(), tmp_path / "files"))
    assert paths(found) == ["d", "own.part"]
