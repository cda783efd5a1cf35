"""Questions about what is on IPFS."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from transfers.engine.ipfs import InvalidCidError
from transfers.engine.ipfs.cid import Cid, parse
from transfers.errors import SourceInterruptedError, TransferError
from transfers.tasks.source import gateway

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Reachability:
    """Whether the gateway gave a block, proved."""

    reachable: bool
    seconds: float
    """How long the answer took."""
    why_not: str = ""
    """In words for a person."""


def reachable(*, cid: str, timeout_seconds: float = TIMEOUT_SECONDS) -> Reachability:
    """Ask the configured gateway for the root block of what `cid` names; never raises."""
    began = time.monotonic()
    why_not = ""
    try:
        _ask(parse(cid), timeout_seconds)
    except InvalidCidError as error:
        why_not = str(error)
    except TransferError as error:
        why_not = error.message
    return Reachability(not why_not, time.monotonic() - began, why_not)


def _ask(cid: Cid, timeout_seconds: float) -> None:
    """Raise unless the gateway gives the block in time, however it spreads its bytes."""
    asked = gateway(connect_timeout_seconds=timeout_seconds, stall_seconds=timeout_seconds)
    late = threading.Timer(timeout_seconds, asked.abort)
    late.start()
    try:
        asked.block(cid)
    except SourceInterruptedError:
        if late.is_alive():
            raise
        raise SourceInterruptedError(f"{asked.where} gave no whole block in {timeout_seconds:g} s") from None
    finally:
        late.cancel()
        late.join()
