"""Gathering all numbers for one scrape, within bounded time."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from config import presence
from config.health.checks import KEEP_SECONDS
from config.health.probe import Probe, Round
from config.health.report import Health
from config.metrics import families, queues, rows
from transfers import tally

LIMIT_SECONDS = 5.0
"""What has not answered by then is left out of the scrape; Prometheus by itself waits 10 s."""


class Gathering:
    """All numbers, as of less than about a second ago."""

    def __init__(self, health: Health) -> None:
        self._health = health
        probes: list[Probe[Any]] = [
            Probe("totals", tally.totals),
            Probe("processes", presence.processes),
            Probe("queues", queues.queues),
            Probe("rows", rows.numbers),
        ]
        self._round = Round(probes, limit_seconds=LIMIT_SECONDS, keep_seconds=KEEP_SECONDS)

    def text(self) -> bytes:
        """The numbers in Prometheus's text format; takes as long as the slowest that answers."""
        found = {name: answer.value for name, answer in self._round.answers().items()}
        version = settings.VERSION
        return families.text(families.Numbers(version=version, report=self._health.report(), **found))
