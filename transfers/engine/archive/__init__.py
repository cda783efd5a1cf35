"""Zip archives as files to read: their bytes are known beforehand, so any range of one can be had at any time."""

from __future__ import annotations

from transfers.engine.archive.deflating import DeflatedSource
from transfers.engine.archive.headers import most_framing_bytes
from transfers.engine.archive.layout import Layout
from transfers.engine.archive.members import Member, MemberRange, Method
from transfers.engine.archive.methods import method_for
from transfers.engine.archive.names import EntryNames
from transfers.engine.archive.source import ArchiveSource

__all__ = [
    "ArchiveSource",
    "DeflatedSource",
    "EntryNames",
    "Layout",
    "Member",
    "MemberRange",
    "Method",
    "method_for",
    "most_framing_bytes",
]
