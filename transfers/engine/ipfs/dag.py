"""Walking from a file's root to any of its bytes, through blocks that are proved one by one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from itertools import accumulate
from typing import Protocol

from transfers.engine.ipfs.cid import Cid
from transfers.engine.ipfs.unixfs import Kind, Node, link_cid, read_node
from transfers.errors import SourceRefusedError

MAX_DEPTH = 16
"""Levels below a root. The usual 174 links a node and 256 KiB a leaf reach 6 PiB with five."""
INNER_BYTES = 4 * 2**20
"""Blocks of inner nodes that one file keeps: at the usual sizes those of 20 GiB."""


class Blocks(Protocol):
    """Where blocks come from, each proved to be the one that was asked for."""

    def block(self, cid: Cid) -> bytes:
        """The identifier's block; any SourceError."""


class InnerNodes:
    """Another place's blocks, of which those with links are kept for a while: every reader passes them."""

    def __init__(self, blocks: Blocks, most_bytes: int = INNER_BYTES) -> None:
        self._blocks = blocks
        self._left = most_bytes
        self._kept: OrderedDict[Cid, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def node(self, cid: Cid) -> Node:
        """The node that the identifier names; SourceRefusedError when it is none, and any other SourceError."""
        with self._lock:
            block = self._kept.get(cid)
            if block is not None:
                self._kept.move_to_end(cid)
        if block is not None:
            return read_node(cid, block)
        block = self._blocks.block(cid)
        node = read_node(cid, block)
        if node.links:
            self._keep(cid, block)
        return node

    def file(self, cid: Cid, size: int | None = None) -> Node:
        """The node, which is a file's, of `size` bytes if that was told; SourceRefusedError when it is something else.

        Any other SourceError.
        """
        node = self.node(cid)
        if node.kind not in (Kind.FILE, Kind.RAW):
            raise SourceRefusedError(f"{cid.text} is not a file: {_REFUSALS[node.kind]}")
        if size not in (None, node.size):
            raise SourceRefusedError(f"{cid.text} has {node.size} bytes where {size} were told")
        return node

    def _keep(self, cid: Cid, block: bytes) -> None:
        with self._lock:
            if cid in self._kept:
                return
            self._kept[cid] = block
            self._left -= len(block)
            while self._left < 0:
                _, dropped = self._kept.popitem(last=False)
                self._left += len(dropped)


_REFUSALS = {
    Kind.DIRECTORY: "it is a directory; name a file in it",
    Kind.SHARDED_DIRECTORY: "it is a directory in shards, which cannot be read here",
    Kind.SYMLINK: "it is a symbolic link",
    Kind.METADATA: "it is metadata",
}


def resolve(nodes: InnerNodes, root: Cid, path: tuple[str, ...]) -> Cid:
    """Follow the names from directory to directory; SourceRefusedError where there is nothing of that name."""
    cid = root
    for name in path:
        node = nodes.node(cid)
        if node.kind is not Kind.DIRECTORY:
            why = _REFUSALS.get(node.kind, "it is a file")
            raise SourceRefusedError(f"there is nothing in {cid.text}: {why}")
        child = node.child(name)
        if child is None:
            raise SourceRefusedError(f"there is no such name in {cid.text}")
        cid = child
    return cid


def content(nodes: InnerNodes, node: Node, begin: int, end: int, depth: int = 0) -> Iterator[memoryview]:
    """The bytes from `begin` up to before `end` of the file below this node, in order and never empty.

    SourceRefusedError when a node below has not the size that was told of it, and any other SourceError.
    """
    if depth > MAX_DEPTH:
        raise SourceRefusedError("the file's blocks lie deeper than a file's may")
    own = memoryview(node.content)[begin:end]
    if own:
        yield own
    offsets = accumulate(node.sizes, initial=len(node.content))
    for link, size, offset in zip(node.links, node.sizes, offsets, strict=False):
        if size and begin < offset + size and offset < end:
            child = nodes.file(link_cid(link), size)
            yield from content(nodes, child, max(0, begin - offset), min(size, end - offset), depth + 1)
