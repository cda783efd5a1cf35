"""Ends on a local or shared file system: files to read, and files that appear only when they are whole."""

from __future__ import annotations

from transfers.engine.local.collecting import LocalCollection
from transfers.engine.local.names import JOURNAL_SUFFIX, MAX_NAME_BYTES, OUR_SUFFIXES, PART_SUFFIX, numbered
from transfers.engine.local.sink import LocalSink
from transfers.engine.local.source import LocalSource

__all__ = [
    "JOURNAL_SUFFIX",
    "MAX_NAME_BYTES",
    "OUR_SUFFIXES",
    "PART_SUFFIX",
    "LocalCollection",
    "LocalSink",
    "LocalSource",
    "numbered",
]
