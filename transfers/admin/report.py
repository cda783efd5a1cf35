"""What the pages of downloads say: where one stands, and what happened to it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from transfers.admin import wording, work
from transfers.models import Download, DownloadAttempt, StoredFile
from transfers.models.download import ENDED, LIVE, Desired, DownloadState
from transfers.models.download_attempt import AttemptOutcome

STOPPING = "stopping"
"""A live download that is to stop, as long as its worker has not seen it."""
VARIANTS = {
    DownloadState.QUEUED: "default",
    DownloadState.RUNNING: "info",
    STOPPING: "warning",
    DownloadState.STOPPED: "warning",
    DownloadState.FAILED: "danger",
    DownloadState.COMPLETED: "success",
}
OUTCOME_VARIANTS = {
    AttemptOutcome.RUNNING: "info",
    AttemptOutcome.COMPLETED: "success",
    AttemptOutcome.FAILED: "danger",
    AttemptOutcome.STOPPED: "warning",
    AttemptOutcome.LOST: "danger",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a download stands, in the words that the pages show and the script keeps up to date."""

    pk: UUID
    revision: int
    state: str
    variant: str
    amount: str
    speed: str
    left: str
    bar: tuple[int, int] | None
    """Bytes here and bytes in all; None when no share of the whole can be told."""

    @classmethod
    def of(cls, download: Download) -> Standing:
        """Word it."""
        shown, done, size = state(download), download.bytes_done, download.size
        running = shown == DownloadState.RUNNING
        whole = shown == DownloadState.COMPLETED
        return cls(
            pk=download.pk,
            revision=download.revision,
            state=shown,
            variant=VARIANTS[shown],
            amount=_amount(done, size, whole=whole),
            speed=wording.rate(download.bytes_per_second) if running else wording.NOTHING,
            left=wording.span(download.remaining_seconds),
            bar=_bar(done, size, whole=whole),
        )

    @property
    def heading(self) -> str:
        """What the report on it is called."""
        return "What happened" if self.state in ENDED else "What happened so far"

    @property
    def running(self) -> bool:
        """Whether bytes are coming in."""
        return self.state == DownloadState.RUNNING


def state(download: Download) -> str:
    """The download's state, with what it is about to become."""
    return STOPPING if download.state in LIVE and download.desired == Desired.STOP else download.state


def facts(download: Download) -> list[tuple[str, str]]:
    """What happened, in one place."""
    stored, now = download.stored_file, timezone.now()
    told: list[tuple[str, str]] = [
        ("Size", wording.exact_size(download.size)),
        ("Bytes fetched", wording.exact_size(download.bytes_fetched)),
        ("Bytes fetched again", wording.exact_size(download.bytes_refetched)),
        ("Attempts", str(len(download.attempts.all()))),
        ("Duration", wording.span((download.duration or now - download.requested_at).total_seconds())),
        ("Validator used", _validator(download)),
        ("Requested (UTC)", wording.moment(download.requested_at)),
        ("First byte (UTC)", wording.moment(download.stream_began_at)),
        ("Ended (UTC)", wording.moment(download.ended_at)),
    ]
    told += work.attempts(download)
    if stored is not None:
        page = reverse("admin:transfers_storedfile_change", args=[stored.pk])
        told.append(("Stored file", format_html('<a href="{}" class="transfer-link">{}</a>', page, stored)))
        told += [
            (name, format_html('<code class="transfer-code">{}</code>', value))
            for name, value in _checksums(stored)
            if value
        ]
    return told


def _validator(download: Download) -> str:
    if download.validator is None and download.stream_began_at is not None:
        return "none: the source gave no strong one"
    return str(download.validator or wording.NOTHING)


def _checksums(stored: StoredFile) -> list[tuple[str, str]]:
    return [("SHA-256", stored.sha256), ("MD5", stored.md5), ("CRC-32", stored.crc32)]


def attempt(tried: DownloadAttempt) -> dict[str, str]:
    """One try, in words."""
    lasted = (tried.ended_at or timezone.now()) - tried.began_at
    return {
        "began": wording.moment(tried.began_at),
        "lasted": wording.span(lasted.total_seconds()),
        "from": wording.size(tried.start_offset),
        "fetched": wording.size(tried.bytes_fetched),
        "outcome": tried.get_outcome_display(),
        "variant": OUTCOME_VARIANTS.get(AttemptOutcome(tried.outcome), "default"),
        "error": tried.error,
        "error_code": tried.error_code,
        "worker": tried.worker.rpartition(":")[0],  # host and process; the rest tells its runs apart
    }


def _amount(done: int, size: int | None, *, whole: bool) -> str:
    if whole or size is None:
        return wording.size(done)
    share = f" · {done * 100 // size} %" if size else ""
    return f"{wording.size(done)} of {wording.size(size)}{share}"


def _bar(done: int, size: int | None, *, whole: bool) -> tuple[int, int] | None:
    if whole:
        return (1, 1)
    return (done, size) if size else None
