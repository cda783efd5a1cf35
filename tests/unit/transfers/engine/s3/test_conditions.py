"""What is found out about a store's conditions, and that nothing is written over meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest

from tests.s3 import Answer, S3Server, ScriptedStore
from tests.s3.scripted import Asked, refusal
from transfers.engine.s3 import S3Place
from transfers.engine.s3.conditions import Seen, send_guarded
from transfers.engine.s3.exchange import Request, exchange
from transfers.errors import ChangedElsewhereError, SinkError

pytestmark = pytest.mark.usefixtures("s3_credentials", "short_pauses")

OK, GONE = Answer(headers={"ETag": '"new"'}), Answer(status=404)
THERE = Answer(headers={"ETag": '"old"', "Content-Length": "1"})
OTHER = Answer(headers={"ETag": '"other"', "Content-Length": "1"})
REFUSED, UNKNOWN = refusal(412, "PreconditionFailed"), refusal(501, "NotImplemented")
LOOKED = [("HEAD", ""), ("PUT", "")]
NOBODYS = '"00000000000000000000000000000000"'


def write(place: S3Place, version: str = "", key: str = "key", method: str = "PUT") -> str:
    """Write or remove what was seen as this version."""

    def send(condition: Mapping[str, str]) -> object:
        return exchange(place, Request(method, key, headers=condition, body=b"x" if method == "PUT" else b""))

    return send_guarded(Seen(place, key, version), method, send).headers.get("ETag", "")  # type: ignore[arg-type]


def told(asked: Asked) -> tuple[str, str]:
    """A request by its method and condition."""
    return asked.method, asked.headers.get("If-Match", "") or asked.headers.get("If-None-Match", "")


class TestFindingOut:
    """By scripts: (what the store answers, what it must have been asked)."""

    @pytest.mark.parametrize(
        ("version", "answers", "asked", "later"),
        [
            (
                "old",
                [THERE, REFUSED, OK],
                [("HEAD", ""), ("PUT", NOBODYS), ("PUT", '"old"')],
                [("PUT", '"old"')],
            ),
            ("old", [THERE, OK], [("HEAD", ""), ("PUT", NOBODYS)], LOOKED),
            (
                "old",
                [THERE, UNKNOWN, THERE, OK],
                [("HEAD", ""), ("PUT", NOBODYS), *LOOKED],
                LOOKED,
            ),
            ("", [GONE, OK, REFUSED], [("HEAD", ""), ("PUT", "*"), ("PUT", "*")], [("PUT", "*")]),
            ("", [GONE, OK, OK], [("HEAD", ""), ("PUT", "*"), ("PUT", "*")], LOOKED),
            ("", [GONE, UNKNOWN, GONE, OK], [("HEAD", ""), ("PUT", "*"), *LOOKED], LOOKED),
        ],
        ids=["match kept", "match ignored", "match unknown", "none kept", "none ignored", "none unknown"],
    )
    def test_by_the_first_requests(
        self,
        version: str,
        answers: list[Answer],
        asked: list[tuple[str, str]],
        later: list[tuple[str, str]],
    ) -> None:
        again = [THERE if version else GONE, OK] if len(later) == 2 else [OK]
        with ScriptedStore(*answers, *again).serving() as store:
            assert write(store.place, version) == '"new"'
            assert [told(each) for each in store.asked] == asked
            assert write(store.place, version) == '"new"'
            assert [told(each) for each in store.asked[len(asked) :]] == later

    @pytest.mark.parametrize(("version", "found"), [("old", OTHER), ("old", GONE), ("", THERE)])
    def test_what_was_changed_before_is_seen_by_the_look(self, version: str, found: Answer) -> None:
        with ScriptedStore(found).serving() as store:
            with pytest.raises(ChangedElsewhereError):
                write(store.place, version)
            assert {each.method for each in store.asked} == {"HEAD"}

    @pytest.mark.parametrize("refused", [REFUSED, refusal(404, "NoSuchKey")])
    def test_what_is_changed_between_is_refused_by_a_store_that_keeps_conditions(self, refused: Answer) -> None:
        with ScriptedStore(THERE, REFUSED, refused, OTHER).serving() as store:
            with pytest.raises(ChangedElsewhereError):
                write(store.place, "old")
            assert [told(each)[0] for each in store.asked] == ["HEAD", "PUT", "PUT", "HEAD"]
        with ScriptedStore(GONE, REFUSED, OTHER).serving() as store, pytest.raises(ChangedElsewhereError):
            write(store.place)

    def test_a_refusal_of_what_is_as_it_was_is_the_stores_mistake(self) -> None:
        with ScriptedStore(THERE, REFUSED, REFUSED, THERE, OK).serving() as store:
            assert write(store.place, "old") == '"new"'
            assert [told(each) for each in store.asked][3:] == [("HEAD", ""), ("PUT", "")]

    def test_what_was_in_the_way_and_is_gone_by_now(self) -> None:
        with ScriptedStore(GONE, REFUSED, GONE, OK).serving() as store:
            assert write(store.place) == '"new"'
            assert [told(each) for each in store.asked][1:] == [("PUT", "*"), ("HEAD", ""), ("PUT", "*")]

    @pytest.mark.parametrize("code", ["NotImplemented", "InvalidArgument", "InvalidRequest"])
    def test_other_words_for_an_unknown_condition(self, code: str) -> None:
        with ScriptedStore(THERE, refusal(400, code), THERE, OK).serving() as store:
            assert write(store.place, "old") == '"new"'

    def test_other_failures_are_failures(self) -> None:
        with ScriptedStore(THERE, refusal(400, "KeyTooLongError")).serving() as store, pytest.raises(SinkError):
            write(store.place, "old")

    def test_what_one_store_does_says_nothing_of_another(self) -> None:
        with ScriptedStore(GONE, OK, REFUSED).serving() as store:
            write(store.place)
        with ScriptedStore(GONE, OK, OK).serving() as other:
            write(other.place)
            assert other.asked[0].method == "HEAD"


class TestAtAStore:
    """Whatever a store does, what was changed before the request is never written over."""

    @pytest.fixture
    def key(self, store: S3Server) -> str:
        return store.new_key()

    def version(self, store: S3Server, key: str) -> str:
        return exchange(store.place(), Request("HEAD", key)).etag

    def put(self, store: S3Server, key: str, content: bytes) -> str:
        return exchange(store.place(), Request("PUT", key, body=content)).etag

    def test_again_and_again(self, store: S3Server, key: str) -> None:
        for _ in range(3):
            write(store.place(), "", key)
            with pytest.raises(ChangedElsewhereError):
                write(store.place(), "", key)
            assert store.content(key) == b"x"
            old = self.put(store, key, b"old")
            self.put(store, key, b"edited")
            for method in ("PUT", "DELETE"):
                with pytest.raises(ChangedElsewhereError):
                    write(store.place(), old, key, method)
                assert store.content(key) == b"edited"
            write(store.place(), self.version(store, key), key)
            assert store.content(key) == b"x"
            write(store.place(), self.version(store, key), key, "DELETE")
            assert store.content(key) is None

    def test_what_these_servers_do(self, store: S3Server, asked: list[Request]) -> None:
        """Swift keeps `If-None-Match: *`, and `If-Match` of a removal; rclone keeps nothing."""
        keys = [store.new_key() for _ in range(2)]
        versions = {key: self.put(store, key, b"old") for key in keys}
        requests = []
        for key in keys:  # the first ones find out
            asked.clear()
            write(store.place(), versions[key], key)
            write(store.place(), hashlib.md5(b"x", usedforsecurity=False).hexdigest(), key, "DELETE")
            write(store.place(), "", key)
            requests = [each.method for each in asked]
        looks = {"swift": ["HEAD", "PUT", "DELETE", "PUT"], "rclone": ["HEAD", "PUT", "HEAD", "DELETE", "HEAD", "PUT"]}
        assert requests == looks[store.name]
