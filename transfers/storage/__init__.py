"""Where uploaded files come to rest: local disk, or S3 where the operator says so.

A file's location tells which of the two has it, so that files stay where they are when the operator changes over.
"""

from __future__ import annotations

from transfers.storage.base import Address, Begun, Slot, Storage
from transfers.storage.choice import all_used, for_new, of

__all__ = ["Address", "Begun", "Slot", "Storage", "all_used", "for_new", "of"]
