"""IPFS for tests: files as blocks, written independently of what reads them, and a gateway that serves them."""

from __future__ import annotations

from tests.ipfs.dag import Dag
from tests.ipfs.gateway import Fault, TrustlessGateway

__all__ = ["Dag", "Fault", "TrustlessGateway"]
