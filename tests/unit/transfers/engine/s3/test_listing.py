"""Listings: page by page, in order, whole or not at all; nothing in them is believed that cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import battery
from tests.s3 import BUCKET, Answer, S3Server, ScriptedStore
from tests.s3.scripted import refusal
from transfers.engine.s3 import S3Place, listing
from transfers.engine.s3.exchange import MAX_ANSWER_BYTES, Request, exchange
from transfers.engine.s3.listing import Listed, listed_objects, read_page
from transfers.errors import SourceBusyError, SourceProtocolError, SourceRefusedError, SourceUnreachableError

pytestmark = pytest.mark.usefixtures("s3_credentials", "short_pauses")

OBJECTS = [Listed("p/a", 1, "etag"), Listed("p/b", 2, "etag-2")]


def page(objects: Sequence[Listed] = OBJECTS, *, token: str = "", more: str = "", encoded: bool = True) -> bytes:
    """A page as S3 writes it."""
    contents = "".join(
        f"<Contents><Key>{quote_plus(each.key) if encoded else escape(each.key)}</Key>"
        f"<LastModified>2026-11-21T08:00:00.000Z</LastModified><ETag>&quot;{each.etag}&quot;</ETag>"
        f"<Size>{each.size}</Size><Owner><ID>Key</ID><DisplayName>Size</DisplayName></Owner>"
        "<StorageClass>STANDARD</StorageClass></Contents>\n"
        for each in objects
    )
    following = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    encoding = "<EncodingType>url</EncodingType>" if encoded else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>bucket</Name><Prefix>p%2F</Prefix>{following}<KeyCount>{len(objects)}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"{encoding}<IsTruncated>{str(bool(token)).lower()}</IsTruncated>{contents}{more}</ListBucketResult>"
    ).encode()


def declared(declaration: bytes, name: bytes) -> bytes:
    """A page with a document type, and with an entity in its first key."""
    return b"<!DOCTYPE ListBucketResult " + declaration + b">" + page().split(b"\n", 1)[1].replace(b"p%2Fa", name)


def listed(*pages: bytes | Answer) -> list[Listed]:
    """What the pages tell."""
    answers = [each if isinstance(each, Answer) else Answer(body=each) for each in pages]
    with ScriptedStore(*answers).serving() as store:
        return list(listed_objects(store.place, "p/"))


class TestAtAStore:
    @pytest.fixture(params=["swift", "rclone"])
    def bucket(self, request: pytest.FixtureRequest) -> tuple[S3Server, int, int]:
        """A server, and how many keys on how many pages of so many it is to list."""
        server: S3Server = request.getfixturevalue(request.param)
        is_slow = server.name == "swift" and not battery.LONG
        return (server, 520, 100) if is_slow else (server, 5_000, 1_000)

    def test_thousands_of_keys_page_by_page(
        self, bucket: tuple[S3Server, int, int], asked: list[Request], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server, count, per_page = bucket
        place = S3Place(BUCKET, server.new_key(), server.url)
        keys = [place.key(f"{number % 7}/é {number:05}+%&.txt") for number in range(count)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda key: exchange(place, Request("PUT", key, body=key.encode())), keys))
        exchange(place, Request("PUT", place.key_prefix.rstrip("/") + "-beside", body=b"x"))
        asked.clear()
        monkeypatch.setattr(listing, "KEYS_PER_PAGE", per_page)
        found = list(listed_objects(place, place.key_prefix))
        assert [each.key for each in found] == sorted(keys, key=str.encode)
        assert {each.key: each.size for each in found} == {key: len(key.encode()) for key in keys}
        assert len({each.etag for each in found}) == count
        assert [(each.method, each.key) for each in asked] == [("GET", None)] * -(-count // per_page)

    def test_the_first_few(self, store: S3Server) -> None:
        place = S3Place(BUCKET, store.new_key(), store.url)
        for name in "cab":
            exchange(place, Request("PUT", place.key(name), body=b"x"))
        assert [each.key for each in listed_objects(place, place.key_prefix, most=2)] == [
            place.key("a"),
            place.key("b"),
        ]

    def test_nothing(self, store: S3Server) -> None:
        assert list(listed_objects(store.place(), "nothing/")) == []

    def test_no_such_bucket(self, store: S3Server) -> None:
        with pytest.raises(SourceRefusedError, match="there is no such bucket"):
            list(listed_objects(S3Place("nowhere", "", store.url), ""))


class TestPages:
    def test_one_after_the_other(self) -> None:
        first, second, third = ([Listed(f"p/{page}{n}", n, "e") for n in range(3)] for page in "abc")
        store = ScriptedStore(
            Answer(body=page(first, token="t 1+/=")), Answer(body=page(second, token="2")), Answer(body=page(third))
        )
        with store.serving():
            assert list(listed_objects(store.place, "p/")) == [*first, *second, *third]
        assert ["continuation-token" in asked.path for asked in store.asked] == [False, True, True]
        assert "continuation-token=t%201%2B%2F%3D&encoding-type=url&list-type=2" in store.asked[1].path
        assert {asked.method for asked in store.asked} == {"GET"}

    def test_no_page_is_asked_for_before_it_is_needed(self) -> None:
        store = ScriptedStore(Answer(body=page(token="2")), Answer(body=page([Listed("p/c", 1, "e")])))
        with store.serving():
            found = listed_objects(store.place, "p/")
            assert [next(found), next(found)] == OBJECTS
            assert len(store.asked) == 1
            assert len(list(found)) == 1

    def test_a_page_of_nothing_between_others(self) -> None:
        assert listed(page([], token="2"), page()) == OBJECTS

    def test_a_page_that_fails_is_asked_for_again(self) -> None:
        cut = Answer(body=page()[:100], headers={"Content-Length": str(len(page()))}, close=True)
        assert listed(page(token="2"), refusal(503, "SlowDown"), Answer(drop=True), cut, page([])) == OBJECTS

    def test_a_failure_between_pages_is_never_an_end(self) -> None:
        with pytest.raises(SourceBusyError):
            listed(page(token="2"), refusal(503, "SlowDown"))
        with pytest.raises(SourceRefusedError):
            listed(page(token="2"), refusal(403, "AccessDenied"))

    def test_nobody_there(self) -> None:
        with ScriptedStore(Answer()).serving() as store:
            place = store.place
        with pytest.raises(SourceUnreachableError):
            list(listed_objects(place, ""))

    @pytest.mark.parametrize(
        "pages",
        [
            [page([OBJECTS[1], OBJECTS[0]])],
            [page([OBJECTS[0], OBJECTS[0]])],
            [page(token="2"), page()],
            [page([], token="2"), page([], token="2")],
            [page([Listed("q/a", 1, "e")])],
            [page([Listed("p", 1, "e")])],
        ],
        ids=["order", "twice", "page twice", "token twice", "another prefix", "less than the prefix"],
    )
    def test_what_is_no_listing_of_the_prefix_is_refused(self, pages: list[bytes]) -> None:
        with pytest.raises(SourceProtocolError):
            listed(*pages)

    def test_a_page_without_end_is_not_read(self) -> None:
        with pytest.raises(SourceProtocolError, match="more than"):
            listed(page(more=" " * MAX_ANSWER_BYTES))


class TestReading:
    @given(keys=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=8))
    def test_any_keys(self, keys: list[str]) -> None:
        objects = [Listed(key, len(key), f"{number}-e") for number, key in enumerate(keys)]
        assert read_page(page(objects)).objects == objects

    @given(key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
    def test_both_ways_to_encode_a_space(self, key: str) -> None:
        text = page([Listed("KEY", 1, "e")]).decode()
        for encoded in (quote(key), quote(key, safe=""), quote_plus(key)):
            assert read_page(text.replace("KEY", encoded).encode()).objects == [Listed(key, 1, "e")]

    def test_keys_that_are_not_encoded(self) -> None:
        objects = [Listed("a+b%41 <&>\"' é", 1, "e")]
        assert read_page(page(objects, encoded=False)).objects == objects

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html><body>Welcome to this hotel</body></html>",
            page().replace(b"ListBucketResult", b"ListAllMyBucketsResult"),
            page().replace(b"<IsTruncated>false</IsTruncated>", b""),
            page().replace(b"<IsTruncated>false</IsTruncated>", b"<IsTruncated></IsTruncated>"),
            page()[:-5],
            page() + page(),
            page().replace(b"<Key>", b"<Kay>").replace(b"</Key>", b"</Kay>"),
            page().replace(b"<Size>1</Size>", b"<Size>many</Size>"),
            page().replace(b"<ETag>", b"<Tag>").replace(b"</ETag>", b"</Tag>"),
            page(token="2").replace(b"NextContinuationToken", b"NextMarker"),
            page().replace(b"p%2Fa", b"p%2F%FF"),
            page([Listed("p/\1", 1, "e")], encoded=False),
            declared(b'[<!ENTITY e "&#112;/x">]', b"&e;"),
            declared(b'SYSTEM "file:///etc/passwd"', b"p%2Fa"),
            page().replace(b"p%2Fa", b"&undeclared;"),
        ],
        ids=[
            *(
                "nothing",
                "html",
                "another answer",
                "no end",
                "an end in silence",
                "cut",
                "two",
                "no key",
                "no size",
                "no etag",
                "no token",
            ),
            *("not utf-8", "control character", "entity", "external", "undeclared"),
        ],
    )
    def test_what_cannot_be_read_is_a_failure(self, body: bytes) -> None:
        with pytest.raises(SourceProtocolError, match="cannot be read"):
            listed(body)

    def test_entities_are_not_expanded(self) -> None:
        laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
        bomb = declared(f'[<!ENTITY l0 "lol">{laughs}]'.encode(), b"&l11;")
        with pytest.raises(SourceProtocolError, match="cannot be read"):
            listed(bomb)
