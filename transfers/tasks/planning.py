"""How a download is to be fetched, once its source has told what it has."""

from __future__ import annotations

import hashlib
import uuid

from django.conf import settings

from transfers.engine.base import SourceInfo
from transfers.engine.plan import Plan, shared, whole
from transfers.models import Download

MAX_SOURCE_CHANGES = 3
"""Other files than before, in one run, after which a source is taken whole in one go."""


def plan_for(download: Download, info: SourceInfo) -> tuple[Plan, str]:
    """The plan and generation that were made before, while they still fit the source; else new ones.

    Notes on the download, without writing it down, what a changed source means for it.
    """
    digest = hashlib.sha256(f"{download.url_key} {info.size} {info.validator}".encode())
    generation = digest.hexdigest() if info.resumable else uuid.uuid4().hex
    if download.validator_kind and generation != download.generation and not download.ranges_broken:
        # Another file than before: how far that one came says nothing of this one. A source that changes again and
        # again is taken whole in one go, where its changes do not matter.
        download.high_water = 0
        download.source_changes += 1
        download.ranges_broken = download.source_changes >= MAX_SOURCE_CHANGES
    if not info.resumable or download.ranges_broken:
        return whole(info.size), uuid.uuid4().hex
    if download.generation == generation and download.plan is not None:
        return download.plan, generation
    large = info.size is not None and info.size >= settings.ENVIRONMENT.download_parallel_min_bytes
    return (shared(info.size or 0) if large else whole(info.size)), generation
