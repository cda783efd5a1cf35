"""When another attempt is made, and how long after the last."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfers import errors
from transfers.engine.retry import MAX_PAUSE_SECONDS, MAX_RETRY_AFTER_SECONDS, pause_seconds
from transfers.errors import SourceBusyError, SourceInterruptedError, SourceUnreachableError, TransferError

HOPELESS = [
    errors.SourceRefusedError,
    errors.SourceGoneError,
    errors.AddressForbiddenError,
    errors.SinkError,
    errors.OutOfSpaceError,
    errors.FolderUnusableError,
    errors.OverQuotaError,
]
HOPEFUL = [kind for kind in errors.TRANSFER_CODES.values() if kind not in HOPELESS]


def pause(
    error: TransferError, *, fruitless: int = 1, ever_received: bool = True, first_seconds: float = 1.0, most: int = 8
) -> float | None:
    return pause_seconds(
        error, fruitless=fruitless, ever_received=ever_received, first_seconds=first_seconds, max_attempts=most
    )


@pytest.mark.parametrize("ever_received", [True, False])
@pytest.mark.parametrize("kind", HOPELESS, ids=lambda kind: kind.code)
def test_a_failure_that_will_not_change_ends_it_at_once(kind: type[TransferError], ever_received: bool) -> None:  # noqa: FBT001
    assert pause(kind("no"), ever_received=ever_received) is None


@pytest.mark.parametrize("kind", HOPEFUL, ids=lambda kind: kind.code)
def test_any_other_failure_is_worth_another_attempt(kind: type[TransferError]) -> None:
    assert pause(kind("not now")) is not None


@pytest.mark.parametrize(
    ("kind", "ever_received", "again"),
    [
        (SourceUnreachableError, False, False),
        (SourceUnreachableError, True, True),
        (SourceInterruptedError, False, True),
        (SourceBusyError, False, True),
    ],
)
def test_nothing_at_the_address_counts_only_when_something_was_there_before(
    kind: type[TransferError], *, ever_received: bool, again: bool
) -> None:
    assert (pause(kind("gone"), ever_received=ever_received) is not None) is again


@pytest.mark.parametrize(("fruitless", "again"), [(0, True), (1, True), (2, True), (3, False), (4, False)])
def test_the_number_of_attempts_without_a_new_byte_is_limited(fruitless: int, *, again: bool) -> None:
    assert (pause(SourceInterruptedError("cut"), fruitless=fruitless, most=3) is not None) is again


def test_one_attempt_is_one_attempt() -> None:
    assert pause(SourceInterruptedError("cut"), fruitless=1, most=1) is None


@pytest.mark.parametrize(
    ("fruitless", "longest"),
    [(0, 0.5), (1, 0.5), (2, 1), (3, 2), (7, 32), (8, 60), (50, 60), (1100, 60), (10**6, 60)],
)
def test_the_pause_doubles_up_to_a_minute_and_is_never_the_same_for_all(fruitless: int, longest: float) -> None:
    error = SourceInterruptedError("cut")
    pauses = [pause(error, fruitless=fruitless, first_seconds=0.5, most=10**7) or 0 for _ in range(200)]
    assert longest / 2 <= min(pauses) < max(pauses) <= longest
    assert max(pauses) - min(pauses) > longest / 4


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        (None, 0.5, 1),
        (0.0, 0.5, 1),
        (30.0, 30, 30),
        (90.0, 90, 90),  # longer than our own longest pause
        (MAX_RETRY_AFTER_SECONDS + 1, MAX_RETRY_AFTER_SECONDS, MAX_RETRY_AFTER_SECONDS),
        (float("inf"), MAX_RETRY_AFTER_SECONDS, MAX_RETRY_AFTER_SECONDS),
        (-5.0, 0.5, 1),
    ],
)
def test_the_sources_own_wish_is_honoured(asked: float | None, least: float, most: float) -> None:
    assert least <= (pause(SourceBusyError("later", asked)) or 0) <= most


def test_a_wish_does_not_shorten_our_own_pause() -> None:
    assert (pause(SourceBusyError("later", 1.0), fruitless=7) or 0) >= 30


@given(
    fruitless=st.integers(0, 10**9),
    first=st.floats(0.001, 3600),
    most=st.integers(1, 10**9),
    asked=st.none() | st.floats(min_value=0),
)
def test_a_pause_is_always_one_that_can_be_waited_for(
    fruitless: int, first: float, most: int, asked: float | None
) -> None:
    seconds = pause(SourceBusyError("later", asked), fruitless=fruitless, first_seconds=first, most=most)
    assert (seconds is None) == (fruitless >= most)
    if seconds is not None:
        assert 0 < seconds <= max(MAX_PAUSE_SECONDS, MAX_RETRY_AFTER_SECONDS)
