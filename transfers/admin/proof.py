"""What became of a stored file's checksums, and of the one that was promised beforehand."""

from __future__ import annotations

import enum
from typing import Self

from django.db.models import Q

from transfers.models import StoredFile


class Proof(enum.StrEnum):
    """Whether a file's bytes are proved to be the ones that were meant."""

    VERIFIED = "verified"
    MISMATCH = "mismatch"
    NOT_PROMISED = "not promised"
    AWAITED = "still to be taken"
    UNREADABLE = "cannot be read"

    @classmethod
    def of(cls, stored: StoredFile) -> Self:
        """This file's."""
        if stored.verified is not None:
            return cls(cls.VERIFIED if stored.verified else cls.MISMATCH)
        if stored.checksum_error:
            return cls(cls.UNREADABLE)
        return cls(cls.NOT_PROMISED if stored.sha256 else cls.AWAITED)


LABELS = {
    Proof.VERIFIED.value: "success",
    Proof.MISMATCH.value: "danger",
    Proof.NOT_PROMISED.value: "default",
    Proof.AWAITED.value: "info",
    Proof.UNREADABLE.value: "danger",
}
WHERE = {
    Proof.VERIFIED: Q(verified=True),
    Proof.MISMATCH: Q(verified=False),
    Proof.NOT_PROMISED: Q(verified=None, checksum_error="") & ~Q(sha256=""),
    Proof.AWAITED: Q(verified=None, checksum_error="", sha256=""),
    Proof.UNREADABLE: Q(verified=None) & ~Q(checksum_error=""),
}
"""The rows of each; every row is of one."""
