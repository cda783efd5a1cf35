"""UnixFS nodes: how files and directories are written down in blocks (dag-pb, and raw for leaves)."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from transfers.engine.ipfs.cid import Cid, InvalidCidError, from_bytes
from transfers.engine.ipfs.protobuf import WireError, fields, packed
from transfers.errors import SourceRefusedError

MAX_LINKS = 65_536
"""Names in one directory. A block of 2 MiB has room for more only when it is made to cost memory."""
MAX_FILE_LINKS = 8192
"""Parts of one node of a file, of which a reader holds one on each level; 174 to 1,024 are usual."""
MAX_FILE_BYTES = 2**63 - 1
_LINK, _DATA = 2, 1  # fields of a node
_HASH, _NAME, _TOTAL_SIZE = 1, 2, 3  # of a link
_KIND, _CONTENT, _FILE_SIZE, _BLOCK_SIZE = 1, 2, 3, 4  # of a node's data
_MAX_KNOWN_FIELD = 8  # what follows is about directories, modes and times


class Kind(enum.IntEnum):
    """What a node is."""

    RAW = 0
    DIRECTORY = 1
    FILE = 2
    METADATA = 3
    SYMLINK = 4
    SHARDED_DIRECTORY = 5


@dataclass(slots=True)
class Node:
    """A block that was read; a file's bytes are its own `content`, then those of its links in order."""

    kind: Kind
    content: bytes = b""
    links: list[bytes] = field(default_factory=list)
    """Each link's identifier, as bytes: most are never looked at."""
    names: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """Bytes of the file below each link."""
    told_size: int | None = None

    @property
    def size(self) -> int:
        """Bytes of the file from this node down."""
        return len(self.content) + sum(self.sizes)

    def child(self, name: str) -> Cid | None:
        """What a directory has under this name."""
        wanted = name.encode()
        found = next((link for link, each in zip(self.links, self.names, strict=True) if each == wanted), None)
        return None if found is None else link_cid(found)


def read_node(cid: Cid, block: bytes) -> Node:
    """Read a block that is proved to be the identifier's; SourceRefusedError when it is no part of a file system."""
    if cid.codec == "raw":
        return Node(Kind.FILE, block)
    if cid.codec != "dag-pb":
        raise SourceRefusedError(f"{cid.text} is not a file: its codec is {cid.codec}")
    try:
        node = _read(block)
    except WireError:
        raise SourceRefusedError(f"{cid.text} is not a file: its block is malformed") from None
    if node.kind in (Kind.FILE, Kind.RAW):
        _check_file(cid, node)
    return node


def link_cid(link: bytes) -> Cid:
    """The identifier that a link holds; SourceRefusedError when it is none."""
    try:
        return from_bytes(link)
    except InvalidCidError:
        raise SourceRefusedError("the file has a link that leads nowhere") from None


def _check_file(cid: Cid, node: Node) -> None:
    """Refuse a file whose sizes cannot be true, so that every offset in it means one byte."""
    if len(node.links) > MAX_FILE_LINKS:
        raise SourceRefusedError(f"{cid.text} has {len(node.links)} parts, the limit is {MAX_FILE_LINKS}")
    if len(node.links) != len(node.sizes):
        raise SourceRefusedError(f"{cid.text} does not tell the sizes of its {len(node.links)} parts")
    if node.told_size not in (None, node.size) or node.size > MAX_FILE_BYTES:
        raise SourceRefusedError(f"{cid.text} contradicts itself about its size")


def _read(block: bytes) -> Node:
    data: bytes | None = None
    links: list[tuple[bytes, bytes]] = []
    for number, value in fields(block):
        if number == _LINK and isinstance(value, bytes) and len(links) < MAX_LINKS:
            links.append(_read_link(value))
        elif number == _DATA and isinstance(value, bytes) and data is None:
            data = value
        else:
            raise WireError("a node has something that nodes do not have")
    if data is None:
        raise WireError("a node without data is not of a file system")
    node = _read_data(data)
    node.links, node.names = [link for link, _ in links], [name for _, name in links]
    return node


def _read_link(message: bytes) -> tuple[bytes, bytes]:
    found: dict[int, int | bytes] = {}
    for number, value in fields(message):
        if number in found or isinstance(value, bytes) is not (number in (_HASH, _NAME)) or number > _TOTAL_SIZE:
            raise WireError("a link has something that links do not have")
        found[number] = value
    link, name = found.get(_HASH), found.get(_NAME, b"")
    if not isinstance(link, bytes) or not isinstance(name, bytes):
        raise WireError("a link leads nowhere")
    return link, name


def _read_data(message: bytes) -> Node:
    kind: int | bytes | None = None
    content: int | bytes = b""
    told_size: int | bytes | None = None
    sizes: list[int] = []
    for number, value in fields(message):
        if number == _KIND:
            kind = value
        elif number == _CONTENT:
            content = value
        elif number == _FILE_SIZE:
            told_size = value
        elif number == _BLOCK_SIZE:
            sizes += _limited(packed(value), MAX_LINKS - len(sizes))
        elif number > _MAX_KNOWN_FIELD:
            raise WireError("data of a kind that is not known")
    if kind not in list(Kind) or not isinstance(content, bytes) or isinstance(told_size, bytes):
        raise WireError("data of a kind that is not known")
    return Node(Kind(int(kind)), content, sizes=sizes, told_size=told_size)


def _limited(numbers: Iterator[int], most: int) -> Iterator[int]:
    for count, number in enumerate(numbers):
        if count >= most:
            raise WireError("a node has more parts than a node may have")
        yield number
