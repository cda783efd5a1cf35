"""Zip archives as files to read: their bytes are known beforehand, so any range of one can be had at any time."""

from __future__ import annotations

from transfers.engine.archive.layout import Layout
from transfers.engine.archive.members import Member, MemberRange, Method

__all__ = ["Layout", "Member", "MemberRange", "Method"]
