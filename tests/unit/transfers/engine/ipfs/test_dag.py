"""Graphs that are not what they should be: each is refused, in bounded memory, before a wrong byte is given out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ipfs import Dag
from tests.ipfs.dag import (
    DAG_PB,
    DIRECTORY,
    FILE,
    RAW,
    SHARDED,
    SYMLINK,
    Entry,
    bytes_field,
    data,
    link,
    number_field,
    varint,
)
from tests.unit.transfers.engine.ipfs.test_vectors import Proved, made
from transfers.engine.ipfs.cid import Cid, from_bytes, parse
from transfers.engine.ipfs.dag import MAX_DEPTH, InnerNodes, content, resolve
from transfers.engine.ipfs.unixfs import MAX_FILE_LINKS, MAX_LINKS
from transfers.errors import SourceRefusedError


def read(dag: Dag, cid: bytes) -> bytes:
    nodes = InnerNodes(Proved(dag))
    node = nodes.file(from_bytes(cid))
    return b"".join(content(nodes, node, 0, node.size))


def with_leaves(dag: Dag, node: bytes, leaves: int = 1) -> bytes:
    return b"".join(link(dag.leaf(b"leaf").cid) for _ in range(leaves)) + node


MALFORMED: dict[str, Callable[[Dag], bytes]] = {
    "nothing": lambda _: b"",
    "no protocol buffers": lambda _: b"\xff" * 20,
    "a field cut off": lambda _: data(FILE, b"content", 7)[:-3],
    "a number that does not end": lambda _: b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "a number of more than 64 bits": lambda _: b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    "no data": lambda _: link(b"\x01\x55\x00\x00"),
    "data twice": lambda _: data(FILE, b"a", 1) + data(FILE, b"b", 1),
    "an unknown field": lambda _: data(FILE, b"a", 1) + bytes_field(3, b"b"),
    "an unknown kind": lambda _: data(9, b"a", 1),
    "no kind": lambda _: bytes_field(1, bytes_field(2, b"a")),
    "a kind that is bytes": lambda _: bytes_field(1, bytes_field(1, b"\x02")),
    "content that is a number": lambda _: bytes_field(1, number_field(1, FILE) + number_field(2, 1)),
    "a field from later times": lambda _: bytes_field(1, number_field(1, FILE) + bytes_field(9, b"more")),
    "a link without identifier": lambda _: bytes_field(2, bytes_field(2, b"name")) + data(FILE, b"", 1, [1]),
    "a link to nothing": lambda _: link(b"nothing") + data(FILE, b"", 4, [4]),
    "a directory": lambda _: data(DIRECTORY),
    "a directory in shards": lambda _: data(SHARDED),
    "a symbolic link": lambda _: data(SYMLINK, b"/etc/passwd"),
    "fewer sizes than links": lambda dag: with_leaves(dag, data(FILE, b"", 4, [4]), 2),
    "more sizes than links": lambda dag: with_leaves(dag, data(FILE, b"", 8, [4, 4])),
    "a size that is not the sum": lambda dag: with_leaves(dag, data(FILE, b"", 5, [4])),
    "a part said to be longer": lambda dag: with_leaves(dag, data(FILE, b"", 5, [5])),
    "a part said to be shorter": lambda dag: with_leaves(dag, data(FILE, b"", 3, [3])),
    "a size beyond all files": lambda dag: with_leaves(dag, data(FILE, b"", None, [2**63])),
    "sizes that flow over": lambda dag: with_leaves(dag, data(FILE, b"", 0, [2**63, 2**63]), 2),
    "a part that is a directory": lambda dag: link(dag.directory({}).cid) + data(FILE, b"", 4, [4]),
    "a part of another format": lambda dag: link(dag.put(0x71, b"cbor")) + data(FILE, b"", 4, [4]),
    "too many parts": lambda dag: with_leaves(
        dag, data(FILE, b"", None, [4] * (MAX_FILE_LINKS + 1)), MAX_FILE_LINKS + 1
    ),
    "too many names": lambda _: link(b"\x01\x55\x00\x00") * (MAX_LINKS + 1) + data(FILE),
    "too many sizes": lambda _: bytes_field(1, number_field(1, FILE) + bytes_field(4, b"\x01" * (MAX_LINKS + 1))),
}


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_sound_file_is_refused(make: Callable[[Dag], bytes]) -> None:
    dag = Dag()
    with pytest.raises(SourceRefusedError) as refused:
        read(dag, dag.put(DAG_PB, make(dag)))
    assert len(refused.value.message) < 400


def test_sizes_may_come_packed_and_may_be_left_out() -> None:
    dag = Dag()
    sizes = bytes_field(4, varint(4) + varint(4))
    assert read(dag, dag.put(DAG_PB, with_leaves(dag, bytes_field(1, number_field(1, FILE) + sizes), 2))) == b"leafleaf"


def test_a_node_may_have_content_and_parts() -> None:
    dag = Dag()
    root = dag.parent([dag.leaf(b"middle "), dag.leaf(b"end")], b"beginning ")
    assert read(dag, root.cid) == b"beginning middle end"


def test_parts_of_no_bytes_cost_nothing() -> None:
    dag = Dag()
    nothing = Entry(b"\x01\x55\x12\x20" + bytes(32), 0, 0)  # whose block nobody has
    root = dag.parent([nothing] * 1000 + [dag.leaf(b"end")] + [nothing] * 1000)
    assert read(dag, root.cid) == b"end"


def test_a_file_deeper_than_files_are_is_refused() -> None:
    dag = Dag()
    entry = dag.leaf(b"deep")
    for _ in range(MAX_DEPTH):
        entry = dag.parent([entry])
    assert read(dag, entry.cid) == b"deep"
    with pytest.raises(SourceRefusedError, match="deeper"):
        read(dag, dag.parent([entry]).cid)


def test_blocks_carried_by_their_identifiers() -> None:
    dag = Dag()
    dag.blocks = _Inline()
    inline = Entry(b"\x01\x55\x00\x03abc", 3, 3)
    assert read(dag, dag.parent([inline, inline]).cid) == b"abcabc"


class _Inline(dict[str, bytes]):
    def __missing__(self, text: str) -> bytes:
        inline = parse(text).inline
        assert inline is not None
        return inline


class Counting(Proved):
    def __init__(self, dag: Dag) -> None:
        super().__init__(dag)
        self.asked: list[str] = []

    def block(self, cid: Cid) -> bytes:
        self.asked.append(cid.text)
        return super().block(cid)


def test_any_byte_costs_one_block_of_each_level() -> None:
    dag = Dag(chunk_bytes=100, width=4)
    whole = made(100 * 4**3)
    root = dag.file(whole)
    blocks = Counting(dag)
    nodes = InnerNodes(blocks)
    node = nodes.file(from_bytes(root.cid))
    for at in (0, 99, 100, 3333, len(whole) - 1):
        blocks.asked.clear()
        assert b"".join(content(InnerNodes(blocks), node, at, at + 1)) == whole[at : at + 1]
        assert len(blocks.asked) == 3
    blocks.asked.clear()
    assert b"".join(content(nodes, node, 0, len(whole))) == whole
    assert len(blocks.asked) == 4 + 4**2 + 4**3


def test_few_inner_nodes_are_kept_at_once() -> None:
    dag = Dag(chunk_bytes=10, width=3)
    whole = made(10 * 3**5)
    nodes = InnerNodes(Proved(dag), most_bytes=1000)
    node = nodes.file(from_bytes(dag.file(whole).cid))
    assert b"".join(content(nodes, node, 0, len(whole))) == whole
    assert 0 < sum(map(len, nodes._kept.values())) <= 1000


@given(
    size=st.integers(0, 5000),
    chunk_bytes=st.integers(1, 300),
    width=st.integers(2, 9),
    raw_leaves=st.booleans(),
    draw=st.data(),
)
def test_every_range_of_every_tree(
    size: int, chunk_bytes: int, width: int, draw: st.DataObject, *, raw_leaves: bool
) -> None:
    dag = Dag(chunk_bytes, width, raw_leaves)
    whole = made(size)
    nodes = InnerNodes(Proved(dag))
    node = nodes.file(from_bytes(dag.file(whole).cid))
    begin = draw.draw(st.integers(0, size))
    end = draw.draw(st.integers(begin, size))
    assert node.size == size
    assert b"".join(content(nodes, node, begin, end)) == whole[begin:end]


@given(st.binary(max_size=200))
def test_any_block_is_answered(block: bytes) -> None:
    dag = Dag()
    cid = dag.put(DAG_PB, block)
    try:
        node = InnerNodes(Proved(dag)).file(from_bytes(cid))
    except SourceRefusedError:
        return
    assert node.size >= len(node.content)


@pytest.mark.parametrize("path", [("there",), ("docs", "there"), ("file", "below"), ("docs", ""), ("shards", "a")])
def test_a_path_that_leads_nowhere(path: tuple[str, ...]) -> None:
    dag = Dag()
    shards = Entry(dag.put(DAG_PB, data(SHARDED)), 0, 0)
    top = dag.directory({"docs": dag.directory({}), "file": dag.file(b"content"), "shards": shards})
    with pytest.raises(SourceRefusedError):
        resolve(InnerNodes(Proved(dag)), from_bytes(top.cid), path)


def test_raw_blocks_are_files() -> None:
    dag = Dag()
    assert read(dag, dag.put(RAW, b"\x0a\x02\x08\x01")) == b"\x0a\x02\x08\x01"
