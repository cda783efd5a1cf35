"""Files from a trustless gateway that is honest, slow, broken or lying: only proved bytes are ever given out."""

from __future__ import annotations

import itertools
import random
import threading
import time
import tracemalloc
from collections.abc import Iterator

import pytest
import requests

from tests.conformance.sources import fetch, read_all
from tests.ipfs import Dag, Fault, TrustlessGateway
from tests.ipfs.dag import version_1
from transfers.engine.base import SourceInfo
from transfers.engine.http import session
from transfers.engine.ipfs import Gateway, IpfsSource
from transfers.engine.ipfs.gateway import MAX_BLOCK_BYTES
from transfers.engine.netguard import Allowance
from transfers.errors import (
    AddressForbiddenError,
    SourceBusyError,
    SourceError,
    SourceInterruptedError,
    SourceRefusedError,
    SourceUnreachableError,
    WrongBlockError,
)

CONTENT = random.Random(1).randbytes(1_000_003)


@pytest.fixture
def gateway() -> Iterator[TrustlessGateway]:
    with TrustlessGateway(Dag(chunk_bytes=65_536, width=4)) as running:
        yield running


@pytest.fixture
def shared() -> Iterator[requests.Session]:
    with session(Allowance.parse(["127.0.0.1"])) as made:
        yield made


def source(
    gateway: TrustlessGateway, shared: requests.Session, what: str, known: SourceInfo | None = None
) -> IpfsSource:
    asker = Gateway(gateway.url, shared, connect_timeout_seconds=2, stall_seconds=1)
    return IpfsSource(f"ipfs://{what}", asker, known=known)


def leaf(gateway: TrustlessGateway, number: int) -> str:
    """The name of a leaf of the file."""
    return version_1(gateway.dag.leaf(CONTENT[number * 65_536 : (number + 1) * 65_536]).cid)


@pytest.mark.parametrize("name", ["file", "füm & more.txt"])
def test_a_file_in_directories(gateway: TrustlessGateway, shared: requests.Session, name: str) -> None:
    dag = gateway.dag
    top = dag.directory({"docs": dag.directory({name: dag.file(CONTENT), "other": dag.file(b"other")})})
    file = source(gateway, shared, f"{top.text}/docs/{requests.utils.quote(name)}")
    info = file.stat()
    assert (info.size, str(info.validator)) == (len(CONTENT), f"version: {dag.file(CONTENT).text}")
    assert fetch(file) == CONTENT


def test_blocks_are_asked_for_by_the_protocol_and_each_once(
    gateway: TrustlessGateway, shared: requests.Session
) -> None:
    entry = gateway.dag.file(CONTENT)
    file = source(gateway, shared, entry.text)
    file.stat()
    assert fetch(file) == CONTENT
    assert gateway.accepts == {"application/vnd.ipld.raw"}
    assert set(gateway.asked) == set(gateway.dag.blocks)
    assert set(gateway.asked.values()) == {1}


def test_a_gateway_may_lie_below_a_path_and_want_a_password(
    gateway: TrustlessGateway, shared: requests.Session
) -> None:
    entry = gateway.dag.file(b"small")
    url = gateway.url.replace("http://", "http://user:pass@") + "/"
    assert fetch(IpfsSource(f"ipfs://{entry.text}", Gateway(url, shared))) == b"small"
    assert gateway.authorizations == {"Basic dXNlcjpwYXNz"}


def test_what_is_known_is_not_asked_again(gateway: TrustlessGateway, shared: requests.Session) -> None:
    entry = gateway.dag.file(CONTENT)
    top = gateway.dag.directory({"file": entry})
    info = source(gateway, shared, f"{top.text}/file").stat()
    gateway.asked.clear()
    again = source(gateway, shared, f"{top.text}/file", known=info)
    assert info.validator is not None
    assert again.unchanged(info.validator, len(CONTENT))
    assert not gateway.asked
    assert fetch(again, 70_000, 70_010) == CONTENT[70_000:70_010]
    assert version_1(top.cid) not in gateway.asked


def test_whether_it_is_unchanged_needs_no_gateway(gateway: TrustlessGateway, shared: requests.Session) -> None:
    entry, other = gateway.dag.file(CONTENT), gateway.dag.file(b"other")
    info, other_info = (source(gateway, shared, each.text).stat() for each in (entry, other))
    gateway.faults[""] = Fault.MISSING
    assert info.validator is not None
    assert other_info.validator is not None
    assert source(gateway, shared, entry.text).unchanged(info.validator, len(CONTENT))
    assert not source(gateway, shared, entry.text).unchanged(other_info.validator, 5)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.FORGED, WrongBlockError),
        (Fault.SHORT, WrongBlockError),
        (Fault.PAGE, WrongBlockError),
        (Fault.NONSENSE, WrongBlockError),
        (Fault.ENDLESS, WrongBlockError),
        (Fault.CUT, SourceInterruptedError),
        (Fault.SILENT, SourceInterruptedError),
        (Fault.BUSY, SourceBusyError),
        (Fault.MISSING, SourceRefusedError),
    ],
)
def test_a_broken_block_gives_out_what_came_before_and_nothing_of_itself(
    gateway: TrustlessGateway, shared: requests.Session, fault: Fault, error: type[SourceError]
) -> None:
    entry = gateway.dag.file(CONTENT)
    gateway.faults[leaf(gateway, 2)] = fault
    file = source(gateway, shared, entry.text)
    file.stat()
    got = bytearray()
    with file.open(0, None) as reader:
        buffer = memoryview(bytearray(10_000))
        with pytest.raises(error) as raised:  # noqa: PT012
            while count := reader.readinto(buffer):
                got += buffer[:count]
        with pytest.raises(SourceInterruptedError):
            reader.readinto(buffer)
    assert type(raised.value) is error
    assert got == CONTENT[: 2 * 65_536]
    assert gateway.bytes_sent < 3 * MAX_BLOCK_BYTES
    gateway.faults.clear()
    assert fetch(file, len(got)) == CONTENT[len(got) :]


@pytest.mark.parametrize("fault", [Fault.FORGED, Fault.PAGE, Fault.CUT, Fault.MISSING])
def test_a_broken_root(gateway: TrustlessGateway, shared: requests.Session, fault: Fault) -> None:
    entry = gateway.dag.file(CONTENT)
    gateway.faults[""] = fault
    with pytest.raises(SourceError):
        source(gateway, shared, entry.text).stat()


def test_what_an_identifier_carries_is_not_asked_for(gateway: TrustlessGateway, shared: requests.Session) -> None:
    file = source(gateway, shared, "bafkqac3imvwgy3zao5xxe3de")
    assert (file.stat().size, fetch(file)) == (11, b"hello world")
    assert not gateway.asked


def test_a_reader_waits_for_a_block_until_it_is_told_to_end(
    gateway: TrustlessGateway, shared: requests.Session
) -> None:
    entry = gateway.dag.file(CONTENT)
    file = IpfsSource(f"ipfs://{entry.text}", Gateway(gateway.url, shared))
    file.stat()
    gateway.holding = lambda _: True
    threading.Timer(0.2, file.abort).start()
    began = time.monotonic()
    with pytest.raises(SourceInterruptedError, match="told to end"):
        fetch(file)
    assert time.monotonic() - began < 2


def test_the_guard_stands_before_gateways_too(gateway: TrustlessGateway) -> None:
    with session(Allowance()) as strict, pytest.raises(AddressForbiddenError):
        source(gateway, strict, gateway.dag.file(b"x").text).stat()


def test_no_gateway_there(shared: requests.Session) -> None:
    with TrustlessGateway() as gone:
        entry, url = gone.dag.file(b"x"), gone.url
    with pytest.raises(SourceUnreachableError):
        IpfsSource(f"ipfs://{entry.text}", Gateway(url, shared)).stat()


@pytest.mark.parametrize("what", ["example.com/file", "bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"])
def test_a_url_that_names_no_file(gateway: TrustlessGateway, shared: requests.Session, what: str) -> None:
    with pytest.raises(SourceRefusedError):
        source(gateway, shared, what)


def test_memory_stays_flat(gateway: TrustlessGateway, shared: requests.Session) -> None:
    gateway.dag = Dag(chunk_bytes=262_144, width=174)
    size = 64 * 2**20
    entry = gateway.dag.file(bytes(size))  # whose leaves are one and the same block
    file = source(gateway, shared, entry.text)
    tracemalloc.start()
    with file.open(0, None) as reader:
        buffer, count = memoryview(bytearray(2**20)), 0
        while got := reader.readinto(buffer):
            count += got
        _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == size
    assert peak < 8 * 2**20


def test_a_cut_through_every_block(gateway: TrustlessGateway, shared: requests.Session) -> None:
    entry = gateway.dag.file(CONTENT)
    file = source(gateway, shared, entry.text)
    cuts = sorted({0, len(CONTENT), *random.Random(2).choices(range(len(CONTENT)), k=20)})
    pieces = []
    for begin, end in itertools.pairwise(cuts):
        with file.open(begin, end) as reader:
            pieces.append(read_all(reader, 777))
    assert b"".join(pieces) == CONTENT
