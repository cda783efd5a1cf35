"""Content identifiers: what names a block of bytes by its hash, as text and as bytes.

The library reads the formats; what is added here is strictness. Every identifier has one spelling in its multibase, its
digest is whole, and text and bytes have a limit, so that nothing a stranger sends costs more than microseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from multiformats import CID, multihash

MAX_CID_CHARS = 256
"""Longer than any identifier in use: a 64 byte digest has 137 characters in hexadecimal, an identity one 220."""
MAX_IDENTITY_BYTES = 128
"""What an identifier may carry itself instead of a hash: the limit that other implementations have."""
_MIN_DIGEST_BYTES = 20
_IDENTITY = "identity"


class _Hash(Protocol):
    @property
    def digest_size(self) -> int: ...
    def digest(self) -> bytes: ...


_HASHES: Mapping[str, Callable[..., _Hash]] = {
    "sha2-256": hashlib.sha256,
    "sha2-512": hashlib.sha512,
    "sha3-256": hashlib.sha3_256,
    "sha3-512": hashlib.sha3_512,
    "blake2b-256": partial(hashlib.blake2b, digest_size=32),
    "blake2b-512": hashlib.blake2b,
    "blake2s-256": hashlib.blake2s,
}


class InvalidCidError(ValueError):
    """This is no content identifier."""


@dataclass(frozen=True, slots=True)
class Cid:
    """What a block is named: its hash, and how its bytes are to be read."""

    codec: str
    """The multicodec's name: `raw`, `dag-pb`, …."""
    function: str
    """The multihash's name: `sha2-256`, …."""
    digest: bytes
    text: str
    """Version 1 in base32, whichever version and base it came in: equal identifiers have equal texts."""

    @property
    def inline(self) -> bytes | None:
        """The block itself, when the identifier carries it instead of a hash."""
        return self.digest if self.function == _IDENTITY else None

    @property
    def verifiable(self) -> bool:
        """Whether `names` can tell."""
        return self.function in _HASHES or self.function == _IDENTITY

    def names(self, block: bytes) -> bool:
        """Whether this is the block; KeyError when the hash function is not known here."""
        if self.inline is not None:
            return block == self.inline
        return _HASHES[self.function](block).digest() == self.digest


def parse(text: str) -> Cid:
    """Read an identifier of version 0 or 1; InvalidCidError unless this is its one spelling in its multibase."""
    if not (0 < len(text) <= MAX_CID_CHARS and text.isascii() and text.isprintable()):
        raise InvalidCidError("An identifier is 1 to 256 plain characters.")
    found = _decoded(text)
    if str(found) != text:
        raise InvalidCidError("The identifier is not written as its multibase asks.")
    return _strict(found)


def from_bytes(data: bytes) -> Cid:
    """Read an identifier as links hold it; InvalidCidError."""
    if len(data) > MAX_CID_CHARS:
        raise InvalidCidError("The identifier is too long.")
    return _strict(_decoded(data))


def _decoded(data: str | bytes) -> CID:
    try:
        return CID.decode(data)
    except (ValueError, KeyError, IndexError) as error:  # the library's own errors are kinds of these
        raise InvalidCidError("This is no content identifier.") from error


def _strict(found: CID) -> Cid:
    """Refuse a digest that is cut, padded or too short to prove anything."""
    function, digest = found.hashfun.name, _raw_digest(found)
    if function == _IDENTITY:
        if len(digest) > MAX_IDENTITY_BYTES:
            raise InvalidCidError("The identifier carries more bytes than one may.")
    elif len(digest) < _MIN_DIGEST_BYTES or (function in _HASHES and len(digest) != _HASHES[function]().digest_size):
        raise InvalidCidError("The identifier's digest does not have its hash function's length.")
    return Cid(found.codec.name, function, digest, found.set(version=1, base="base32").encode())


def _raw_digest(found: CID) -> bytes:
    """The digest as it stands; the library's own way would load the hash function, which not every machine has."""
    _, digest = multihash.unwrap_raw(found.digest)
    return bytes(digest)
