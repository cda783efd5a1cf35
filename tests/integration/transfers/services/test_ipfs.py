"""IPFS as the services have it: what is taken without and with a gateway, and whether something can be fetched."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings
from rest_framework.exceptions import ErrorDetail

from tests.integration.transfers.rows import new_download, use
from tests.ipfs import Dag, Fault, TrustlessGateway
from transfers import folders
from transfers.engine import ipfs
from transfers.errors import SourceRefusedError
from transfers.serializers.download import DownloadRequestSerializer
from transfers.services.ipfs import reachable
from transfers.tasks.source import source_of

CID = "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


@pytest.fixture
def gateway(settings: Settings) -> Iterator[TrustlessGateway]:
    with TrustlessGateway(Dag(chunk_bytes=1000)) as running:
        use(settings, ipfs_gateway_url=running.url, fetch_allow=[])
        yield running


def refusal(url: str) -> list[ErrorDetail] | None:
    """What the caller is told of the field, None when it is taken."""
    asked = DownloadRequestSerializer(data={"fileUrl": url, "cid": "studio"})
    return None if asked.is_valid() else asked.errors["fileUrl"]


def test_without_a_gateway_such_urls_are_refused() -> None:
    assert refusal(f"ipfs://{CID}") == ["ipfs URLs cannot be fetched here: no IPFS gateway is configured"]
    assert refusal("https://media.example/film.mov") is None


def test_with_a_gateway_such_urls_are_taken(gateway: TrustlessGateway) -> None:
    assert refusal(f"ipfs://{CID}/a/b.txt") is None
    assert refusal(f"IPFS://{CID}/a/b.txt") is None
    assert refusal("ipfs://media.example/film.mov") == ["must name a content identifier after ipfs://"]
    assert refusal(f"ipns://{CID}") == ["must be an http or https URL with a host"]
    assert refusal(f"ipfs://{CID}/a b") is not None
    assert refusal(f"ipfs://{CID}/a\u202eb") is not None


@pytest.mark.django_db
def test_a_download_is_limited_by_its_gateway(gateway: TrustlessGateway, settings: Settings) -> None:
    download = new_download(url=f"ipfs://{CID}", url_shown=f"ipfs://{CID}")
    assert download.host == gateway.url.removeprefix("http://")
    use(settings, ipfs_gateway_url="https://user:password@Gateway.example/below")
    assert download.host == "gateway.example"


@pytest.mark.django_db
def test_the_scheme_chooses_the_source(gateway: TrustlessGateway, settings: Settings) -> None:
    download = new_download(url=f"ipfs://{CID}", url_shown=f"ipfs://{CID}")
    with source_of(download) as source:
        assert isinstance(source, ipfs.IpfsSource)
    use(settings, ipfs_gateway_url="")
    with pytest.raises(SourceRefusedError, match="no IPFS gateway"):
        source_of(download)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"ipfs://{CID}", CID),
        (f"ipfs://{CID}/", CID),
        (f"ipfs://{CID}/a/film.mov", "film.mov"),
        (f"ipfs://{CID}/a%20b?filename=c", "a b"),
    ],
)
def test_what_a_file_is_called(url: str, name: str) -> None:
    assert folders.safe_name(url) == name


def test_what_can_be_fetched(gateway: TrustlessGateway) -> None:
    entry = gateway.dag.file(bytes(10_000))
    answer = reachable(cid=entry.text)
    assert (answer.reachable, answer.why_not) == (True, "")
    assert len(gateway.asked) == 1, "only the root is asked for"


@pytest.mark.parametrize(
    ("fault", "why_not"),
    [
        (Fault.MISSING, "HTTP 404"),
        (Fault.BUSY, "HTTP 503"),
        (Fault.FORGED, "other bytes"),
        (Fault.SILENT, "in 0.3 s|for 0.3 s"),
        (Fault.CUT, "before the end"),
    ],
)
def test_what_cannot_be_fetched(gateway: TrustlessGateway, fault: Fault, why_not: str) -> None:
    entry = gateway.dag.file(bytes(10_000))
    gateway.faults[""] = fault
    began = time.monotonic()
    answer = reachable(cid=entry.text, timeout_seconds=0.3)
    assert time.monotonic() - began < 3
    assert not answer.reachable
    assert re.search(why_not, answer.why_not), answer


def test_a_gateway_that_drips_is_not_waited_for(gateway: TrustlessGateway) -> None:
    entry = gateway.dag.file(bytes(10_000))
    gateway.faults[""] = Fault.DRIPPING
    answer = reachable(cid=entry.text, timeout_seconds=0.5)
    assert (answer.reachable, answer.seconds < 3) == (False, True)
    assert "no whole block in 0.5 s" in answer.why_not


@pytest.mark.parametrize("cid", ["", "nothing", "Qm", f"ipfs://{CID}"])
def test_what_is_no_identifier(gateway: TrustlessGateway, cid: str) -> None:
    assert not reachable(cid=cid).reachable
    assert not gateway.asked


def test_nothing_can_be_fetched_without_a_gateway(tmp_path: Path) -> None:
    assert "no IPFS gateway" in reachable(cid=CID).why_not


@pytest.mark.parametrize(("host", "reached"), [("127.0.0.1", True), ("localhost", True), ("localhost.", False)])
def test_only_a_gateway_on_this_network_is_allowed_by_being_named(
    gateway: TrustlessGateway,
    settings: Settings,
    host: str,
    reached: bool,  # noqa: FBT001
) -> None:
    """A name with dots is not: whoever owns it could let it lead to any address here."""
    use(settings, ipfs_gateway_url=gateway.url.replace("127.0.0.1", host))
    assert reachable(cid=gateway.dag.file(b"here").text).reachable is reached
    assert bool(gateway.asked) is reached
