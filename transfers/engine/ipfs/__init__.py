"""Files named by their content: every byte is proved to be the one that was asked for."""

from __future__ import annotations

from transfers.engine.ipfs.address import SCHEME, Address, InvalidAddressError
from transfers.engine.ipfs.cid import Cid, InvalidCidError
from transfers.engine.ipfs.gateway import Gateway
from transfers.engine.ipfs.source import IpfsSource

__all__ = ["SCHEME", "Address", "Cid", "Gateway", "InvalidAddressError", "InvalidCidError", "IpfsSource"]
