from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings

from config.settings.environment import Environment
from config.supervisor import programs
from config.supervisor.errors import StartError
from config.supervisor.run_folder import RunFolder
from transfers.doorbell import EVERY_WORKER, HOUSEKEEPING, QUEUES, TRANSFERS


@pytest.fixture
def environment() -> Environment:
    return settings.ENVIRONMENT.model_copy(update={"host": "127.0.0.1", "port": 0, "worker_threads": 3})


def test_children_inherit_what_was_resolved(environment: Environment, tmp_path: Path) -> None:
    inherited = {"PORT": "0", "DATA_DIR": "data", "FETCH_ALLOW": "10.0.0.0/8", "REMAP_SIGTERM": "SIGQUIT"}
    variables = programs.variables(inherited, environment, 4711, RunFolder(tmp_path))
    assert variables["PORT"] == "4711"
    assert variables["DATA_DIR"] == str(settings.ENVIRONMENT.data_dir)
    assert variables["FETCH_ALLOW"] == "10.0.0.0/8"
    assert "REMAP_SIGTERM" not in variables


def test_only_the_web_process_gets_the_listening_socket(environment: Environment, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    web = programs.web(7, ("127.0.0.1", 8008), {})
    assert web.descriptors == [7]
    assert web.command[web.command.index("--fd") + 1] == "7"
    for program in (programs.worker(1, environment, folder, {}), programs.beat(folder, {})):
        assert list(program.descriptors) == []


def test_workers_have_names_and_threads(environment: Environment, tmp_path: Path) -> None:
    program = programs.worker(2, environment, RunFolder(tmp_path), {"A": "b"})
    assert program.name == "worker-2"
    assert "worker-2@%h" in program.command
    assert program.command[program.command.index("--concurrency") + 1] == "3"
    ready_file = str(tmp_path / "worker-2.ready")
    assert program.environment == {"A": "b", "CARRYON_READY_FILE": ready_file, "CARRYON_WORKER_KIND": "worker"}


def test_neither_zips_nor_housekeeping_wait_for_transfers(environment: Environment, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    served = (
        programs.worker(1, environment, folder, {}),
        programs.worker_cpu(environment, folder, {}),
        programs.beat(folder, {}),
    )
    worker, cpu, beat = (program.command for program in served)
    queues = [set(command[command.index("--queues") + 1].split(",")) for command in (worker, cpu, beat)]
    assert queues == [{"transfers", "every-worker"}, {"lists", "checksums"}, {"housekeeping"}]
    assert set().union(*queues) - {EVERY_WORKER} == set(QUEUES), "somebody serves each"
    assert served[1].environment["CARRYON_WORKER_KIND"] == "worker-cpu"
    assert beat[beat.index("--schedule") + 1] == str(folder.schedule)
    assert "--beat" not in beat  # it would fork, and leave that process behind when it is killed


def test_what_asks_a_store_is_not_done_where_the_reaper_is() -> None:
    """Its thread is one: a store that says nothing would keep all work of dead workers waiting."""
    queues = {entry["task"]: entry["options"]["queue"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert {task for task, queue in queues.items() if queue == HOUSEKEEPING} == {
        *("transfers.reap", "sync.reap"),
        *("transfers.forget", "sync.forget", "tasks_api.forget", "config.forget"),
    }
    assert {queues["transfers.sweep"], queues["sync.sweep"]} == {TRANSFERS}


def test_a_machine_without_a_broker_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.broker.find_server", lambda: None)
    with pytest.raises(StartError, match="set REDIS_URL"):
        programs.embedded_broker(tmp_path / "broker", tmp_path / "socket", {})
