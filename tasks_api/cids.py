"""Content identifiers, as clients report them."""

from __future__ import annotations

from transfers.engine.ipfs.cid import MAX_CID_CHARS, InvalidCidError, parse

__all__ = ["MAX_CID_CHARS", "is_cid"]


def is_cid(text: str) -> bool:
    """Whether this is a content identifier of version 0 or 1, written as its multibase asks; never raises."""
    try:
        parse(text)
    except InvalidCidError:
        return False
    return True
