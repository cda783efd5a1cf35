"""The order of things: lock, listen, broker and database, then all the rest at once; and back again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from config import redis
from config.supervisor import listener, messages, programs
from config.supervisor.backoff import Backoff
from config.supervisor.child import Child, Program, describe_exit
from config.supervisor.console import Console, JsonLines, LinePrefixer
from config.supervisor.errors import StartError
from config.supervisor.run_folder import RunFolder

if TYPE_CHECKING:  # importing the settings reads the environment, which may be wrong
    from config.settings.environment import Environment

START_SECONDS = 120
"""How long web and workers may take to be ready before the start has failed."""
DRAIN_SECONDS = 20
"""How long web, beat and workers have to end after SIGTERM, before they are killed."""
BROKER_STOP_SECONDS = 3
ECHO_SECONDS = 1
"""Within this a second SIGINT is the first one again, sent by the terminal and by a program that passes it on."""
FAILURES_BEFORE_REPAIR = 2
FAILURES_BEFORE_GIVING_UP = 4
_KILLED_SECONDS = 1
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_T = TypeVar("_T")


class Supervisor:
    """Runs the service of one environment, once."""

    def __init__(self, environment: Environment, console: Console, *, began: float, only_try: bool = False) -> None:
        """`began` is when the start was asked for, on the monotonic clock; `only_try` stops as soon as it is ready."""
        self._environment = environment
        self._console = console
        self._began = began
        self._only_try = only_try
        self._folder = RunFolder(environment.run_dir)
        self._broker_socket = redis.embedded_socket(environment.run_dir)
        self._unshown_login = environment.data_dir / "unshown_login"
        self._listener: socket.socket | None = None
        self._children: list[Child] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._is_ready = False
        self._stop = asyncio.Event()
        self._stop_asked = 0.0
        self._hurry = asyncio.Event()
        self._prefix_width = max(len(programs.WORKER_CPU), len(f"worker-{environment.workers}"))
        self._lines = JsonLines if environment.log_format == "json" else LinePrefixer
        self._prefixer = self._lines("carryon", self._prefix_width)

    async def run(self) -> None:
        """Run until a signal says stop; StartError when the service cannot start."""
        self._listen_to_signals()
        self._folder.lock()
        try:
            await self._serve_until_stopped()
        finally:
            await self._stop_all()
            self._folder.release()

    # Starting ----------------------------------------------------------------------------------------------------

    async def _serve_until_stopped(self) -> None:
        serving = asyncio.create_task(self._serve())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving

    async def _serve(self) -> None:
        if ended := self._folder.end_leftovers():
            self._say(f"ended what an earlier run had left: {', '.join(ended)}")
        self._clear()
        self._listener = listener.listen(self._environment.host, self._environment.port)
        address = listener.local_address(self._listener)
        login = await self._start(self._listener.fileno(), address)
        self._is_ready = True
        await self._unless_given_up(self._tell_ready(listener.url(address), login))
        if not self._only_try:
            await self._unless_given_up(asyncio.Event().wait())

    async def _start(self, descriptor: int, address: tuple[str, int]) -> messages.Login | None:
        """Start everything and wait until it works; the first user's login, if this is the first start.

        Web and workers load their code while the database is prepared, and wait at the gate. Beat has nobody to
        ring for before that, so it comes last and takes no processor time from them.
        """
        inherited = programs.variables(os.environ, self._environment, address[1], self._folder)
        preparing = asyncio.create_task(self._prepare(inherited))
        try:
            if not self._environment.redis_url:
                folder = self._environment.data_dir / "broker"
                self._launch(programs.embedded_broker(folder, self._broker_socket, inherited))
            brokers = list(self._children)
            self._launch(programs.web(descriptor, address, inherited))
            for number in range(1, self._environment.workers + 1):
                self._launch(programs.worker(number, self._environment, self._folder, inherited))
            self._launch(programs.worker_cpu(self._environment, self._folder, inherited))
            login = await self._unless_given_up(preparing)
        finally:
            preparing.cancel()
        await self._unless_given_up(_all_ready(brokers))
        self._folder.gate.touch()
        await self._unless_given_up(_all_ready(self._children), START_SECONDS)
        self._launch(programs.beat(self._folder, inherited))
        await self._unless_given_up(_all_ready(self._children), START_SECONDS)
        return login

    async def _prepare(self, inherited: Mapping[str, str]) -> messages.Login | None:
        """Make the database ready; the login of the first user, if this is the first start."""
        reading, writing = os.pipe()
        child = self._child(programs.prepare(self._unshown_login, writing, inherited))
        with os.fdopen(reading, "rb") as answer:
            try:
                child.start()
            finally:
                os.close(writing)
            if code := await child.ended():
                raise StartError(f"The database could not be made ready: prepare {describe_exit(code)}; see above.")
            told = answer.read()
        self._children.remove(child)
        return messages.Login(**json.loads(told)) if told else None

    async def _tell_ready(self, url: str, login: messages.Login | None) -> None:
        """Show the ready message; the first login counts as shown only once the terminal has taken it."""
        seconds = time.monotonic() - self._began
        self._console.write(messages.ready(url, seconds, login).encode())
        written = self._console.mark()
        while not written.is_set():  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0.05)
        if not self._console.broken:
            self._unshown_login.unlink(missing_ok=True)

    async def _unless_given_up(
        self, goal: Coroutine[Any, Any, _T] | asyncio.Task[_T], seconds: float | None = None
    ) -> _T:
        """Wait for the goal; StartError when a process is given up before, or the time is over."""
        task = goal if isinstance(goal, asyncio.Task) else asyncio.create_task(goal)
        try:
            done, _ = await asyncio.wait({task, *self._keepers}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for keeper in self._keepers:
                if keeper in done:
                    keeper.result()
            if task not in done:
                late = ", ".join(child.name for child in self._children if not child.ready.is_set())
                raise StartError(f"Not ready after {seconds} s: {late}; see above.")
            return task.result()
        finally:
            task.cancel()

    # Watching ----------------------------------------------------------------------------------------------------

    def _child(self, program: Program) -> Child:
        child = Child(program, self._folder, self._console, self._prefix_width, self._lines)
        self._children.append(child)
        return child

    def _launch(self, program: Program) -> None:
        self._keepers.append(asyncio.create_task(self._keep(self._child(program))))

    async def _keep(self, child: Child) -> None:
        """Start the process again whenever it ends; StartError when it never works while the service starts."""
        backoff, failures = Backoff(), 0
        while True:
            began = time.monotonic()
            end, failed = await self._live(child)
            failures = failures + 1 if failed else 0
            if failures == FAILURES_BEFORE_GIVING_UP and not self._is_ready:
                raise StartError(f"{child.name} does not start: it {end}; see above.")
            if failures == FAILURES_BEFORE_REPAIR:
                self._repair(child.program)
            pause = backoff.pause(time.monotonic() - began)
            self._say(f"{child.name} {end}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)

    async def _live(self, child: Child) -> tuple[str, bool]:
        """Let the process live once: how it ended, and whether by itself before it worked."""
        try:
            child.start()
        except OSError as error:
            return f"could not be started ({error.strerror})", True
        becoming_ready = asyncio.create_task(child.wait_until_ready())
        try:
            code = await child.ended()
        finally:
            becoming_ready.cancel()
        was_ready = becoming_ready.done() and not becoming_ready.cancelled()
        return describe_exit(code), not was_ready and code not in (-signal.SIGKILL, -signal.SIGTERM)

    def _repair(self, program: Program) -> None:
        if program.repair is None:
            return
        try:
            self._say(f"{program.name} cannot start: {program.repair()}")
        except OSError as error:
            self._say(f"{program.name} cannot start, and nothing could be done about it: {error}")

    # Stopping ----------------------------------------------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for number in _STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and background jobs of a shell have it
                loop.add_signal_handler(number, self._on_stop_signal, number)

    def _reap(self) -> None:
        for child in self._children:
            child.reap()

    def _on_stop_signal(self, number: signal.Signals) -> None:
        now = time.monotonic()
        if not self._stop.is_set():
            self._stop.set()
            self._stop_asked = now
            again = ", Ctrl-C again kills them" if number == signal.SIGINT else ""
            self._say(f"{number.name}: stopping; transfers have {DRAIN_SECONDS} s to put down their work{again}")
        elif number == signal.SIGINT and now - self._stop_asked > ECHO_SECONDS:
            self._hurry.set()
            self._say("killing what is left")

    async def _stop_all(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()
        brokers = [child for child in self._children if child.name == "broker"]
        await self._end([child for child in self._children if child not in brokers], DRAIN_SECONDS)
        await self._end(brokers, BROKER_STOP_SECONDS)
        self._clear()
        self._say("stopped")

    async def _end(self, children: Iterable[Child], seconds: float) -> None:
        """Ask the processes to end, and kill those that have not after the time."""
        running = [child for child in children if child.running]
        for child in running:
            child.terminate()
        gone = asyncio.create_task(_all_ended(running))
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({gone, hurry}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        for child in running:
            child.kill()
        await asyncio.wait({gone}, timeout=_KILLED_SECONDS)

    def _clear(self) -> None:
        self._folder.clear()
        self._broker_socket.unlink(missing_ok=True)

    def _say(self, text: str) -> None:
        self._console.write(self._prefixer.feed(f"{text}\n".encode()))


async def _all_ended(children: Iterable[Child]) -> None:
    for child in children:
        await child.ended()


async def _all_ready(children: Iterable[Child]) -> None:
    """Wait until every one of them works, all at the same time."""
    while late := [child for child in children if not child.ready.is_set()]:
        await asyncio.gather(*(child.ready.wait() for child in late))
