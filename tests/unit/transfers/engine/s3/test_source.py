"""Objects read from stores that do not keep to what they were asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.sources import CONTENT, SIZE, fetch
from tests.origin import Behaviour, ContentRange, Etag, Origin, Ranges
from tests.s3 import S3Server
from transfers.engine.s3 import S3Place, S3Source
from transfers.errors import SourceChangedError, SourceError, SourceInterruptedError, SourceProtocolError

pytestmark = pytest.mark.usefixtures("s3_credentials")


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        origin.add("/bucket/key", CONTENT)
        yield origin


def seen(origin: Origin) -> S3Source:
    """A source that has looked at the honest object."""
    source = S3Source(S3Place("bucket", "", origin.url("")), "key")
    assert source.stat().size == SIZE
    return source


@pytest.mark.parametrize("ranges", [Ranges.IGNORED, Ranges.NONE])
def test_a_whole_in_place_of_a_range(origin: Origin, ranges: Ranges) -> None:
    source = seen(origin)
    origin.behave("/bucket/key", Behaviour(ranges=ranges))
    with pytest.raises(SourceProtocolError):
        fetch(source, 10, 20)


@pytest.mark.parametrize(
    "lie",
    [ContentRange.SHIFTED, ContentRange.OTHER_TOTAL, ContentRange.SHORT, ContentRange.MISSING, ContentRange.GARBAGE],
)
def test_another_range_than_asked(origin: Origin, lie: ContentRange) -> None:
    source = seen(origin)
    origin.behave("/bucket/key", Behaviour(content_range=lie))
    with pytest.raises(SourceError):
        fetch(source, 10, 2000)


@pytest.mark.parametrize("etag", ['"another"', Etag.NONE, Etag.RANDOM])
def test_another_etag_though_it_was_asked_to_match(origin: Origin, etag: str) -> None:
    source = seen(origin)
    origin.behave("/bucket/key", Behaviour(etag=etag))
    with pytest.raises(SourceChangedError):
        fetch(source, 10, 20)


@pytest.mark.parametrize("cut", [0, 1, 5000])
def test_a_body_that_breaks_off(origin: Origin, cut: int) -> None:
    source = seen(origin)
    origin.behave("/bucket/key", Behaviour(cut_after=cut, reset=True))
    with pytest.raises(SourceInterruptedError):
        fetch(source)


def test_a_connection_is_used_again_after_each_range(swift: S3Server) -> None:
    key = swift.new_key()
    swift.plain.put_object(Bucket=swift.place().bucket, Key=key, Body=CONTENT)
    source = S3Source(swift.place(), key)
    assert [fetch(source, offset, offset + 7) for offset in range(20)] == [CONTENT[n : n + 7] for n in range(20)]
