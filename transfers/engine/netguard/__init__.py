"""What may be fetched: `http` and `https`, from public addresses and from those an operator has allowed.

Judging a URL is not enough: a name may lead anywhere, a redirect may lead to another name, and a name may answer
differently the second time it is asked. So the judge sits where the connection is made. There the name is resolved
once, every address it has is judged, one that is forbidden forbids them all, and the connection goes to the very
addresses that were judged. The host's name itself is needed only for TLS, whose certificate must be for it.

Whatever goes wrong until the connection stands is told as one of `transfers.errors`; after that, urllib3 and requests
speak for themselves.
"""

from __future__ import annotations

from transfers.engine.netguard.allowance import Allowance, is_public
from transfers.engine.netguard.connection import (
    STREAM_BUFFER_BYTES,
    Guard,
    GuardedAdapter,
    GuardedResponse,
    Resolve,
    Watcher,
    watched,
)
from transfers.engine.netguard.url import check_url, may_keep_credentials, place_of, split_credentials

__all__ = [
    "STREAM_BUFFER_BYTES",
    "Allowance",
    "Guard",
    "GuardedAdapter",
    "GuardedResponse",
    "Resolve",
    "Watcher",
    "check_url",
    "is_public",
    "may_keep_credentials",
    "place_of",
    "split_credentials",
    "watched",
]
