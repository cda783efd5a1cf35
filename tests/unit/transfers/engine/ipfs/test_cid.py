"""Content identifiers against the vectors of the specification and of the reference implementation."""

from __future__ import annotations

import base64
import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks_api.cids import is_cid
from transfers.engine.ipfs.cid import MAX_CID_CHARS, MAX_IDENTITY_BYTES, Cid, InvalidCidError, from_bytes, parse

DIGEST = hashlib.sha256(b"block").digest()
RAW = b"\x01\x55\x12\x20" + DIGEST


def base32(data: bytes) -> str:
    return "b" + base64.b32encode(data).decode().lower().rstrip("=")


# One block's identifier in every base the reference implementation (multiformats for JavaScript) writes, and blocks
# whose identifiers everybody knows.
SPELLINGS = [
    "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n",
    "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    "BAFYBEIHDWDCEFGH4DQKJV67UZCMW7OJEE6XEDZDETOJUZJEVTENXQUVYKU",
    "k2jmtxx1epa2wl096hsbpuhrz9xhppklonehzwkmskc9rmeb51kwn4ut",
    "zdj7Wkkhxcu2rsiN6GUyHCLsSLL47kdUNfjbFqBUUhMFTZKBi",
    "f01701220e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "uAXASIOOwxEKY_BwUmvv0yJlvuSQnrkHkZJuTTKSVmRt4UrhV",
]
BLOCKS = [
    ("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", b"", "raw"),
    ("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", b"hello world", "raw"),
    ("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", b"\x0a\x02\x08\x01", "dag-pb"),
    ("bafkqac3imvwgy3zao5xxe3de", b"hello world", "raw"),
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_every_spelling_of_one_identifier_is_the_same(text: str) -> None:
    assert is_cid(text)
    assert parse(text) == parse(SPELLINGS[0])
    assert parse(text).text == SPELLINGS[1]


@pytest.mark.parametrize(("text", "block", "codec"), BLOCKS)
def test_an_identifier_names_its_block_and_no_other(text: str, block: bytes, codec: str) -> None:
    cid = parse(text)
    assert cid.codec == codec
    assert cid.verifiable
    assert cid.names(block)
    assert not cid.names(block + b"\x00")


@pytest.mark.parametrize(
    ("prefix", "digest"),
    [
        (b"\x13\x40", hashlib.sha512(b"block").digest()),
        (b"\x16\x20", hashlib.sha3_256(b"block").digest()),
        (b"\x14\x40", hashlib.sha3_512(b"block").digest()),
        (b"\xa0\xe4\x02\x20", hashlib.blake2b(b"block", digest_size=32).digest()),
        (b"\xc0\xe4\x02\x40", hashlib.blake2b(b"block").digest()),
        (b"\xe0\xe4\x02\x20", hashlib.blake2s(b"block").digest()),
    ],
)
def test_other_hash_functions_prove_blocks_too(prefix: bytes, digest: bytes) -> None:
    cid = from_bytes(b"\x01\x55" + prefix + digest)
    assert cid.names(b"block")
    assert not cid.names(b"black")


@pytest.mark.parametrize("prefix", [b"\x11\x14", b"\x1e\x20"], ids=["sha1, which is broken", "blake3, not at hand"])
def test_an_identifier_by_another_hash_is_one_but_proves_nothing(prefix: bytes) -> None:
    text = base32(b"\x01\x55" + prefix + DIGEST[: prefix[-1]])
    assert is_cid(text)
    assert not parse(text).verifiable


HOSTILE = {
    "nothing": "",
    "a base alone": "b",
    "version 0, a character short": SPELLINGS[0][:-1],
    "version 0, a character more": SPELLINGS[0] + "1",
    "outside of the alphabet": SPELLINGS[0][:-1] + "0",
    "version 0 within a multibase": "z" + SPELLINGS[0],
    "version 0 as bytes in base32": base32(b"\x12\x20" + DIGEST),
    "upper case in a lower case base": SPELLINGS[1][:9] + SPELLINGS[1][9:].upper(),
    "lower case in an upper case base": "B" + SPELLINGS[1][1:],
    "padded": base32(RAW) + "=",
    "bytes after the end": base32(RAW + b"\x00"),
    "bits after the end": base32(RAW)[:-1] + "b",
    "a byte short": base32(RAW[:-1]),
    "a digest cut to 31 bytes": base32(b"\x01\x55\x12\x1f" + DIGEST[:-1]),
    "a digest of 33 bytes": base32(b"\x01\x55\x12\x21" + DIGEST + b"\x00"),
    "a digest of no bytes": base32(b"\x01\x55\x12\x00"),
    "a digest too short to prove": base32(b"\x01\x55\x1e\x10" + DIGEST[:16]),
    "an identity of too many bytes": base32(b"\x01\x55\x00\x81\x01" + bytes(MAX_IDENTITY_BYTES + 1)),
    "version 2": base32(b"\x02\x55\x12\x20" + DIGEST),
    "a number with bytes to spare": base32(b"\x81\x00\x55\x12\x20" + DIGEST),
    "an unknown codec": base32(b"\x01\xff\xff\x7f\x12\x20" + DIGEST),
    "an unknown hash": base32(b"\x01\x55\xff\xff\x7f\x20" + DIGEST),
    "NUL": base32(RAW) + "\x00",
    "the base of NUL": "\x00" + RAW.decode("latin-1"),
    "a line end": base32(RAW) + "\n",
    "a space before": " " + base32(RAW),
    "letters that look like it": "\uff42" + base32(RAW)[1:],
    "digits of another script": "9" + "٣" * 40,
    "a path": "/ipfs/" + SPELLINGS[0],
    "a path within": SPELLINGS[0] + "/file",
    "a URL": "ipfs://" + SPELLINGS[0],
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_identifier_is_refused(text: str) -> None:
    assert not is_cid(text)
    with pytest.raises(InvalidCidError):
        parse(text)


@pytest.mark.parametrize("text", ["z" + "2" * 10**6, "b" + "a" * 10**7, "Qm" + "Q" * 10**6, "b" + "a" * MAX_CID_CHARS])
def test_length_costs_nothing(text: str) -> None:
    began = time.process_time()
    assert not is_cid(text)
    assert time.process_time() - began < 0.05


@given(st.binary(max_size=64), st.sampled_from(["raw", "dag-pb"]))
def test_what_a_block_is_named_can_be_read_again(block: bytes, codec: str) -> None:
    data = b"\x01" + {"raw": b"\x55", "dag-pb": b"\x70"}[codec] + b"\x12\x20" + hashlib.sha256(block).digest()
    cid = parse(base32(data))
    assert cid == from_bytes(data) == parse(cid.text) == Cid(codec, "sha2-256", data[4:], base32(data))
    assert cid.names(block)


@given(st.text(max_size=80) | st.text(alphabet="abcdefghijklmnopqrstuvwxyz234567Qm1", max_size=80))
def test_any_text_is_answered(text: str) -> None:
    if is_cid(text):
        assert is_cid(parse(text).text)


@given(st.binary(max_size=300))
def test_any_bytes_are_answered(data: bytes) -> None:
    try:
        cid = from_bytes(data)
    except InvalidCidError:
        return
    assert parse(cid.text) == cid


@given(st.integers(0, len(RAW) - 1), st.integers(0, 7))
def test_one_bit_makes_another_identifier_or_none(byte: int, bit: int) -> None:
    changed = bytearray(RAW)
    changed[byte] ^= 1 << bit
    try:
        cid = from_bytes(bytes(changed))
    except InvalidCidError:
        return
    assert cid != from_bytes(RAW)
