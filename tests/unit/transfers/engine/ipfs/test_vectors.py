"""Files that the reference importer (ipfs-unixfs-importer 17.1.1 for JavaScript) has cut into blocks.

The test's own importer must come to the same identifiers, so that what is read back here was written as others do.
"""

from __future__ import annotations

import hashlib
import random

import pytest

from tests.ipfs import Dag
from tests.ipfs.dag import version_1
from transfers.engine.ipfs.cid import Cid, from_bytes, parse
from transfers.engine.ipfs.dag import InnerNodes, content, resolve

# Version, raw leaves, bytes in a leaf, links in a node, bytes, and the root.
FILES = [
    (1, True, 262144, 174, 0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
    (1, True, 262144, 174, 1, "bafkreigs4kw7of33pkfp3w6bfuldjtzd5inhcaqpnijqqbykczaa7nup3y"),
    (1, True, 262144, 174, 262144, "bafkreiajsvsnwv5otpbfcvpzcal4iwg7z64dvrmmfd7r7grhuikosrutri"),
    (1, True, 262144, 174, 262145, "bafybeifgc5fyeww7tiepri2hwh2gwu7qyzlcuaf5lugrsblripg64mx5yu"),
    (1, True, 262144, 174, 3000007, "bafybeidfxatg26zz6szkcoucudtn7xxxsisinplqfihntk4r32hnfjvwfu"),
    (1, True, 1024, 174, 178176, "bafybeidapdn2c4c4uqsoaiqbh7g7u25u7ya6ulfjud6pnukagf2ey66dmm"),
    (1, True, 1024, 174, 178177, "bafybeiaiqbcd6d3ctjedvhb756lwxdflux3f2wvnkcvebgjxfkrgfjebhu"),
    (1, True, 64, 3, 1797, "bafybeihjh5thiartcilbhexrnhpnpsq47f3owul77buznp7vmnnz4a3k5y"),
    (0, False, 262144, 174, 0, "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"),
    (0, False, 262144, 174, 1, "QmeTvrMJT5LjfitxvEhooABGknJJ3e3LmDWHotEuo35zBh"),
    (0, False, 262144, 174, 262144, "QmU7j6YWb8cKixmQmxGLoC6X1jBt9HDXAAmDAHh9AhAdsL"),
    (0, False, 262144, 174, 262145, "Qme4WiQPvEN3K8YHzCFzkEbmRVKTXpuYNyMrTwHx8X6Aw9"),
    (0, False, 262144, 174, 3000007, "QmTnGTfahr6hwwcCoiyfcUjvkZZrP1rSGM9J4F3QLJxHhX"),
    (0, False, 1024, 174, 178176, "QmRfKGRbL3KNrhDxF8a6dnHcmjMg19pCAxidS7dwWBkuBh"),
    (0, False, 1024, 174, 178177, "QmR9Z32r1WVLzvw26tDbD4yPMwFAWcfJWk4eyn43V5USsj"),
    (0, False, 64, 3, 1797, "QmULTGqf8Avd2GQKBKHzgb5mCg1HiV5ykK2hSmUcYY5Dsg"),
    (1, False, 262144, 174, 3000007, "bafybeicf4wdcrkb3b2nly7523pfxezeeqvlu2jufxwc2eptnchr2b6d4wy"),
    (1, False, 64, 3, 1797, "bafybeiefoot7qbnacqtjhuwhtl2aihmlfi5eoajcmkfdylljczn2coumtu"),
]
# docs/read me.txt of 1,000 bytes and ü.bin of 300,000.
DIRECTORIES = [
    (1, True, "bafybeidtt7uyt3too46l5tfids7j32vius2noit5fydplk2gehtwfdpxcq"),
    (0, False, "QmcoG8rtBSt6J1cH7UdYXWafjZHrcGoWxgKyn4SsKswadm"),
]


def made(size: int) -> bytes:
    return b"".join(hashlib.sha256(str(count).encode()).digest() for count in range(size // 32 + 1))[:size]


class Proved:
    """Blocks in memory."""

    def __init__(self, dag: Dag) -> None:
        self._dag = dag

    def block(self, cid: Cid) -> bytes:
        block = self._dag.blocks[cid.text]
        assert cid.names(block)
        return block


@pytest.mark.parametrize(("version", "raw_leaves", "chunk_bytes", "width", "size", "root"), FILES)
def test_a_file_is_cut_and_read_as_others_do(
    version: int, chunk_bytes: int, width: int, size: int, root: str, *, raw_leaves: bool
) -> None:
    dag = Dag(chunk_bytes, width, raw_leaves, version)
    whole = made(size)
    entry = dag.file(whole)
    assert entry.text == root
    nodes = InnerNodes(Proved(dag))
    node = nodes.file(parse(root))
    assert node.size == size
    assert b"".join(content(nodes, node, 0, size)) == whole
    for _ in range(20):
        begin, end = sorted(random.Random(root).choices(range(size + 1), k=2))
        assert b"".join(content(nodes, node, begin, end)) == whole[begin:end]


@pytest.mark.parametrize(("version", "raw_leaves", "root"), DIRECTORIES)
def test_directories_are_made_and_followed_as_others_do(version: int, root: str, *, raw_leaves: bool) -> None:
    dag = Dag(version=version, raw_leaves=raw_leaves)
    entries = {"read me.txt": dag.file(made(1000))}
    top = dag.directory({"docs": dag.directory(entries), "ü.bin": dag.file(made(300_000))})
    assert top.text == root
    nodes = InnerNodes(Proved(dag))
    for path, size in ((("docs", "read me.txt"), 1000), (("ü.bin",), 300_000)):
        node = nodes.file(resolve(nodes, parse(root), path))
        assert b"".join(content(nodes, node, 0, node.size)) == made(size)
    assert version_1(top.cid) == from_bytes(top.cid).text
