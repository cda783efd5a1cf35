"""What is told of the service's health."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from config.health import checks
from config.health.probe import Answer, Probe, Round


@dataclass(frozen=True, slots=True)
class Report:
    """All checks' answers at one moment."""

    answers: dict[str, Answer[Any]]

    @property
    def is_ready(self) -> bool:
        """Whether everything is there."""
        return not self.down

    @property
    def down(self) -> list[str]:
        """The names of what is not there, or cannot be told to be."""
        return [name for name, answer in self.answers.items() if answer.state != "ok"]

    def as_json(self) -> dict[str, Any]:
        """The report for machines."""
        return {
            "status": "ok" if self.is_ready else "down",
            "down": self.down,
            "checks": [_told(answer) for answer in self.answers.values()],
        }


def _told(answer: Answer[Any]) -> dict[str, Any]:
    told = {"name": answer.name, "state": answer.state, "seconds": round(answer.seconds, 4)}
    return told | ({"detail": answer.detail} if answer.detail else {})


class Health:
    """The service's health as this process sees it."""

    def __init__(self, *others: Probe[Any], is_logged: bool = False) -> None:
        """Ask what every process needs, and `others`."""
        probes = [*checks.probes(), *others]
        self._round = Round(
            probes, limit_seconds=checks.LIMIT_SECONDS, keep_seconds=checks.KEEP_SECONDS, is_logged=is_logged
        )

    def report(self) -> Report:
        """How it is now, or was less than about a second ago; takes a few seconds at most."""
        return Report(self._round.answers())
