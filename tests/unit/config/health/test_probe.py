"""Asking what may never answer: bounded, once at a time, and told without a word of what a library said."""

from __future__ import annotations

import threading
import time

import pytest

from config.health.probe import DownError, Probe, Round, UnknownError

LIMIT_SECONDS = 0.2


def asked(probe: Probe[object], seconds: float = 5) -> tuple[str, str]:
    probe.begin()
    answer = probe.answer(time.monotonic() + seconds)
    return answer.state, answer.detail


def fails(error: Exception) -> Probe[object]:
    def ask() -> object:
        raise error

    return Probe("it", ask)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DownError("there is none"), ("down", "there is none")),
        (UnknownError("the broker does not answer"), ("unknown", "the broker does not answer")),
        (ConnectionError("redis://:hunter2@secret-host:6379"), ("down", "ConnectionError")),
    ],
    ids=["down", "unknown", "unexpected"],
)
def test_a_failure_is_told_in_words_of_ours(error: Exception, told: tuple[str, str]) -> None:
    assert asked(fails(error)) == told


def test_what_was_found_is_kept() -> None:
    probe = Probe("it", lambda: 7)
    probe.begin()
    answer = probe.answer(time.monotonic() + 5)

    assert (answer.state, answer.value) == ("ok", 7)


def test_what_hangs_is_down_at_the_limit_is_asked_once_and_comes_back() -> None:
    gate, entered = threading.Event(), []

    def ask() -> None:
        entered.append(1)
        gate.wait()

    whole = Round([Probe("slow", ask), Probe("quick", lambda: 1)], limit_seconds=LIMIT_SECONDS, keep_seconds=0)
    for _ in range(3):
        began = time.monotonic()
        answers = whole.answers()
        assert LIMIT_SECONDS <= time.monotonic() - began < LIMIT_SECONDS * 3
        assert answers["slow"].state == "down"
        assert answers["slow"].detail.startswith("no answer for")
        assert answers["quick"].state == "ok"
    assert len(entered) == 1

    gate.set()
    while whole.answers()["slow"].state != "ok":
        time.sleep(0.01)
    assert len(entered) <= 2  # the answer that was late is one too


def test_answers_are_good_for_a_while() -> None:
    asked_at: list[float] = []
    whole = Round([Probe("it", lambda: asked_at.append(time.monotonic()))], limit_seconds=5, keep_seconds=0.2)

    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        whole.answers()
    assert 2 <= len(asked_at) <= 3


def test_whoever_comes_meanwhile_gets_the_same_answer() -> None:
    asked_at: list[float] = []

    def ask() -> None:
        asked_at.append(time.monotonic())
        time.sleep(0.1)

    whole = Round([Probe("it", ask)], limit_seconds=5, keep_seconds=60)
    threads = [threading.Thread(target=whole.answers) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked_at) == 1
