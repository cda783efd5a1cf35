"""Files and directories as UnixFS blocks, as the usual importers make them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

RAW, DAG_PB = 0x55, 0x70
DIRECTORY, FILE, SYMLINK, SHARDED = 1, 2, 4, 5
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def link(cid: bytes, name: str = "", total: int = 0) -> bytes:
    return bytes_field(2, bytes_field(1, cid) + bytes_field(2, name.encode()) + number_field(3, total))


def data(kind: int, content: bytes = b"", size: int | None = None, sizes: Sequence[int] = ()) -> bytes:
    message = number_field(1, kind)
    message += bytes_field(2, content) if content else b""
    message += number_field(3, size) if size is not None else b""
    return bytes_field(1, message + b"".join(number_field(4, each) for each in sizes))


def text(cid: bytes) -> str:
    """Base32 for version 1, base58 for version 0."""
    if cid[0] == 1:
        return "b" + base64.b32encode(cid).decode().lower().rstrip("=")
    number, digits = int.from_bytes(cid, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return digits


def version_1(cid: bytes) -> str:
    """The text that a gateway is asked with."""
    return text(cid if cid[0] == 1 else b"\x01\x70" + cid)


@dataclass(frozen=True)
class Entry:
    """Something stored: its identifier, the bytes of the file it is, and of all blocks below it."""

    cid: bytes
    size: int
    total: int

    @property
    def text(self) -> str:
        return text(self.cid)


@dataclass
class Dag:
    """Blocks by identifier, as text of version 1 in base32.

    With `raw_leaves` and `version` 1 it makes what `ipfs add --cid-version=1` does; without and 0, what `ipfs add`
    does.
    """

    chunk_bytes: int = 262_144
    width: int = 174
    raw_leaves: bool = True
    version: int = 1
    blocks: dict[str, bytes] = field(default_factory=dict)

    def put(self, codec: int, block: bytes, version: int | None = None) -> bytes:
        """Store a block and give its identifier, as bytes."""
        multihash = b"\x12\x20" + hashlib.sha256(block).digest()
        zero = codec == DAG_PB and (self.version if version is None else version) == 0
        cid = multihash if zero else bytes([1, codec]) + multihash
        self.blocks[version_1(cid)] = block
        return cid

    def file(self, content: bytes) -> Entry:
        """Store a file as a balanced tree."""
        chunks = range(0, len(content) or 1, self.chunk_bytes)
        level = [self.leaf(content[at : at + self.chunk_bytes]) for at in chunks]
        while len(level) > 1:
            level = [self.parent(level[at : at + self.width]) for at in range(0, len(level), self.width)]
        return level[0]

    def leaf(self, content: bytes) -> Entry:
        if self.raw_leaves:
            return Entry(self.put(RAW, content), len(content), len(content))
        block = data(FILE, content, len(content))
        return Entry(self.put(DAG_PB, block), len(content), len(block))

    def parent(self, children: Sequence[Entry], content: bytes = b"") -> Entry:
        sizes = [child.size for child in children]
        size = sum(sizes) + len(content)
        links = b"".join(link(child.cid, total=child.total) for child in children)
        block = links + data(FILE, content, size, sizes)
        return Entry(self.put(DAG_PB, block), size, len(block) + sum(child.total for child in children))

    def directory(self, entries: Mapping[str, Entry]) -> Entry:
        links = b"".join(link(entry.cid, name, entry.total) for name, entry in sorted(entries.items()))
        block = links + data(DIRECTORY)
        return Entry(self.put(DAG_PB, block), 0, len(block) + sum(entry.total for entry in entries.values()))
