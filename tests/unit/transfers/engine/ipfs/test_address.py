from __future__ import annotations

import pytest

from transfers.engine.ipfs import Address, InvalidAddressError

CID = "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


@pytest.mark.parametrize(
    ("rest", "path"),
    [
        ("", ()),
        ("/", ()),
        ("/a/b.txt", ("a", "b.txt")),
        ("//a//b/", ("a", "b")),
        ("/a%20b/%C3%BC", ("a b", "ü")),
        ("/a?filename=b#c", ("a",)),
    ],
)
def test_what_is_asked_for(rest: str, path: tuple[str, ...]) -> None:
    address = Address.parse(f"ipfs://{CID}{rest}")
    assert (address.root.text, address.path) == (CID, path)


def test_version_0_keeps_its_case() -> None:
    assert Address.parse("ipfs://QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n").root.text == CID


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ipfs://", "content identifier"),
        ("ipfs:///a", "content identifier"),
        ("ipfs://example.com/a", "content identifier"),
        (f"ipfs://{CID}x", "content identifier"),
        (f"ipfs://user:password@{CID}", "content identifier"),
        (f"ipfs://{CID}:80", "content identifier"),
        (f"ipfs://ipfs/{CID}", "content identifier"),
        (f"ipfs:{CID}", "content identifier"),
        ("ipfs://[", "not a URL"),
        ("ipfs://bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", "dag-cbor"),
        ("ipfs://bafkrcfar62wy5rjkfgckxkx5pq5vczidpboca4q", "sha1"),
        (f"ipfs://{CID}/a/../b", "names that no file can have"),
        (f"ipfs://{CID}/%2e%2e/b", "names that no file can have"),
        (f"ipfs://{CID}/a%2Fb", "names that no file can have"),
        (f"ipfs://{CID}/a%00b", "names that no file can have"),
        (f"ipfs://{CID}" + "/a" * 65, "more than 64"),
    ],
)
def test_what_cannot_be_asked_for(url: str, why: str) -> None:
    with pytest.raises(InvalidAddressError, match=why):
        Address.parse(url)
