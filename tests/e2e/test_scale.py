"""`deploy/scale-test`, shortened: a second worker speeds a file up, and workers that go take nothing along."""

from __future__ import annotations

from deploy.fleet import processes
from deploy.scale_test import MIB, VARIABLES, Load, run
from tests import battery


def test_workers_come_and_go_and_nothing_is_lost() -> None:
    load = Load(size=battery.rounds(128, 512) * MIB, rate=2 * MIB, changes=battery.rounds(4, 12), seed=5)
    with processes(VARIABLES) as fleet:
        fetches = run(fleet, load)
    assert [fetch.what for fetch in fetches] == ["1", "2", "coming and going"]
    assert all(fetch.whole for fetch in fetches), fetches
    one, two, shaken = fetches
    assert {"SIGKILL", "SIGTERM", "more"} <= set(shaken.changes)
    assert one.attempts == two.attempts == 1
    assert two.seconds < 0.9 * one.seconds, fetches
