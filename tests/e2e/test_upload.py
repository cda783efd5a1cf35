"""Files sent in parts to the running service: in any order, by many at once, cut anywhere, refused in time."""

from __future__ import annotations

import http.cookiejar
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests import battery
from tests.chaos import ChaosProxy, Ending, Faults
from tests.e2e.carryon import Carryon, running_carryon
from tests.e2e.test_full_disk import DISK_BYTES, fill, small_disk
from tests.e2e.uploads import (
    BOUNDARY,
    Answer,
    File,
    Form,
    Uploads,
    Wire,
    at_the_same_time,
    md5,
    md5s,
    part_form,
    told_of,
)
from tests.servers import manage, web_server
from tests.service import wait_until

MIB = 2**20
AWAITED = MIB
"""Bodies up to this size are awaited whole; larger ones are read from the socket as they come."""
LARGE = 3 * MIB
AT_ONCE_SECONDS = 5
"""What "at once" may take on a busy machine."""


def content_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture(scope="module")
def ann(carryon: Carryon) -> Uploads:
    return Uploads(carryon.service.url, carryon.user("ann").token)


@pytest.fixture(scope="module")
def bob(carryon: Carryon) -> Uploads:
    return Uploads(carryon.service.url, carryon.user("bob").token)


@pytest.fixture(scope="module")
def staff(carryon: Carryon) -> Uploads:
    return Uploads(carryon.service.url, carryon.admin.token)


@pytest.fixture
def files(carryon: Carryon) -> Path:
    """Where the service keeps files."""
    return carryon.data_dir / "files"


def folder_of(files: Path, upload: int) -> Path:
    """Where the parts of the upload lie."""
    return files / ".uploads" / str(upload)


def names_in(folder: Path) -> set[str]:
    """What lies in an upload's folder, beside the locks of its parts."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


# Parts, in any order and by many at once -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["part", "put"])
@pytest.mark.parametrize("order", [(1, 2, 3, 4), (4, 3, 2, 1), (2, 4, 1, 3)], ids=str)
def test_parts_in_any_order(ann: Uploads, files: Path, order: tuple[int, ...], way: str) -> None:
    sizes = {1: LARGE, 2: LARGE, 3: LARGE, 4: 12_345}
    parts = {number: content_of(size, number) for number, size in sizes.items()}
    upload = ann.begin(fileSize=sum(sizes.values()))
    for number in order:
        assert getattr(ann, way)(upload, number, parts[number]).data["md5string"] == md5(parts[number])
        assert number in ann.stored(upload)
    told = ann.finished(upload, md5s(parts))
    assert ann.content(told) == b"".join(parts.values())
    assert not folder_of(files, upload).exists()


def test_parts_in_parallel_twice_and_mixed_with_a_look_at_them(ann: Uploads) -> None:
    parts = {number: content_of(300_000 + number, number) for number in range(1, 25)}
    upload = ann.begin()
    looking = threading.Event()

    def look() -> None:
        while not looking.wait(0.05):
            assert all(md5s(parts)[number] == told for number, told in ann.stored(upload).items())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(2):
            ann.send(upload, parts, connections=8)
    finally:
        looking.set()
        watcher.join()
    assert ann.content(ann.finished(upload, md5s(parts))) == b"".join(parts.values())


@pytest.mark.parametrize("size", [1000, LARGE], ids=["small", "large"])
def test_many_who_send_one_part_at_once_leave_one_of_theirs_whole(ann: Uploads, size: int) -> None:
    contents = [content_of(size, seed) for seed in range(6)]
    upload = ann.begin()
    for _ in range(battery.rounds(2, 20)):
        calls = [lambda content=content: ann.part(upload, 1, content) for content in contents]  # type: ignore[misc]
        assert [answer.data["md5string"] for answer in at_the_same_time(calls)] == [md5(each) for each in contents]
        assert ann.stored(upload)[1] in {md5(each) for each in contents}
    kept = ann.stored(upload)
    told = ann.finished(upload, kept)
    assert md5(ann.content(told)) == kept[1]


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_two_who_send_one_part_and_end_in_turn(ann: Uploads, *, first_ends_first: bool) -> None:
    upload = ann.begin()
    contents = [content_of(LARGE, seed) for seed in (1, 2)]
    with ann.wire() as first, ann.wire() as second:
        wires = [(first, contents[0]), (second, contents[1])]
        encoded = [b"".join(ann.request(part_form(upload, 1, content))) for content in contents]
        for (wire, _), request in zip(wires, encoded, strict=True):
            wire.send(request[: 2 * MIB])
        time.sleep(0.3)
        order = [0, 1] if first_ends_first else [1, 0]
        for turn in order:
            wire, content = wires[turn]
            wire.send(encoded[turn][2 * MIB :])
            assert wire.answer().data["md5string"] == md5(content)
            assert ann.stored(upload) == {1: md5(content)}
    last = contents[order[-1]]
    assert ann.content(ann.finished(upload, md5s({1: last}))) == last


def test_many_who_complete_at_once_are_told_the_same(ann: Uploads) -> None:
    for turn in range(battery.rounds(5, 60)):
        parts = {number: content_of(1000, number * 100 + turn) for number in range(1, 6)}
        upload = ann.begin()
        ann.send(upload, parts)
        answers = at_the_same_time([lambda upload=upload, parts=parts: ann.complete(upload, md5s(parts))] * 8)  # type: ignore[misc]
        first = told_of(answers[0])
        assert [told_of(answer) for answer in answers] == [first] * 8
        assert told_of(ann.complete(upload, md5s(parts))) == first
        assert ann.content(first) == b"".join(parts.values())


def test_complete_takes_the_same_time_for_any_size(ann: Uploads, files: Path) -> None:
    """No byte is moved: the file is the very inode that the parts were written to."""
    part = bytes(16 * MIB)
    upload = ann.begin()
    for number in (2, 3, 1):
        assert ann.put(upload, number, part).status == 200
    inode = (folder_of(files, upload) / "data").stat().st_ino
    answer = ann.complete(upload, md5s(dict.fromkeys((1, 2, 3), part)))
    assert answer.data["size"] == 48 * MIB
    assert inode in {path.stat().st_ino for path in files.rglob("film*.mov")}
    assert ann.ask("DELETE", "").status == 405


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("odd", [False, True], ids=["parts of one size", "parts of odd sizes"])
def test_ten_thousand_parts(ann: Uploads, *, odd: bool) -> None:
    parts = {number: b"%05d" % number * (1 + number % 3 if odd else 1) for number in range(1, 10_001)}
    upload = ann.begin()
    seconds = {}
    with ann.wire() as wire:
        for number, content in parts.items():
            began = time.monotonic()
            path = f"/ehealth-base/multipart/upload/{upload}/parts/{number}"
            wire.send(*ann.head("PUT", path, len(content)), content)
            assert wire.answer().data["md5string"] == md5(content)
            seconds[number] = time.monotonic() - began
    early, late = (sorted(seconds[n] for n in range(start, start + 100))[50] for start in (100, 9_900))
    answer = ann.complete(upload, md5s(parts))
    print(f"{early * 1000:.1f} ms at part 100, {late * 1000:.1f} ms at part 9,900, completed in {answer.seconds:.2f} s")
    assert ann.content(answer.data) == b"".join(parts.values())
    assert late < 3 * early
    assert answer.seconds < 20


# Cut off -------------------------------------------------------------------------------------------------------------


def places_of(pieces: list[bytes], content: bytes) -> dict[str, int]:
    """After how many bytes of the request to cut, by where that is."""
    ends = [sum(map(len, pieces[: count + 1])) for count in range(len(pieces))]
    begin = b"".join(pieces).index(content)
    end = begin + len(content)
    places = {f"after piece {number}": place for number, place in enumerate(ends[:-1])}
    places |= {"in the request line": 9, "in a header": ends[0] + 5, "before the last header's end": ends[7] - 3}
    places |= {"a byte of the data": begin + 1, "half the data": begin + len(content) // 2, "all but a byte": end - 1}
    places |= {f"{count} of the closing delimiter": end + count for count in range(len(f"\r\n--{BOUNDARY}-"))}
    return places


@pytest.mark.parametrize("ending", list(Ending))
@pytest.mark.parametrize("before", [None, b"as it was"], ids=["fresh", "stored before"])
@pytest.mark.parametrize("size", [5_000, AWAITED + 200_000], ids=["awaited", "streamed"])
def test_a_part_that_is_cut_anywhere_leaves_it_as_it_was(
    ann: Uploads, files: Path, size: int, before: bytes | None, ending: Ending
) -> None:
    upload = ann.begin()
    content = content_of(size)
    if before is not None:
        ann.send(upload, {1: before})
    kept = {} if before is None else md5s({1: before})
    pieces = ann.request(part_form(upload, 1, content))
    request = b"".join(pieces)
    places = places_of(pieces, content)
    sample = places if battery.LONG else dict(random.Random(str(ending)).sample(sorted(places.items()), 14))
    for place, count in sample.items():
        with ann.wire() as wire:
            wire.send(request[:count])
            wire.cut(ending)
            if ending is Ending.HALF_CLOSE:
                with suppress(ConnectionError):
                    refused_or_nothing(wire)
        assert ann.stored(upload) == kept, place
    wait_until(lambda: names_in(folder_of(files, upload)) <= {"journal", "data"}, 10)
    assert ann.stored(upload) == kept
    assert ann.part(upload, 1, content).data["md5string"] == md5(content)
    assert ann.content(ann.finished(upload, md5s({1: content}))) == content


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_a_part_whose_end_was_seen_is_there_whole_or_not_at_all(ann: Uploads, missing: int) -> None:
    content = content_of(LARGE)
    upload = ann.begin()
    request = b"".join(ann.request(part_form(upload, 1, content)))
    for ending in (Ending.FIN, Ending.RESET, Ending.HALF_CLOSE):
        with ann.wire() as wire:
            wire.send(request[:-missing])
            wire.cut(ending)
        time.sleep(0.1)
        assert ann.stored(upload) in ({}, md5s({1: content}))
    ann.send(upload, {1: content})
    assert ann.content(ann.finished(upload, md5s({1: content}))) == content


def refused_or_nothing(wire: Wire) -> None:
    """Whoever has ended their side can still be told why nothing was stored."""
    if not (line := wire.line()):
        return
    assert int(line.split()[1]) == 400


@pytest.mark.parametrize("ending", [Ending.FIN, Ending.RESET])
def test_put_that_is_cut_anywhere_leaves_it_as_it_was(ann: Uploads, files: Path, ending: Ending) -> None:
    upload = ann.begin()
    content = content_of(LARGE)
    ann.send(upload, {1: b"as it was"})
    head = b"".join(ann.head("PUT", f"/ehealth-base/multipart/upload/{upload}/parts/1", LARGE))
    for count in (0, 1, 100_000, LARGE // 2, LARGE - 1):
        with ann.wire() as wire:
            wire.send(head, content[:count])
            wire.cut(ending)
        assert ann.stored(upload) == md5s({1: b"as it was"})
    wait_until(lambda: names_in(folder_of(files, upload)) <= {"journal", "data"}, 10)
    assert ann.stored(upload) == md5s({1: b"as it was"})


@pytest.mark.long
@pytest.mark.parametrize("size", [5_000, LARGE], ids=["awaited", "streamed"])
def test_a_client_that_falls_silent_is_given_up(ann: Uploads, files: Path, size: int) -> None:
    """After a minute; nothing of what it sent is kept."""
    upload = ann.begin()
    request = b"".join(ann.request(part_form(upload, 1, content_of(size))))
    with ann.wire() as wire:
        wire.send(request[: size // 2])
        answer = wire.answer(seconds=90)
        answer.problem(400, "body_cut_off")
        assert 50 < answer.seconds < 80
    assert ann.stored(upload) == {}
    assert names_in(folder_of(files, upload)) <= {"journal", "data"}


def test_a_bad_line_that_is_cut_again_and_again(ann: Uploads) -> None:
    """A client that sends each part until it is told that it is there gets its file through."""
    parts = {number: content_of(400_000, number) for number in range(1, 9)}
    upload = ann.begin()
    chance = random.Random(5)
    host, port = ann.url.removeprefix("http://").split(":")
    with ChaosProxy((host, int(port))) as proxy:
        beyond = Uploads(f"http://127.0.0.1:{proxy.port}", ann.token)
        for number, content in parts.items():
            for attempt in range(5):
                cut = None if attempt == 4 else chance.randrange(450_000)
                proxy.set(Faults(cut_after_sent=cut, ending=chance.choice([Ending.FIN, Ending.RESET])))
                with suppress(requests.RequestException):
                    beyond.part(upload, number, content)
            assert ann.stored(upload)[number] == md5(content)
    assert ann.content(ann.finished(upload, md5s(parts))) == b"".join(parts.values())


def test_ending_it_while_a_part_comes_in(ann: Uploads, files: Path) -> None:
    upload = ann.begin()
    ann.send(upload, {1: b"x"})
    request = b"".join(ann.request(part_form(upload, 2, content_of(LARGE))))
    with ann.wire() as wire:
        wire.send(request[: 2 * MIB])
        wait_until(lambda: "data" in names_in(folder_of(files, upload)), 10)
        assert ann.abort(upload).data == {"fileId": upload, "aborted": True}
        ann.state(upload).problem(404, "no_such_upload")
        wire.send(request[2 * MIB :])
        wire.answer().problem(404, "no_such_upload")
    wait_until(lambda: not folder_of(files, upload).exists(), 10)


def test_completing_it_while_a_part_comes_in(ann: Uploads, files: Path) -> None:
    parts = {1: content_of(LARGE), 2: b"the end"}
    upload = ann.begin()
    ann.send(upload, parts)
    late = {number: b"".join(ann.request(part_form(upload, number, content_of(LARGE, 9)))) for number in (1, 3)}
    with ann.wire() as first, ann.wire() as second:
        for wire, request in zip((first, second), late.values(), strict=True):
            wire.send(request[: 2 * MIB])
        time.sleep(0.3)
        told = ann.finished(upload, md5s(parts))
        for wire, request in zip((first, second), late.values(), strict=True):
            wire.send(request[2 * MIB :])
            wire.answer().problem(409, "upload_ended")
    assert ann.content(told) == b"".join(parts.values())
    assert not folder_of(files, upload).exists()


# Refused in time -----------------------------------------------------------------------------------------------------


def offered(client: Uploads, method: str, path: str, *pieces: bytes, **headers: str) -> Answer:
    """The answer to a body of a terabyte of which only these bytes are sent."""
    with client.wire() as wire:
        wire.send(*client.head(method, path, 2**40, **headers), *pieces)
        return wire.answer(seconds=AT_ONCE_SECONDS)


def test_nobody_is_told_so_before_the_body(ann: Uploads) -> None:
    address = "/ehealth-base/multipart/upload"
    for nobody in (Uploads(ann.url, ""), Uploads(ann.url, "0" * 64)):
        form = {"Content-Type": Form([]).content_type}
        assert offered(nobody, "POST", address, **form).status == 401
        assert offered(nobody, "PUT", f"{address}/1/parts/1").status == 401
        assert offered(nobody, "PUT", f"{address}/1/parts/1", Expect="100-continue").status == 401


def test_what_is_refused_is_refused_before_the_body(ann: Uploads, bob: Uploads) -> None:
    address = "/ehealth-base/multipart/upload"
    upload = ann.begin()
    for client, number, part, status in (
        (ann, upload, 1, 413),
        (ann, upload, 0, 400),
        (ann, upload, 10_001, 400),
        (bob, upload, 1, 404),
        (ann, upload + 10_000, 1, 404),
    ):
        assert offered(client, "PUT", f"{address}/{number}/parts/{part}").status == status
        assert offered(client, "PUT", f"{address}/{number}/parts/{part}", Expect="100-continue").status == status
    assert ann.stored(upload) == {}


def test_a_form_that_is_refused_is_refused_before_its_file(ann: Uploads, bob: Uploads) -> None:
    address = "/ehealth-base/multipart/upload"
    upload = ann.begin()
    for client, number, part, status in (
        (ann, upload, 1, 413),
        (ann, upload, 10_001, 400),
        (bob, upload, 1, 404),
    ):
        form = part_form(number, part, b"the beginning")
        pieces = form.pieces[:-3]
        answer = offered(client, "POST", address, *pieces, **{"Content-Type": form.content_type})
        assert answer.status == status
    assert ann.stored(upload) == {}


def test_a_connection_lives_on_after_a_refusal(ann: Uploads) -> None:
    """The rest of the body is read past, and the next request is understood."""
    upload = ann.begin()
    content = content_of(LARGE)
    refused = b"".join(ann.request(part_form(upload, 10_001, content)))
    fine = b"".join(ann.request(part_form(upload, 1, content)))
    with ann.wire() as wire:
        for _ in range(3):
            wire.send(refused)
            wire.answer().problem(400, "invalid_input")
            wire.send(fine)
            assert wire.answer().data["md5string"] == md5(content)


def test_many_parts_on_one_connection(ann: Uploads) -> None:
    upload = ann.begin()
    sizes = [LARGE, 10, 0, AWAITED, AWAITED + 1, 5, LARGE]
    parts = {number: content_of(size, number) for number, size in enumerate(sizes, 1)}
    with ann.wire() as wire:
        sender = threading.Thread(
            target=lambda: [wire.send(*ann.request(part_form(upload, n, each))) for n, each in parts.items()]
        )
        sender.start()  # pipelined: none of them waits for an answer
        for number, content in parts.items():
            assert wire.answer().data == {"fileId": upload, "part": number, "md5string": md5(content)}
        sender.join()
    assert ann.content(ann.finished(upload, md5s(parts))) == b"".join(parts.values())


# Limits, on a service that has some ----------------------------------------------------------------------------------

MAX_BYTES, MAX_PART_BYTES, QUOTA_BYTES = 30 * MIB, 10 * MIB, 40 * MIB


@dataclass(frozen=True)
class Limited:
    """A web process with limits, on a small disk where that can be had."""

    url: str
    data_dir: Path
    variables: dict[str, str]

    def user(self, name: str) -> Uploads:
        token = manage(self.data_dir, "create_token", "--user", name, **self.variables).splitlines()[-1]
        return Uploads(self.url, token)


@contextmanager
def limited_web(data_dir: Path, **variables: str) -> Iterator[Limited]:
    with web_server(data_dir, **variables) as url:
        yield Limited(url, data_dir, variables)


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    variables = {
        "UPLOAD_MAX_BYTES": str(MAX_BYTES),
        "UPLOAD_MAX_PART_BYTES": str(MAX_PART_BYTES),
        "USER_QUOTA_BYTES": str(QUOTA_BYTES),
    }
    with limited_web(tmp_path_factory.mktemp("limited"), **variables) as running:
        yield running


def test_limits_are_told_before_the_bytes_come(limited: Limited) -> None:
    cyd, dan = limited.user("cyd"), limited.user("dan")
    cyd.initiate(fileSize=MAX_BYTES + 1).problem(413, "too_large")
    upload = cyd.begin(fileSize=MAX_BYTES)
    cyd.initiate(fileSize=QUOTA_BYTES - MAX_BYTES + 1).problem(413, "quota_exceeded")
    address = f"/ehealth-base/multipart/upload/{upload}/parts/1"
    for size, code in ((MAX_PART_BYTES + 1, "too_large"), (2**40, "too_large")):
        with cyd.wire() as wire:
            wire.send(*cyd.head("PUT", address, size))
            wire.answer(seconds=AT_ONCE_SECONDS).problem(413, code)
    open_ended = cyd.begin()
    with cyd.wire() as wire:
        wire.send(*cyd.head("PUT", address.replace(str(upload), str(open_ended), 1), MAX_PART_BYTES))
        assert not sends_anything(wire, 0.5), "there is just room for it"
        wire.send(bytes(MAX_PART_BYTES))
        assert wire.answer().status == 200
    cyd.put(open_ended, 2, b"x").problem(413, "quota_exceeded")
    dan.upload(b"another user's quota is another one")
    cyd.abort(upload)
    cyd.put(open_ended, 2, b"x").data  # noqa: B018 - there is room again


def sends_anything(wire: Wire, seconds: float) -> bool:
    wire.socket.settimeout(seconds)
    try:
        return bool(wire.socket.recv(1))
    except TimeoutError:
        return False


def test_a_web_process_that_is_told_to_leave_amid_a_part(tmp_path: Path) -> None:
    """It leaves in time, whatever its clients do, and keeps what was whole."""
    with ExitStack() as stack:
        with limited_web(tmp_path) as web:
            eve = web.user("eve")
            upload = eve.begin()
            eve.send(upload, {1: b"whole"})
            wires = [stack.enter_context(eve.wire()) for _ in range(3)]
            for wire in wires:
                wire.send(b"".join(eve.request(part_form(upload, 2, content_of(LARGE))))[: 2 * MIB])
            time.sleep(0.3)
        assert all(wire.is_ended() for wire in wires)
        with limited_web(tmp_path) as web:
            again = Uploads(web.url, eve.token)
            assert again.stored(upload) == md5s({1: b"whole"})
            again.send(upload, {2: b"too"})
            assert again.finished(upload, md5s({1: b"whole", 2: b"too"}))["size"] == 8


# A full disk ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Uploads, Path]]:
    """Somebody whose files go to a small disk."""
    with small_disk(tmp_path_factory.mktemp("disk")) as disk:
        variables = {"FILES_ROOT": str(disk)}
        with limited_web(tmp_path_factory.mktemp("full"), **variables) as web:
            yield web.user("fay"), disk


def test_what_does_not_fit_is_told_before_it_comes(full: tuple[Uploads, Path]) -> None:
    fay, _ = full
    fay.initiate(fileSize=DISK_BYTES + 1).problem(507, "out_of_space")
    upload = fay.begin()
    with fay.wire() as wire:
        wire.send(*fay.head("PUT", f"/ehealth-base/multipart/upload/{upload}/parts/1", DISK_BYTES + 1))
        wire.answer(seconds=AT_ONCE_SECONDS).problem(507, "out_of_space")
    assert fay.stored(upload) == {}
    fay.abort(upload)


@pytest.mark.parametrize("before", [None, b"as it was"], ids=["fresh", "stored before"])
def test_a_disk_that_fills_up_under_a_part(full: tuple[Uploads, Path], before: bytes | None) -> None:
    fay, disk = full
    upload = fay.begin()
    if before is not None:
        fay.send(upload, {1: before})
    kept = {} if before is None else md5s({1: before})
    content = content_of(8 * MIB)
    request = b"".join(fay.request(part_form(upload, 1, content)))
    with fay.wire() as wire:
        wire.send(request[: 2 * MIB])
        wait_until(lambda: used(disk / ".uploads") > MIB, 10)
        fill(disk / "filler")
        wire.send(request[2 * MIB :])
        wire.answer().problem(507, "out_of_space")
    assert fay.stored(upload) == kept
    (disk / "filler").unlink()
    fay.send(upload, {1: content})
    assert fay.content(fay.finished(upload, md5s({1: content}))) == content
    for path in disk.rglob("film*.mov"):
        path.unlink()


def used(folder: Path) -> int:
    """Bytes that the files below really take."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


# Memory and disk -----------------------------------------------------------------------------------------------------


@contextmanager
def watched_memory(pid: int) -> Iterator[Callable[[], float]]:
    """How many MiB more the process has had at most, during the block, than at its beginning."""
    process = psutil.Process(pid)
    before = peak = process.memory_info().rss
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: (peak - before) / MIB
    finally:
        over.set()
        watcher.join()


def test_what_is_sent_at_the_beginning_is_never_kept(carryon: Carryon, ann: Uploads, files: Path) -> None:
    content = bytes(64 * MIB)
    form = Form([("option", "initiate"), ("catalog", "a"), ("file", File(content, "film.mov"))])
    ann.upload(content_of(LARGE))
    before = used(files)
    with watched_memory(carryon.pid("web")) as grown:
        upload = ann.post(form).data["fileId"]
    print(f"{grown():.1f} MiB more for 64 MiB")
    assert grown() < 16
    assert ann.stored(upload) == {}
    assert used(files) - before < MIB


@pytest.mark.parametrize("way", ["part", "put"])
def test_memory_does_not_grow_with_the_part(carryon: Carryon, ann: Uploads, way: str) -> None:
    content = bytes(64 * MIB)
    upload = ann.begin()
    getattr(ann, way)(upload, 1, content[:LARGE])
    with watched_memory(carryon.pid("web")) as grown:
        for number in (1, 2):  # in place, and beside what is there
            assert getattr(ann, way)(upload, number, content).status == 200
    print(f"{grown():.1f} MiB more for parts of 64 MiB")
    assert grown() < 16
    ann.abort(upload)


# Who one is ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        lambda token: {"Authorization": f"Token {token}"},
        lambda token: {"Authorization": f"Bearer {token}"},
        lambda token: {"X-Access-Token": token},
        lambda token: {"Token": token},
        lambda token: {"HTTP_TOKEN": token},
        lambda token: {"Cookie": f"X-Access-Token={token}"},
        lambda token: {"Cookie": f"X-Access-Token={token}", "Sec-Fetch-Site": "same-origin"},
    ],
    ids=["Token", "Bearer", "X-Access-Token", "Token header", "HTTP_TOKEN", "cookie", "cookie of a browser"],
)
def test_a_token_in_each_of_its_forms(ann: Uploads, form: Callable[[str], dict[str, str]]) -> None:
    client = Uploads(ann.url, "", form(ann.token))
    upload = client.begin()
    parts = {1: content_of(LARGE), 2: b"x"}
    assert client.finished(upload, client.send(upload, parts))["size"] == LARGE + 1


def test_the_token_cookie_from_another_site_is_refused(ann: Uploads) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        client = Uploads(ann.url, "", {"Cookie": f"X-Access-Token={ann.token}", **headers})
        client.initiate().problem(403, "permission_denied")
        with client.wire() as wire:
            wire.send(*client.head("PUT", "/ehealth-base/multipart/upload/1/parts/1", 2**40))
            assert wire.answer(seconds=AT_ONCE_SECONDS).status == 403


def test_a_session_with_its_csrf_token(carryon: Carryon, ann: Uploads) -> None:
    password = carryon.service.told("password")
    name = carryon.service.told("user") or "admin"
    session = requests.Session()
    page = f"{ann.url}/login"
    session.get(page, timeout=20).raise_for_status()
    form = {"username": name, "password": password, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    assert session.post(page, data=form, timeout=20, allow_redirects=False).status_code == 302
    cookies = "; ".join(f"{each.name}={each.value}" for each in cookies_of(session.cookies))
    without = Uploads(ann.url, "", {"Cookie": cookies})
    without.initiate().problem(403, "permission_denied")
    with_token = Uploads(ann.url, "", {"Cookie": cookies, "X-CSRFToken": session.cookies["csrftoken"]})
    upload = with_token.begin()
    without.part(upload, 1, content_of(LARGE)).problem(403, "permission_denied")
    assert with_token.finished(upload, with_token.send(upload, {1: content_of(LARGE)}))["size"] == LARGE


def cookies_of(jar: http.cookiejar.CookieJar) -> list[http.cookiejar.Cookie]:
    return list(jar)


# The whole file's MD5, and what is here already ----------------------------------------------------------------------


def file_of(client: Uploads, told: dict[str, Any]) -> dict[str, Any]:
    """What is known of a finished file once its checksums were taken."""
    url = told["url"].removesuffix("/content")

    def known() -> dict[str, Any]:
        found: dict[str, Any] = requests.get(url, headers=client.headers, timeout=20).json()
        return found

    wait_until(lambda: known()["sha256"], 30)
    return known()


def test_the_whole_is_verified_and_then_need_not_be_sent_again(ann: Uploads, bob: Uploads, staff: Uploads) -> None:
    content = content_of(LARGE, 77)
    facts = {"fileSize": LARGE, "md5": md5(content)}
    right = ann.upload(content, **facts)
    assert file_of(ann, right)["verified"] is True
    again = ann.initiate("again.mov", "elsewhere", **facts).data
    assert (again["completed"], again["id"]) == (True, right["id"])
    assert ann.content(again) == content
    for other in (bob, staff):
        assert "completed" not in other.initiate(**facts).data
    wrong = ann.upload(content_of(LARGE, 78), **{**facts, "md5": md5(b"something else")})
    assert file_of(ann, wrong)["verified"] is False
    assert "completed" not in ann.initiate(**{**facts, "md5": md5(b"something else")}).data
    untold = ann.upload(content_of(LARGE, 79))
    assert file_of(ann, untold)["verified"] is None


# Expiry --------------------------------------------------------------------------------------------------------------


def test_what_is_left_lying_expires_and_what_is_sent_to_does_not(tmp_path: Path) -> None:
    expiry_seconds = 4
    variables = {"UPLOAD_EXPIRY_DAYS": str(expiry_seconds / 86_400), "SWEEP_SECONDS": "0.5", "REAP_SECONDS": "0.5"}
    with running_carryon(tmp_path, **variables) as carryon:
        gus = Uploads(carryon.service.url, carryon.user("gus").token)
        left, kept, finished = (gus.begin() for _ in range(3))
        for upload in (left, kept, finished):
            gus.send(upload, {1: b"x"})
        told = gus.finished(finished, md5s({1: b"x"}))
        with gus.wire() as wire:
            request = b"".join(gus.request(part_form(left, 2, content_of(LARGE))))
            wire.send(request[: 2 * MIB])
            deadline = time.monotonic() + expiry_seconds + 15
            while gus.state(left).status == 200:
                assert time.monotonic() < deadline
                gus.send(kept, {1: b"x"})
                time.sleep(0.5)
            wire.send(request[2 * MIB :])
            wire.answer().problem(404, "no_such_upload")
        files = carryon.data_dir / "files"
        wait_until(lambda: not folder_of(files, left).exists(), 15)
        assert gus.stored(kept) == md5s({1: b"x"})
        assert gus.content(told) == b"x"
        assert json.dumps(gus.state(finished).data["expiresOn"]) == "null"
