"""Which work needs somebody to look at it, and why: rules about rows, for the lists' filters and for the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import F, Q
from django.db.models.functions import Now

from transfers.models.upload import UploadState

LOST_SECONDS = 10
"""How long a lease may be over before it counts: others take the work up within seconds."""
UNTAKEN_SECONDS = 60
"""How long work that is due may wait for a worker."""
STILL_SECONDS = 60
"""How long work may go on before it counts that nothing moves."""
IN_VAIN = 3
"""Attempts without anything gained."""
IDLE_SECONDS = 3600
"""How long an open upload may be left alone."""
COMPLETING_SECONDS = 60
"""How long a file may take to be put together; workers take it up after 10 s."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason to look at work."""

    name: str
    """In addresses."""
    label: str
    where: Q


def _ago(seconds: int) -> Any:
    return Now() - timedelta(seconds=seconds)


LOST = Rule("lost", "Its worker is gone", Q(state="running", lease_expires_at__lt=_ago(LOST_SECONDS)))
UNTAKEN = Rule(
    "untaken",
    "No worker takes it",
    Q(state="queued", next_attempt_at__lt=_ago(UNTAKEN_SECONDS))
    & (Q(lease_expires_at=None) | Q(lease_expires_at__lt=Now())),
)
RETRY = Rule("retry", "Waits for another try", Q(state="queued", next_attempt_at__gt=Now(), fruitless_attempts__gt=0))
VAIN = Rule("vain", "Tried in vain", Q(state="running", fruitless_attempts__gte=IN_VAIN))
_AT_WORK = Q(state="running", bytes_per_second=0, lease_expires_at__gt=Now())
STILL = Rule("still", "Nothing comes", _AT_WORK & Q(stream_began_at__lt=_ago(STILL_SECONDS), fruitless_attempts=0))
STILL_JOB = Rule(
    "still",
    "Nothing moves",
    _AT_WORK & Q(started_at__lt=_ago(STILL_SECONDS), bytes_done__lt=F("bytes_total"), fruitless_attempts=0),
)
IDLE = Rule("idle", "Nothing is sent", Q(state=UploadState.OPEN, touched_at__lt=_ago(IDLE_SECONDS)))
COMPLETING = Rule(
    "completing",
    "Is not put together",
    Q(state=UploadState.COMPLETING, touched_at__lt=_ago(COMPLETING_SECONDS)),
)

DOWNLOADS = (LOST, UNTAKEN, RETRY, VAIN, STILL)
LIST_JOBS = (LOST, UNTAKEN, RETRY, VAIN)
SYNCS = (*LIST_JOBS, STILL_JOB)
UPLOADS = (IDLE, COMPLETING)


def any_of(rules: tuple[Rule, ...]) -> Q:
    """The rows that one of the rules is about."""
    found = Q()
    for rule in rules:
        found |= rule.where
    return found
