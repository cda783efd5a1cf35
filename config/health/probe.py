"""Asking something that may never answer, without ever waiting for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from django.db import connections

log = structlog.get_logger(__name__)

T = TypeVar("T")


class DownError(Exception):
    """What was asked for is not there; the text says why, and may be shown to anybody."""


class UnknownError(Exception):
    """It cannot be told, for what would tell it is down; the text says what that is."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What a probe found."""

    name: str
    state: str
    """`ok`, `down` or `unknown`."""
    seconds: float
    value: T | None = None
    detail: str = ""
    """Why it is not `ok`, in words that hold nothing secret."""


class Probe(Generic[T]):
    """One question, asked in a thread of its own each time, and never twice at once.

    A thread that hangs (a dead disk cannot be interrupted) is left behind, and is the only one: until it comes back,
    the answer is that there is none.
    """

    def __init__(self, name: str, ask: Callable[[], T]) -> None:
        self.name = name
        self._ask = ask
        self._changing = threading.Condition()
        self._began = 0.0
        self._running = False
        self._answer: Answer[T] | None = None

    def begin(self) -> None:
        """Ask, unless the last question still waits for its answer."""
        with self._changing:
            if self._running:
                return
            self._running, self._answer, self._began = True, None, time.monotonic()
        threading.Thread(target=self._run, name=f"probe-{self.name}", daemon=True).start()

    def answer(self, deadline: float) -> Answer[T]:
        """What was found, if that is known by the deadline on the monotonic clock."""
        with self._changing:
            self._changing.wait_for(lambda: self._answer is not None, max(0.0, deadline - time.monotonic()))
            if self._answer is not None:
                return self._answer
            seconds = time.monotonic() - self._began
        return Answer(self.name, "down", seconds, detail=f"no answer for {seconds:.0f} s")

    def _run(self) -> None:
        try:
            found = self._found()
        finally:
            connections.close_all()
        with self._changing:
            self._answer, self._running = found, False
            self._changing.notify_all()

    def _found(self) -> Answer[T]:
        began = time.monotonic()
        state, detail, value = "ok", "", None
        try:
            value = self._ask()
        except UnknownError as error:
            state, detail = "unknown", str(error)
        except DownError as error:
            state, detail = "down", str(error)
        except Exception as error:  # noqa: BLE001 - its text may hold hosts, users and paths: only its kind is told
            state, detail = "down", type(error).__name__
        return Answer(self.name, state, time.monotonic() - began, value, detail)


class Round:
    """Several probes, asked together; their answers are good for a while."""

    def __init__(
        self, probes: Sequence[Probe[Any]], *, limit_seconds: float, keep_seconds: float, is_logged: bool = False
    ) -> None:
        """`is_logged` has what goes down, and comes back, written to the log."""
        self._probes = probes
        self._limit_seconds, self._keep_seconds = limit_seconds, keep_seconds
        self._is_logged = is_logged
        self._asking = threading.Lock()
        self._answers: dict[str, Answer[Any]] = {}
        self._asked = float("-inf")

    def answers(self) -> dict[str, Answer[Any]]:
        """All answers by name, within the limit; who comes meanwhile gets the same ones."""
        with self._asking:
            if time.monotonic() - self._asked > self._keep_seconds:
                deadline = time.monotonic() + self._limit_seconds
                for probe in self._probes:
                    probe.begin()
                answers = {probe.name: probe.answer(deadline) for probe in self._probes}
                if self._is_logged:
                    _log_changes(self._answers, answers)
                self._answers = answers
                self._asked = time.monotonic()
            return self._answers


def _log_changes(before: dict[str, Answer[Any]], after: dict[str, Answer[Any]]) -> None:
    """Write what went down, and what came back; a service that has just begun is not expected to be well."""
    for name, now in after.items():
        was = before[name].state if name in before else "ok"
        if now.state != was:
            log.warning("health changed", check=name, state=now.state, detail=now.detail)
