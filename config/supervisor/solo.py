"""One of the service's processes without the supervisor, for containers: `python -m config.supervisor.solo web`.

It becomes the very program that the supervisor starts, with the same variables and, for the web process, on a socket
made in the same way. To start it anew when it ends, and to end it, is left to whoever started this.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from django.conf import settings

from config.settings.environment import Environment
from config.supervisor import gate, listener, programs
from config.supervisor.child import Program
from config.supervisor.errors import StartError
from config.supervisor.run_folder import RunFolder

NAMES = ("prepare", "web", "worker", "worker-cpu", "beat")
WORKER_NUMBER = 1
"""A container has one worker; its host name tells it from the others."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Become the program; SystemExit when the configuration is wrong or the address cannot be listened on."""
    parser = argparse.ArgumentParser("python -m config.supervisor.solo", description="Run one process of Carryon.")
    parser.add_argument("name", choices=NAMES)
    name = parser.parse_args(arguments).name
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    environment: Environment = settings.ENVIRONMENT
    with ExitStack() as opened:
        try:
            program = _program(name, environment, opened)
        except StartError as error:
            sys.exit(f"Carryon does not run: {error}")
        for descriptor in program.descriptors:
            os.set_inheritable(descriptor, True)
        os.execve(program.command[0], list(program.command), program.environment)  # noqa: S606 - our own command lines


def _program(name: str, environment: Environment, opened: ExitStack) -> Program:
    folder = RunFolder(environment.run_dir)
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    inherited = _variables(environment, folder)
    match name:
        case "web":
            listening = opened.enter_context(listener.listen(environment.host, environment.port))
            return programs.web(listening.fileno(), _address(listening), inherited)
        case "worker":
            folder.forget(f"worker-{WORKER_NUMBER}")  # what an earlier one was ready for
            return programs.worker(WORKER_NUMBER, environment, folder, inherited)
        case "worker-cpu":
            folder.forget(programs.WORKER_CPU)
            return programs.worker_cpu(environment, folder, inherited)
        case "beat":
            folder.forget(name)
            return programs.beat(folder, inherited)
        case _:
            return Program(name, [sys.executable, "-m", "django", "prepare"], inherited)


def _variables(environment: Environment, folder: RunFolder) -> Mapping[str, str]:
    """What the supervisor gives its processes, but for the gate: what starts them has prepared the database before."""
    inherited = programs.variables(os.environ, environment, environment.port, folder)
    return {name: value for name, value in inherited.items() if name != gate.VARIABLE}


def _address(listening: socket.socket) -> tuple[str, int]:
    host, port = listening.getsockname()[:2]
    return host, port


if __name__ == "__main__":
    main()
