"""Which storage new files come to rest in, and which has a file."""

from __future__ import annotations

import functools

from django.conf import settings
from django.utils.module_loading import import_string

from transfers.storage.base import Storage

SCHEME = "s3://"
CLASSES = {"local": "transfers.storage.local.LocalStorage", "s3": "transfers.storage.s3.S3Storage"}
"""By name, so that a service without S3 does not load what speaks it (20 MiB a process)."""


def for_new() -> Storage:
    """The storage that the operator chose for new files."""
    return _storage(settings.ENVIRONMENT.storage)


def of(location: str) -> Storage:
    """The storage that has a file."""
    return _storage("s3" if location.startswith(SCHEME) else "local")


def all_used() -> list[Storage]:
    """Every storage that this deployment may have uploads in."""
    return [_storage("local"), *([_storage("s3")] if settings.ENVIRONMENT.s3_bucket else [])]


@functools.cache
def _storage(name: str) -> Storage:
    made: Storage = import_string(CLASSES[name])()
    return made
