"""What the pages of uploads say: where one stands, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from transfers.admin import wording
from transfers.admin.proof import Proof
from transfers.admin.upload_parts import Parts
from transfers.models import StoredFile, Upload
from transfers.models.upload import UNFINISHED, UploadState

VARIANTS = {
    UploadState.OPEN: "info",
    UploadState.COMPLETING: "warning",
    UploadState.COMPLETED: "success",
    UploadState.REMOVING: "default",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an upload stands, in the words that the list and the page show."""

    pk: int
    state: str
    variant: str
    amount: str
    bar: tuple[int, int] | None
    """Bytes here and bytes in all; None when no share of the whole can be told."""

    @classmethod
    def of(cls, upload: Upload, stored_bytes: int | None = None) -> Standing:
        """Word it; `stored_bytes` is what the storage has, where it was asked."""
        state = UploadState(upload.state)
        here = upload.received if stored_bytes is None else stored_bytes
        if upload.size is not None:  # a part that was sent again counts twice until the storage is asked
            here = upload.size if state == UploadState.COMPLETED else min(here, upload.size)
        return cls(
            pk=upload.pk,
            state=state.value,
            variant=VARIANTS[state],
            amount=_amount(here, upload.size, whole=state == UploadState.COMPLETED),
            bar=(here, upload.size) if upload.size else None,
        )

    @property
    def open(self) -> bool:
        """Whether parts may still come."""
        return self.state == UploadState.OPEN


def facts(upload: Upload, parts: Parts) -> list[tuple[str, str]]:
    """What is known of it, in one place."""
    told: list[tuple[str, str]] = [
        ("Size", "not told" if upload.size is None else wording.exact_size(upload.size)),
        ("Bytes stored", wording.exact_size(_here(upload, parts))),
        ("Suggested part size", wording.exact_size(upload.part_size)),
        ("Mode", str(wording.NOTHING if upload.mode is None else upload.mode)),
        ("Begun (UTC)", wording.moment(upload.created_at)),
        ("Last touched (UTC)", wording.moment(upload.touched_at)),
    ]
    if upload.state in UNFINISHED:
        told.append(("Expires (UTC)", _expiry(upload)))
    told.append(("MD5 of the whole file", _code(upload.md5) if upload.md5 else "not told"))
    if upload.state == UploadState.COMPLETED:
        told.append(("Stored file", _link(upload.stored_file)))
    return told


def time_left(upload: Upload) -> str:
    """How long it is until it is removed unless something comes."""
    if upload.expires_at is None:
        return wording.NOTHING
    seconds = (upload.expires_at - timezone.now()).total_seconds()
    return f"in {wording.span(seconds)}" if seconds > 0 else "due"


def _expiry(upload: Upload) -> str:
    if upload.expires_at is None:
        return wording.NOTHING
    return format_html("{} ({})", wording.moment(upload.expires_at), time_left(upload))


def _here(upload: Upload, parts: Parts) -> int:
    return upload.received if parts.stored_bytes is None else parts.stored_bytes


def _amount(here: int, size: int | None, *, whole: bool) -> str:
    if whole or size is None:
        return wording.size(here)
    share = f" · {here * 100 // size} %" if size else ""
    return f"{wording.size(here)} of {wording.size(size)}{share}"


def _code(text: str) -> SafeString:
    return format_html('<code class="transfer-code">{}</code>', text)


def _link(stored: StoredFile | None) -> SafeString | str:
    if stored is None or stored.deleted_at is not None:
        return "deleted since"
    page = reverse("admin:transfers_storedfile_change", args=[stored.pk])
    return format_html('<a href="{}" class="transfer-link">{}</a> ({})', page, stored, Proof.of(stored))
