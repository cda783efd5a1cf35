"""What may help is tried again, ever more seldom, for a time; what will not help is not."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carryon import retry
from carryon.errors import BusyError, RefusedError, Stopped, UnreachableError
from carryon.retry import MAX_PAUSE_SECONDS, Patience, pause_seconds, retry_after_seconds
from carryon.stop import Stop


class Attempts:
    """Fails with each of these, then succeeds."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def patience(seconds: float = 5, stop: Stop | None = None, told: list[str] | None = None) -> Patience:
    return Patience(seconds, stop or Stop(), ([] if told is None else told).append)


@given(st.integers(1, 10_000), st.none() | st.floats(0, 1000))
def test_pauses(failures: int, asked: float | None) -> None:
    pause = pause_seconds(failures, asked)
    assert pause >= (asked or 0)
    assert pause <= max(MAX_PAUSE_SECONDS, asked or 0)


def test_pauses_double(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_SECONDS", 0.5)
    longest = [max(pause_seconds(failures) for _ in range(200)) for failures in range(1, 10)]
    assert longest == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30, 30], rel=0.1)
    assert len({pause_seconds(3) for _ in range(20)}) > 1, "clients that failed together come back together"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("7", 7), (" 7 ", 7), ("0", 0), ("soon", None), ("", None), ("-1", None), ("1e9", None)],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header) == seconds


@pytest.mark.parametrize(("ahead", "seconds"), [(60, 60), (-60, 0)])
def test_retry_after_as_a_date(ahead: float, seconds: float) -> None:
    header = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)
    assert retry_after_seconds(header) == pytest.approx(seconds, abs=2)


def test_tries_until_it_is_done() -> None:
    attempts, told = Attempts(UnreachableError("refused"), BusyError("busy")), []
    assert patience(told=told).call(attempts) == "done"
    assert (attempts.count, told) == (3, ["refused", "busy"])


def test_what_is_refused_is_not_tried_again() -> None:
    attempts = Attempts(RefusedError("no"))
    with pytest.raises(RefusedError):
        patience().call(attempts)
    assert attempts.count == 1


def test_patience_ends_with_the_last_error() -> None:
    attempts = Attempts(*[UnreachableError(str(number)) for number in range(10_000)])
    began = time.monotonic()
    with pytest.raises(UnreachableError) as caught:
        patience(0.1).call(attempts)
    assert caught.value.message == str(attempts.count - 1)
    assert attempts.count > 2
    assert time.monotonic() - began < 1


def test_a_wish_that_is_longer_than_the_patience() -> None:
    attempts = Attempts(BusyError("busy", 3600))
    with pytest.raises(BusyError):
        patience(0.1).call(attempts)
    assert attempts.count == 1


def test_the_servers_wish_is_honoured() -> None:
    began = time.monotonic()
    patience().call(Attempts(BusyError("busy", 0.3)))
    assert time.monotonic() - began >= 0.3


def test_a_pause_ends_when_somebody_wants_to_leave() -> None:
    stop = Stop()

    def failing() -> str:
        stop.say()
        raise BusyError("busy", 60)

    with pytest.raises(Stopped):
        Patience(100, stop, lambda _: None).call(failing)
