"""A folder on a local or shared file system as a tree."""

from __future__ import annotations

from transfers.engine.tree.local.tree import LocalTree

__all__ = ["LocalTree"]
