"""Every hostile origin against the whole service: the right bytes or a clear failure, never a wrong file."""

from __future__ import annotations

import base64
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.exception_handler import STATUSES
from tests.e2e.carryon import Carryon, leftovers_of, sha256
from tests.e2e.client import Answer, Listener
from tests.e2e.resolver import FORBIDDEN
from tests.origin import (
    After,
    Behaviour,
    Certificate,
    ContentRange,
    Etag,
    Framing,
    GeneratedFile,
    LastModified,
    Malformed,
    Origin,
    Ranges,
    Request,
    http_date,
    self_signed,
)
from tests.origin.file import Choose
from transfers.errors import TRANSFER_CODES

SMALL = 3_000_000
LARGE = 40 * 2**20  # three parts, and so several connections
CUT = 1_000_000
FILE = GeneratedFile(SMALL, seed=1)
OTHER = GeneratedFile(SMALL, seed=2)
BIG = GeneratedFile(LARGE, seed=1)
COMPLETED = "completed"
NO_VALIDATOR: dict[str, Any] = {"etag": Etag.NONE, "last_modified": LastModified.NONE}
DATE_ONLY: dict[str, Any] = {"etag": Etag.NONE, "last_modified": LastModified.STRONG}
_TRACE = re.compile(r"Traceback|File \"|Exception|Error\(|0x[0-9a-f]{6}|object at")


@dataclass(frozen=True)
class Row:
    """How an origin behaves, request by request, and what has to come of it."""

    name: str
    behaviours: tuple[Behaviour, ...] = ()
    ends: str = COMPLETED
    """That, or the code of the failure."""
    size: int = SMALL
    file: GeneratedFile | None = None
    """What has to be on disk in the end, when it is not the file of that size that was there at first."""
    resumes_at: int | None = None
    """The offset that the last request has to ask from."""
    begins: bool = True
    """Whether bytes come before a failure; else the start call's answer tells it."""
    at_least_seconds: float = 0


def broken_once(name: str, **then: Any) -> Row:
    """Cut in the middle, then the rest in this manner."""
    return Row(name, (Behaviour(cut_after=CUT), Behaviour(**then)))


def always(name: str, code: str, *, begins: bool = False, **behaviour: Any) -> Row:
    """Fails in the end, because every request is treated so."""
    return Row(name, (Behaviour(**behaviour),), ends=code, begins=begins)


def refused(status: int) -> Row:
    return always(str(status), "source_refused", status=status)


def digest_header(file: GeneratedFile) -> dict[str, str]:
    return {"Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(file.sha256())).decode()}:"}


ROWS = [
    Row("honest"),
    Row("honest and large", size=LARGE),
    Row("empty", size=0),
    Row("one byte", size=1),
    # Ranges
    Row("no ranges", (Behaviour(ranges=Ranges.NONE),)),
    Row("no ranges, cut", (Behaviour(ranges=Ranges.NONE, cut_after=CUT), Behaviour(ranges=Ranges.NONE))),
    Row("no ranges, large", (Behaviour(ranges=Ranges.NONE),), size=LARGE),
    Row("ranges untold", (Behaviour(ranges=Ranges.UNTOLD, cut_after=CUT), Behaviour()), resumes_at=CUT),
    Row("200 to every range", (Behaviour(ranges=Ranges.IGNORED, cut_after=CUT), Behaviour(ranges=Ranges.IGNORED))),
    broken_once("200 to the range of a resume", ranges=Ranges.IGNORED),
    Row(
        "200 to the ranges of a large one",
        (Behaviour(), Behaviour(), Behaviour(ranges=Ranges.IGNORED)),
        size=LARGE,
    ),
    Row("416 to every range", (Behaviour(ranges=Ranges.REFUSED),)),
    Row("416 with the size to every range", (Behaviour(ranges=Ranges.REFUSED_WITH_SIZE),)),
    broken_once("416 to a resume", ranges=Ranges.REFUSED),
    broken_once("416 with the size to a resume", ranges=Ranges.REFUSED_WITH_SIZE),
    Row("416 to the parts of a large one", (Behaviour(), Behaviour(ranges=Ranges.REFUSED)), size=LARGE),
    *(
        Row(f"Content-Range {lie} on a resume", (Behaviour(cut_after=CUT), Behaviour(content_range=lie), Behaviour()))
        for lie in ContentRange
    ),
    *(
        Row(f"Content-Range {lie} always", (Behaviour(content_range=lie),))
        for lie in ContentRange
        if lie != ContentRange.OTHER_TOTAL
    ),
    always("Content-Range other-total always", "source_protocol", content_range=ContentRange.OTHER_TOTAL),
    Row(
        "Content-Range shifted in a large one",
        (Behaviour(), Behaviour(), Behaviour(content_range=ContentRange.SHIFTED), Behaviour()),
        size=LARGE,
    ),
    # Which file it is
    Row("changed during the run", (Behaviour(cut_after=CUT), Behaviour(content=OTHER)), file=OTHER),
    Row(
        "changed during the run, known by its date alone",
        (Behaviour(cut_after=CUT, **DATE_ONLY), Behaviour(content=OTHER, **DATE_ONLY)),
        file=OTHER,
    ),
    Row(
        "changed during the run, If-Range not heeded",
        (Behaviour(cut_after=CUT), Behaviour(content=OTHER, if_range=False)),
        file=OTHER,
    ),
    Row(
        "changed and longer",
        (Behaviour(cut_after=CUT), Behaviour(content=GeneratedFile(SMALL + 7, seed=3))),
        file=GeneratedFile(SMALL + 7, seed=3),
    ),
    Row(
        "changed during a large run",
        (Behaviour(), Behaviour(), Behaviour(content=GeneratedFile(LARGE, seed=5))),
        size=LARGE,
        file=GeneratedFile(LARGE, seed=5),
    ),
    Row("strong ETag", (Behaviour(cut_after=CUT), Behaviour()), resumes_at=CUT),
    Row("date alone", (Behaviour(cut_after=CUT, **DATE_ONLY), Behaviour(**DATE_ONLY)), resumes_at=CUT),
    Row(
        "weak ETag and a strong date",
        (Behaviour(cut_after=CUT, etag=Etag.WEAK), Behaviour(etag=Etag.WEAK)),
        resumes_at=CUT,
    ),
    *(
        Row(name, (Behaviour(cut_after=CUT, **validator), Behaviour(**validator)), resumes_at=0)
        for name, validator in {
            "weak ETag": {"etag": Etag.WEAK, "last_modified": LastModified.NONE},
            "no validator": NO_VALIDATOR,
            "date of this very second": {"etag": Etag.NONE, "last_modified": LastModified.WEAK},
            "date without a clock": {"etag": Etag.NONE, "last_modified": LastModified.NO_DATE},
            "empty ETag": {"etag": '""', "last_modified": LastModified.NONE},
            "ETag without quotes": {"etag": "naked", "last_modified": LastModified.NONE},
        }.items()
    ),
    Row("no validator, changed", (Behaviour(cut_after=CUT, **NO_VALIDATOR), Behaviour(content=OTHER, **NO_VALIDATOR)),
        file=OTHER),
    Row("no validator, large", (Behaviour(**NO_VALIDATOR),), size=LARGE),
    Row("random ETag", (Behaviour(etag=Etag.RANDOM, cut_after=CUT), Behaviour(etag=Etag.RANDOM))),
    Row("random ETag, large", (Behaviour(etag=Etag.RANDOM),), size=LARGE),
    # The form of the answer
    Row("gzip in spite of identity", (Behaviour(gzip=True),)),
    Row("gzip in spite of identity, cut", (Behaviour(gzip=True, cut_after=CUT), Behaviour(gzip=True))),
    broken_once("gzip on a resume", gzip=True),
    Row("no length", (Behaviour(framing=Framing.CLOSE, ranges=Ranges.NONE),)),
    Row("no length, but the size of the range", (Behaviour(framing=Framing.CLOSE, cut_after=CUT), Behaviour())),
    Row(
        "no length, reset",
        (
            Behaviour(framing=Framing.CLOSE, ranges=Ranges.NONE, cut_after=CUT, reset=True),
            Behaviour(framing=Framing.CLOSE, ranges=Ranges.NONE),
        ),
    ),
    Row("chunked", (Behaviour(framing=Framing.CHUNKED),)),
    Row("chunked, no ranges", (Behaviour(framing=Framing.CHUNKED, ranges=Ranges.NONE),)),
    Row(
        "chunked, no ranges, cut",
        (
            Behaviour(framing=Framing.CHUNKED, ranges=Ranges.NONE, cut_after=CUT),
            Behaviour(framing=Framing.CHUNKED, ranges=Ranges.NONE),
        ),
    ),
    Row("chunked, cut", (Behaviour(framing=Framing.CHUNKED, cut_after=CUT), Behaviour()), resumes_at=CUT),
    Row("length too long once", (Behaviour(length_lie=7, ranges=Ranges.NONE), Behaviour(ranges=Ranges.NONE))),
    always("length too long", "source_interrupted", begins=True, length_lie=7, ranges=Ranges.NONE),
    always("length too short", "source_protocol", begins=True, length_lie=-7, ranges=Ranges.NONE),
    *(
        Row(f"length of a resume off by {lie}", (Behaviour(cut_after=CUT), Behaviour(length_lie=lie), Behaviour()))
        for lie in (7, -7)
    ),
    Row("more bytes than announced", (Behaviour(extra_bytes=1000, cut_after=CUT), Behaviour(extra_bytes=1000))),
    *(
        Row(f"malformed once: {how}", (Behaviour(malformed=how), Behaviour()))
        for how in Malformed
        if how != Malformed.NO
    ),
    always("malformed: two lengths", "source_protocol", malformed=Malformed.TWO_LENGTHS),
    always("malformed: not HTTP", "source_protocol", malformed=Malformed.NOT_HTTP),
    always("malformed: nothing", "source_interrupted", malformed=Malformed.EMPTY),
    Row("closes without a word after each answer", (Behaviour(cut_after=CUT), Behaviour(after=After.DROP))),
    # The way of the bytes
    Row("cut at random bytes", (Behaviour(cut_after=1, cut_before=SMALL),)),
    Row("reset at random bytes", (Behaviour(cut_after=1, cut_before=SMALL, reset=True),)),
    Row("cut at random bytes, large", (Behaviour(cut_after=1, cut_before=16 * 2**20),), size=LARGE),
    Row("reset", (Behaviour(cut_after=CUT, reset=True), Behaviour())),
    always("reset before the first byte", "source_interrupted", begins=True, cut_after=0, reset=True),
    Row("stall", (Behaviour(stall_after=CUT), Behaviour()), resumes_at=CUT, at_least_seconds=1),
    Row("stall of a large one", (Behaviour(), Behaviour(stall_after=CUT), Behaviour()), size=LARGE),
    Row("no answer at first", (Behaviour(never_answers=True), Behaviour()), at_least_seconds=1),
    always("no answer ever", "source_interrupted", never_answers=True),
    Row("trickle", (Behaviour(rate=10_000),), size=25_000, at_least_seconds=2),
    Row("head that trickles", (Behaviour(head_rate=1000),)),
    always("head that does not come to its end", "source_interrupted", head_rate=100),
    # Other answers
    Row("429 with Retry-After", (Behaviour(status=429, retry_after="1"), Behaviour()), at_least_seconds=1),
    Row("429 with a Retry-After to come back for", (Behaviour(status=429, retry_after="4"), Behaviour()),
        at_least_seconds=4),
    Row("503 in the middle", (Behaviour(cut_after=CUT), Behaviour(status=503, retry_after="1"), Behaviour()),
        resumes_at=CUT, at_least_seconds=1),
    *(Row(f"{status} once", (Behaviour(status=status), Behaviour())) for status in (408, 425, 429, 500, 502, 503)),
    always("503 always", "source_busy", status=503),
    always("429 always", "source_busy", status=429, retry_after="0"),
    *(refused(status) for status in (400, 401, 403, 404, 410, 451)),
    Row("404 in the middle", (Behaviour(cut_after=CUT), Behaviour(status=404)), ends="source_refused"),
    always("204", "source_protocol", status=204),
    always("redirect loop", "source_refused", redirect="/f"),
    always("redirect to nowhere", "source_refused", redirect="http://[oops/"),
    always("redirect to a private address", "address_forbidden", redirect=f"http://{FORBIDDEN}:9/x"),
    always("redirect to a name with a private address", "address_forbidden", redirect="http://private.test:9/x"),
    always("redirect to the metadata of a cloud", "address_forbidden", redirect="http://169.254.169.254/latest"),
    always("redirect to a file", "address_forbidden", redirect="file:///etc/passwd"),
    Row("redirect to a private address in the middle",
        (Behaviour(cut_after=CUT), Behaviour(redirect=f"http://{FORBIDDEN}:9/x")), ends="address_forbidden"),
    # What is promised
    Row("promised checksum kept", (Behaviour(headers=digest_header(FILE)),)),
    Row(
        "promised checksum broken once",
        (
            Behaviour(content=OTHER, etag='"constant"', headers=digest_header(FILE)),
            Behaviour(etag='"constant"', headers=digest_header(FILE)),
        ),
    ),
    Row(
        "promised checksum broken once, large",
        (
            Behaviour(content=GeneratedFile(LARGE, seed=9), etag='"constant"', headers=digest_header(BIG)),
            Behaviour(etag='"constant"', headers=digest_header(BIG)),
        ),
        size=LARGE,
    ),
    Row(
        "promised checksum never kept",
        (Behaviour(content=OTHER, headers=digest_header(FILE)),),
        ends="checksum_mismatch",
    ),
]  # fmt: skip


class Trial:
    """One download from an origin, from the start call to its last frame."""

    def __init__(self, carryon: Carryon, everything: Listener, name: str) -> None:
        self.carryon, self.everything = carryon, everything
        self.fid = f"{name} {time.monotonic_ns()}"
        self.answer: Answer | None = None
        self.paths: set[Path] = set()

    def start(self, url: str, **options: Any) -> Answer:
        self.began = time.monotonic()
        self.url = url
        self.answer = self.carryon.admin.start(url, self.fid, **options)
        return self.answer

    def check_completed(self, file: GeneratedFile) -> dict[str, Any]:
        """The bytes on disk are the file's, and everything that is told agrees."""
        assert self.answer is not None
        frame = self.everything.wait_for_end(self.fid, since=self.began)
        assert frame.status == "STREAM_COMPLETED", frame.message
        path = Path(frame.data["savePath"])
        self.paths.add(path)
        assert path.stat().st_size == file.size
        assert sha256(path) == file.sha256()
        # A file that came in faster than it could be hashed has its checksums a little later.
        detail = self.carryon.admin.wait_for(self.answer.id, lambda detail: detail["storedFile"]["sha256"])
        assert (detail["state"], detail["downloaded"], detail["totalSize"]) == (COMPLETED, file.size, file.size)
        assert (detail["storedFile"]["sha256"], detail["storedFile"]["md5"]) == (file.sha256(), file.md5())
        assert (detail["error"], detail["errorCode"]) == ("", "")
        assert leftovers_of(path) == []
        assert re.fullmatch(r"bytes=\d+-", self.range_told())
        return detail

    def check_failed(self, code: str, *, begins: bool) -> str:
        """The failure is told in the event and, when nothing had come yet, in the answer; its text."""
        assert self.answer is not None
        frame = self.everything.wait_for_end(self.fid, since=self.began)
        assert frame.status == "STREAM_FAIL", frame.message
        text = str(frame.data["error"])
        assert frame.data["code"] == code, frame.data
        assert text.startswith("Error: ")
        assert len(text) > len("Error: ")
        assert not _TRACE.search(text), text
        if self.answer.status == 200:
            assert begins
            assert self.answer.body["status"] == "success"
        else:
            assert self.answer.status == STATUSES[TRANSFER_CODES[code]]
            event = {"action": "stream_status", "status": "STREAM_FAIL", "data": frame.data}
            assert self.answer.body == {"status": "fail", "errmsg": "STREAM_FAIL", "errors": event, "errDev": {}}
        (row,) = self.carryon.admin.listed(fid=self.fid)
        assert (row["state"], row["errorCode"]) == ("failed", code)
        assert not Path(row["savePath"]).exists()
        return text

    def range_told(self) -> str:
        """Where the first attempt that got bytes began."""
        told = [frame.message for frame in self.everything.frames(self.fid, since=self.began)]
        return next(str(message["Range"]) for message in told if "Range" in message)


@pytest.fixture
def trial(carryon: Carryon, everything: Listener, request: pytest.FixtureRequest) -> Iterator[Trial]:
    trial = Trial(carryon, everything, re.sub(r"[^\w]+", "-", request.node.name))
    yield trial
    for path in trial.paths:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_hostile_origin(trial: Trial, origin: Origin, row: Row) -> None:
    file = FILE if row.size == SMALL else GeneratedFile(row.size, seed=1)
    trial.start(origin.add("/f", file, *row.behaviours))
    if row.ends == COMPLETED:
        trial.check_completed(row.file or file)
    else:
        trial.check_failed(row.ends, begins=row.begins or row.ends in ("source_refused", "address_forbidden"))
    assert time.monotonic() - trial.began >= row.at_least_seconds
    if row.resumes_at is not None:
        assert asked_from(origin.requests_for("/f")[-1]) == row.resumes_at


def asked_from(request: Request) -> int:
    match = re.match(r"bytes=(\d+)-", request.headers.get("range", "bytes=0-"))
    assert match
    return int(match[1])


def test_refusals_are_asked_once(trial: Trial, origin: Origin) -> None:
    trial.start(origin.add("/f", FILE, Behaviour(status=404)))
    assert "404" in trial.check_failed("source_refused", begins=False)
    assert len(origin.requests) == 1
    assert trial.answer is not None
    assert trial.answer.seconds < 5


# Between runs


@pytest.mark.parametrize("validator", [{}, DATE_ONLY, {"etag": Etag.WEAK}, NO_VALIDATOR], ids=str)
@pytest.mark.parametrize("other", [OTHER, GeneratedFile(SMALL + 1, seed=4)], ids=["same size", "other size"])
def test_changed_between_two_runs(
    trial: Trial, origin: Origin, validator: dict[str, Any], other: GeneratedFile
) -> None:
    url = half_fetched(trial, origin, Behaviour(**validator))
    origin.replace("/f", other)
    trial.start(url)
    detail = trial.check_completed(other)
    assert detail["bytesFetched"] >= other.size


def test_unchanged_between_two_runs(trial: Trial, origin: Origin) -> None:
    url = half_fetched(trial, origin, Behaviour())
    trial.start(url)
    trial.check_completed(FILE)
    assert trial.range_told() == f"bytes={CUT}-"
    assert asked_from(origin.requests_for("/f")[-1]) == CUT


def half_fetched(trial: Trial, origin: Origin, behaviour: Behaviour) -> str:
    """Stop a download when just the bytes before CUT are there."""
    url = origin.add("/f", FILE, behaviour)
    gate = origin.gate("/f", at=CUT)
    download = trial.start(url).id
    trial.carryon.admin.wait_for(download, lambda detail: detail["downloaded"] == CUT)
    trial.carryon.admin.stop(url, trial.fid)
    assert trial.everything.wait_for_end(trial.fid).data == {"error": "Error: aborted", "reason": "stopped"}
    gate.open()
    origin.cut()
    return url


def test_a_finished_file_is_not_fetched_again_until_it_changes(trial: Trial, origin: Origin) -> None:
    url = origin.add("/f", FILE)
    trial.start(url)
    path = Path(trial.check_completed(FILE)["savePath"])
    origin.forget()
    trial.start(url)
    trial.check_completed(FILE)
    assert origin.fetched("/f") <= 1
    origin.replace("/f", OTHER)
    trial.start(url)
    assert Path(trial.check_completed(OTHER)["savePath"]) == path
    path.write_bytes(b"somebody else's")
    trial.start(url)
    trial.check_completed(OTHER)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_a_file_that_is_another_at_every_request(trial: Trial, origin: Origin, size: int) -> None:
    versions = [GeneratedFile(size, seed=seed) for seed in (11, 12)]
    choose: Choose = lambda request: Behaviour(  # noqa: E731
        content=versions[request.number % 2], cut_after=CUT if request.number < 3 else None
    )
    trial.start(origin.add("/f", versions[0], choose=choose))
    frame = trial.everything.wait_for_end(trial.fid)
    assert frame.status == "STREAM_COMPLETED", frame.message
    assert sha256(frame.data["savePath"]) in {version.sha256() for version in versions}


# Where it leads


@pytest.mark.parametrize(
    "url",
    [
        f"http://{FORBIDDEN}:9/x",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:9/x",
        "http://0.0.0.0:9/x",
        "http://2130706434:9/x",  # 127.0.0.2
        "http://10.1.2.3/x",
        "http://both.test:9/x",
        "http://private.test:9/x",
    ],
)
def test_a_private_address(trial: Trial, url: str) -> None:
    assert trial.start(url).status == 403
    trial.check_failed("address_forbidden", begins=False)


def test_no_connection_is_made_to_where_a_redirect_may_not_lead(trial: Trial, origin: Origin) -> None:
    with listening_on(FORBIDDEN) as (port, accepted):
        for hop in ("http://127.0.0.2", "http://private.test", "http://both.test"):
            trial.start(origin.add("/f", FILE, Behaviour(redirect=f"{hop}:{port}/x")))
            trial.check_failed("address_forbidden", begins=False)
        assert accepted == []


def test_a_name_that_moves_to_a_private_address_at_once(trial: Trial, origin: Origin) -> None:
    """Looked up a second time to connect, it would lead there: the connection goes to the address that was judged."""
    with listening_on(FORBIDDEN, origin.port) as (_, accepted):
        origin.add("/f", FILE)
        trial.start(origin.url("/f", host="rebinds-at-once.test"))
        trial.check_completed(FILE)
        assert accepted == []


def test_a_name_that_moves_to_a_private_address_in_the_middle(trial: Trial, origin: Origin) -> None:
    with listening_on(FORBIDDEN, origin.port) as (_, accepted):
        origin.add("/f", FILE, Behaviour(cut_after=CUT), Behaviour())
        trial.start(origin.url("/f", host="rebinds-later.test"))
        trial.check_failed("address_forbidden", begins=True)
        assert accepted == []
        assert len(origin.requests_for("/f")) == 1


@contextmanager
def listening_on(address: str, port: int = 0) -> Iterator[tuple[int, list[object]]]:
    """A server that only counts its clients."""
    accepted: list[object] = []

    def accept() -> None:
        while True:
            try:
                connection, client = server.accept()
            except OSError:
                return
            accepted.append(client)
            connection.close()

    with socket.create_server((address, port)) as server:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1], accepted
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_redirects_that_lead_to_the_file(trial: Trial, origin: Origin) -> None:
    origin.add("/f", FILE, Behaviour(cut_after=CUT), Behaviour())
    trial.start(origin.chain("/hop", "/f", hops=4))
    trial.check_completed(FILE)
    assert asked_from(origin.requests_for("/f")[-1]) == CUT


def test_an_unknown_name(trial: Trial) -> None:
    assert trial.start("http://unknown.test/f").status == 502
    assert "unknown.test" in trial.check_failed("source_unreachable", begins=False)


def test_a_refused_connection(trial: Trial, origin: Origin) -> None:
    url = origin.add("/f", FILE)
    origin.down()
    assert trial.start(url).status == 502
    assert "refused" in trial.check_failed("source_unreachable", begins=False)


def test_a_connection_refused_for_a_while_in_the_middle(trial: Trial, origin: Origin) -> None:
    url = origin.add("/f", FILE)
    gate = origin.gate("/f", at=CUT)
    download = trial.start(url).id
    trial.carryon.admin.wait_for(download, lambda detail: detail["downloaded"] == CUT)
    origin.down()
    origin.cut()
    trial.carryon.admin.wait_for(download, lambda detail: len(detail["attempts"]) >= 2)
    gate.open()
    origin.up()
    trial.check_completed(FILE)


@pytest.mark.parametrize("expired", [False, True], ids=["self-signed", "expired"])
def test_tls_that_cannot_be_trusted(trial: Trial, tmp_path: Path, *, expired: bool) -> None:
    with Origin(tls=self_signed(tmp_path, expired=expired)) as origin:
        assert trial.start(origin.add("/f", FILE)).status == 502
        assert "certificate" in trial.check_failed("source_unreachable", begins=False)
        assert origin.requests == []


def test_tls_that_can_be_trusted(trial: Trial, certificate: Certificate) -> None:
    with Origin(tls=certificate) as origin:
        trial.start(origin.add("/f", BIG, Behaviour(cut_after=CUT), Behaviour(cut_after=CUT, reset=True), Behaviour()))
        trial.check_completed(BIG)


def test_tls_where_there_is_none(trial: Trial, origin: Origin) -> None:
    trial.start(origin.add("/f", FILE).replace("http:", "https:"))
    assert "TLS" in trial.check_failed("source_unreachable", begins=False)


# Waiting as asked, and secrets


def test_retry_after_as_a_date(trial: Trial, origin: Origin) -> None:
    date = http_date(2)
    trial.start(origin.add("/f", FILE, Behaviour(status=503, retry_after=date), Behaviour()))
    trial.check_completed(FILE)
    first, second = origin.requests_for("/f")
    assert second.at - first.at >= 0.9  # the date has whole seconds


def test_user_and_password_are_used_and_never_told(trial: Trial, origin: Origin) -> None:
    origin.add("/f", FILE, Behaviour(credentials="ann:s3cr3t", cut_after=CUT), Behaviour(credentials="ann:s3cr3t"))
    bare = origin.url("/f")
    heard = len(trial.carryon.service.output)
    answer = trial.start(bare.replace("http://", "http://ann:s3cr3t@"))
    detail = trial.check_completed(FILE)
    assert (answer.data["fileUrl"], detail["fileUrl"]) == (bare, bare)
    told = [frame.text for frame in trial.everything.frames()]
    assert not any("s3cr3t" in text for text in (*told, str(detail), trial.carryon.service.output[heard:]))
    databases = list(trial.carryon.data_dir.glob("carryon.sqlite3*"))
    assert databases
    assert not any(b"s3cr3t" in path.read_bytes() for path in databases)


def test_a_wrong_password(trial: Trial, origin: Origin) -> None:
    trial.start(origin.add("/f", FILE, Behaviour(credentials="ann:right")).replace("http://", "http://ann:wr0ng@"))
    text = trial.check_failed("source_refused", begins=False)
    assert "401" in text
    assert "wr0ng" not in text
