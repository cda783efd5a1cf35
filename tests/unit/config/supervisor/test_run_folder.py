from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from config.supervisor.errors import StartError
from config.supervisor.run_folder import RunFolder


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    first.lock()
    with pytest.raises(StartError, match=rf"{tmp_path} as process {os.getpid()}"):
        second.lock()
    first.release()
    second.lock()
    second.release()
    assert list((tmp_path / "run").iterdir()) == []


def test_a_lock_that_was_removed_under_us_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner leaves between our opening the file and our locking it, and somebody else makes a new one."""
    leaving, coming = RunFolder(tmp_path), RunFolder(tmp_path)
    leaving.lock()
    really_open = os.open
    opened = []

    def open_and_let_leave(path: Path, flags: int, mode: int) -> int:
        descriptor = really_open(path, flags, mode)
        opened.append(descriptor)
        leaving.release()
        return descriptor

    monkeypatch.setattr(os, "open", open_and_let_leave)
    coming.lock()
    monkeypatch.undo()
    assert len(opened) == 2
    with pytest.raises(StartError):
        RunFolder(tmp_path).lock()
    coming.release()


def test_leftovers_of_an_earlier_run_are_ended(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True) as ours:
        folder.note("worker-1", ours.pid)
        assert folder.end_leftovers() == ["worker-1"]
        assert ours.wait(5) == -9
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("note", ["{pid} another identity", "{pid}", "", "no number at all", "4194304999 x"])
def test_a_process_that_is_not_provably_ours_is_left_alone(tmp_path: Path, note: str) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as foreign:
        (tmp_path / "worker-1.pid").write_text(note.format(pid=foreign.pid))
        assert RunFolder(tmp_path).end_leftovers() == []
        assert foreign.poll() is None
    assert list(tmp_path.iterdir()) == []


def test_clear_leaves_what_is_not_the_services(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for name in ("web.pid", "worker-1.ready", "beat-schedule.db", "prepared", "notes.txt"):
        (tmp_path / name).touch()
    folder.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
