"""Parts that the store takes from where they lie: on a strict store, a sloppy one, and one that answers anything."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.s3 import BUCKET, Answer, S3Server, ScriptedStore
from tests.s3.scripted import refusal
from tests.unit.transfers.engine.archive.building import zipped
from transfers.engine.archive import ArchiveSource, Layout, Member, Method
from transfers.engine.base import LocatedSource, ObjectRange
from transfers.engine.copying import Watch, WholePlan, copy
from transfers.engine.plan import MIB, Plan
from transfers.engine.s3 import S3Place, S3Sink, S3Source, part_copies
from transfers.engine.s3.part_copies import copy_part, forget_stores
from transfers.engine.s3.uploads import Target, begin_upload
from transfers.errors import MemberError, SinkError

pytestmark = pytest.mark.usefixtures("s3_credentials")

LARGE = random.Random(31).randbytes(17 * MIB)
SMALL = random.Random(32).randbytes(1000)
PART = 5 * MIB


@pytest.fixture(autouse=True)
def _new_stores() -> Iterator[None]:
    forget_stores()
    yield
    forget_stores()


def member(name: str, content: bytes) -> Member:
    return Member(name, len(content), zlib.crc32(content), 0, Method.STORED, len(content))


def put(store: S3Server, content: bytes) -> str:
    key = store.new_key()
    store.plain.put_object(Bucket=BUCKET, Key=key, Body=content)
    return key


def located(store: S3Server, content: bytes, offset: int, end: int) -> ObjectRange:
    """A range of an object with this content."""
    source = S3Source(store.place(), put(store, content))
    source.stat()
    assert isinstance(source, LocatedSource)
    found = source.stored_at(offset, end)
    assert found is not None
    return found


def target_in(store: S3Server) -> Target:
    return begin_upload(store.place(), store.new_key(), "application/zip")


class Order:
    """An archive of a small object, a large one and a small one that is built in the store."""

    def __init__(self, store: S3Server) -> None:
        self.store = store
        self.keys = [put(store, content) for content in (SMALL, LARGE, SMALL[1:])]
        members = [member("a", SMALL), member("b", LARGE), member("c", SMALL[1:])]
        self.layout = Layout.of(members)
        self.whole = zipped(dict(zip(members, (SMALL, LARGE, SMALL[1:]), strict=True)))
        self.key = store.new_key()
        self.sink = S3Sink(store.place(), self.key, generation=self.layout.validator)
        self.plan = Plan(self.layout.size, PART)

    def build(self) -> Watch:
        source = ArchiveSource(self.layout, lambda number: S3Source(self.store.place(), self.keys[number]))
        self.sink.begin(self.plan)
        stored = self.sink.stored_parts()
        watch = Watch(self.plan, stored)
        copy(source, self.sink, WholePlan(self.plan, stored), watch)
        self.sink.complete(self.layout.size)
        return watch


def test_an_archive_is_built_in_the_store(store: S3Server) -> None:
    order = Order(store)
    watch = order.build()
    assert store.content(order.key) == order.whole
    assert watch.moved == order.layout.size


def test_most_of_a_large_member_is_not_read_where_the_store_can_copy(swift: S3Server) -> None:
    order = Order(swift)
    watch = order.build()
    assert [part.number for part in order.plan] == [1, 2, 3, 4]
    assert watch.fetched == order.layout.size - 2 * PART, "parts 2 and 3 lie within the member"


def test_who_follows_a_copy_is_told_of_parts_that_were_copied(swift: S3Server) -> None:
    order = Order(swift)
    told: list[int] = []
    order.sink.begin(order.plan)
    source = ArchiveSource(order.layout, lambda number: S3Source(swift.place(), order.keys[number]))
    copy(source, order.sink, WholePlan(order.plan, {}), Watch(order.plan, {}, follow=told.append))
    assert {2 * PART, 3 * PART, order.layout.size} <= set(told)
    assert told == sorted(told)


def test_a_part_is_copied_and_told_so(swift: S3Server) -> None:
    target = target_in(swift)
    part = copy_part(target, 1, located(swift, LARGE, 1000, 1000 + PART))
    assert part is not None
    assert (part.size, part.copied) == (PART, True)


@pytest.mark.parametrize("change", [{"etag": "0" * 32}, {"key": "nothing/here"}, {"bucket": "nobodys"}], ids=str)
def test_what_is_not_there_as_it_was_is_to_be_read(store: S3Server, change: dict[str, str]) -> None:
    wanted = located(store, LARGE, 0, PART)
    assert copy_part(target_in(store), 1, replace(wanted, **change)) is None  # type: ignore[arg-type]


def test_another_store_is_not_even_asked(swift: S3Server) -> None:
    wanted = located(swift, LARGE, 0, PART)
    assert copy_part(target_in(swift), 1, replace(wanted, endpoint_url="http://127.0.0.1:9")) is None
    assert copy_part(target_in(swift), 1, replace(wanted, end=PART - 1)) is None, "nor is one for so little"


def test_a_member_that_was_replaced_is_told_with_its_number(store: S3Server) -> None:
    order = Order(store)
    order.layout = Layout.of([member("a", SMALL), member("b", LARGE + b"x"), member("c", SMALL[1:])])
    order.plan = Plan(order.layout.size, PART)
    with pytest.raises(MemberError) as raised:
        order.build()
    assert raised.value.number == 1


@pytest.mark.parametrize("when", ["before it is copied", "while it is"])
def test_a_member_that_is_replaced_between_two_parts(swift: S3Server, when: str) -> None:
    order = Order(swift)
    other = random.Random(33).randbytes(len(LARGE))

    class Replaced(S3Source):
        def stored_at(self, offset: int, end: int) -> ObjectRange | None:
            wanted = super().stored_at(offset, end)
            if offset > PART:
                swift.plain.put_object(Bucket=BUCKET, Key=order.keys[1], Body=other)
            return wanted

    def source(number: int) -> S3Source:
        return (Replaced if when == "while it is" else S3Source)(swift.place(), order.keys[number])

    def follow(frontier: int) -> None:
        if when == "before it is copied" and frontier == 2 * PART:
            swift.plain.put_object(Bucket=BUCKET, Key=order.keys[1], Body=other)

    order.sink.begin(order.plan)
    with pytest.raises(MemberError) as raised:
        copy(
            ArchiveSource(order.layout, source),
            order.sink,
            WholePlan(order.plan, {}),
            Watch(order.plan, {}, follow=follow),
        )
    assert raised.value.number == 1


# What stores answer ---------------------------------------------------------------------------------------------------

ETAG = "d41d8cd98f00b204e9800998ecf8427e"
COPIED = Answer(
    body=f'<CopyPartResult><ETag>"{ETAG}"</ETag></CopyPartResult>'.encode(), headers={"Content-Type": "application/xml"}
)


def listed(size: int, etag: str = ETAG) -> Answer:
    body = f"<Part><PartNumber>1</PartNumber><Size>{size}</Size><ETag>{etag}</ETag></Part>"
    return Answer(
        body=f"<ListPartsResult>{body}</ListPartsResult>".encode(), headers={"Content-Type": "application/xml"}
    )


def origin(etag: str) -> Answer:
    return Answer(headers={"ETag": f'"{etag}"'})


def ask(*answers: Answer) -> tuple[bool, ScriptedStore]:
    """Whether a part was copied, by a store that answers so."""
    with ScriptedStore(*answers).serving() as store:
        place = store.place
        part_copies._able.add(place)  # or it would be tried out first
        wanted = ObjectRange(place.bucket, "from", "abc", 10, 10 + PART, place.endpoint_url)
        return copy_part(Target(place, "to", "id"), 1, wanted) is not None, store


def test_what_is_asked_and_looked_at() -> None:
    copied, store = ask(COPIED, listed(PART), origin("abc"))
    assert copied
    assert [asked.method for asked in store.asked] == ["PUT", "GET", "HEAD"]
    headers = {name.lower(): value for name, value in store.asked[0].headers.items()}
    assert headers["x-amz-copy-source"] == "bucket/from"
    assert headers["x-amz-copy-source-range"] == f"bytes=10-{9 + PART}"
    assert headers["x-amz-copy-source-if-match"] == '"abc"'


@pytest.mark.parametrize(
    "answers",
    [
        (COPIED, listed(PART + 10), origin("abc")),
        (COPIED, listed(0), origin("abc")),
        (COPIED, listed(PART, "other"), origin("abc")),
        (COPIED, listed(PART), origin("another")),
        (COPIED, listed(PART), refusal(404, "NoSuchKey")),
        (refusal(412, "PreconditionFailed"),),
        (refusal(404, "NoSuchKey"),),
        (refusal(403, "AccessDenied"),),
        (refusal(501, "NotImplemented"),),
    ],
    ids=["the whole", "nothing", "other bytes", "replaced", "removed", "412", "404", "403", "501"],
)
def test_a_store_that_does_otherwise_is_found_out(answers: tuple[Answer, ...]) -> None:
    copied, _ = ask(*answers)
    assert not copied


BEGUN = Answer(
    body=b"<InitiateMultipartUploadResult><UploadId>trial</UploadId></InitiateMultipartUploadResult>",
    headers={"Content-Type": "application/xml"},
)
GONE = Answer(status=204)


@pytest.mark.parametrize("answers", [(refusal(501, "NotImplemented"),), (Answer(),), (COPIED, listed(0))])
def test_a_store_that_cannot_is_tried_once_and_not_with_the_part_itself(answers: tuple[Answer, ...]) -> None:
    with ScriptedStore(BEGUN, *answers, GONE).serving() as store:
        wanted = ObjectRange("bucket", "from", "abc", 0, 2 * PART, store.place.endpoint_url)
        assert [copy_part(Target(store.place, "to", "id"), number, wanted) for number in (1, 2)] == [None, None]
        assert len(store.asked) == len(answers) + 2
        assert not [asked for asked in store.asked if "uploadId=id" in asked.path]
        assert (store.asked[-1].method, "uploadId=trial" in store.asked[-1].path) == ("DELETE", True)


def test_a_store_that_can_is_tried_once() -> None:
    answers = (BEGUN, COPIED, listed(PART), origin("abc"), GONE, *(COPIED, listed(2 * PART), origin("abc")) * 2)
    with ScriptedStore(*answers).serving() as store:
        wanted = ObjectRange("bucket", "from", "abc", 7, 7 + 2 * PART, store.place.endpoint_url)
        assert all(copy_part(Target(store.place, "to", "id"), 1, wanted) for _ in range(2))
        assert len(store.asked) == len(answers)


def test_a_trial_with_an_object_that_was_replaced_tells_nothing_of_the_store() -> None:
    with ScriptedStore(BEGUN, refusal(412, "PreconditionFailed"), GONE, BEGUN, COPIED).serving() as store:
        wanted = ObjectRange("bucket", "from", "abc", 0, PART, store.place.endpoint_url)
        assert copy_part(Target(store.place, "to", "id"), 1, wanted) is None
        assert store.place not in part_copies._unable


def test_a_store_that_fails_is_a_failure() -> None:
    with pytest.raises(SinkError):
        ask(refusal(500, "InternalError"))


def test_of_an_object_that_nobody_looked_at_nothing_is_told() -> None:
    assert S3Source(S3Place("bucket"), "key").stored_at(0, 10) is None
