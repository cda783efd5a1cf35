from __future__ import annotations

from config.supervisor.backoff import FIRST_SECONDS, LIVED_WELL_SECONDS, LONGEST_SECONDS, Backoff


def test_early_deaths_double_the_pause_up_to_the_longest() -> None:
    backoff = Backoff()
    assert [backoff.pause(0) for _ in range(7)] == [0.5, 1, 2, 4, LONGEST_SECONDS, LONGEST_SECONDS, LONGEST_SECONDS]


def test_a_life_that_lasted_begins_anew() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.pause(0)
    assert backoff.pause(LIVED_WELL_SECONDS) == FIRST_SECONDS
    assert backoff.pause(0) == FIRST_SECONDS * 2
