"""Files arrive whole whatever fails, nothing is sent twice, and what cannot be done is told in words."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

import pytest

from carryon import upload
from tests.origin import self_signed
from tests.unit.carryon.conftest import Command
from tests.unit.carryon.stub import Fault, Stub, md5, problem

RESET = Fault()
GONE = Fault(404, body=problem(404, "no_such_upload", "There is no such upload."))


def parts_sent(stub: Stub) -> list[int]:
    """The numbers of the parts that requests came for."""
    return sorted(int(seen.path.rpartition("/")[2]) for seen in stub.seen if seen.kind == "part")


def state(tmp_path: Path) -> dict[str, object]:
    """What is remembered of the one server."""
    path = tmp_path / "state" / "carryon" / "uploads.json"
    servers = json.loads(path.read_text())["servers"]
    (remembered,) = servers.values() if servers else ({},)
    return dict(remembered)


def test_an_upload(carryon: Command, stub: Stub, file: Path, tmp_path: Path) -> None:
    told = carryon.upload("--catalog", "scans", "--notes", "second visit", "--mode", "31", file)
    there = stub.uploads[100]
    assert (told.code, there.content, there.completed) == (0, file.read_bytes(), True)
    assert there.fields == {
        "option": "initiate",
        "catalog": "scans",
        "mode": "31",
        "notes": "second visit",
        "fileName": "holiday.mov",
        "fileSize": "105",
        "md5": md5(file.read_bytes()),
    }
    assert told.one == {
        "file": str(file),
        "status": "done",
        "code": "",
        "error": "",
        "id": "f100",
        "fileId": 100,
        "name": "holiday.mov",
        "url": f"{stub.url}/files/f100/content",
        "size": 105,
        "md5": md5(file.read_bytes()),
        "parts": 11,
        "there": 11,
        "sent": 11,
        "instant": False,
        "verified": True,
    }
    assert parts_sent(stub) == list(range(1, 12))
    assert state(tmp_path) == {}


def test_an_empty_file(carryon: Command, stub: Stub, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    told = carryon.upload(tmp_path / "empty")
    assert (told.code, told.one["parts"], stub.uploads[100].parts) == (0, 1, {1: b""})


def test_what_is_there_already(carryon: Command, stub: Stub, file: Path, tmp_path: Path) -> None:
    carryon.upload(file)
    copy = file.rename(tmp_path / "copy.mov")
    told = carryon("upload", copy)
    assert (told.code, told.out) == (
        0,
        f"{copy}: id f100, {stub.url}/files/f100/content (there already as holiday.mov)\n",
    )
    assert parts_sent(stub) == list(range(1, 12)), "nothing more was sent"
    assert state(tmp_path) == {}


def test_parts_are_sent_at_once(carryon: Command, stub: Stub, file: Path) -> None:
    together = threading.Barrier(3)
    stub.before = lambda kind, number: together.wait(10) if kind == "part" and number <= 9 else None
    assert carryon.upload("--parallel", "3", file).code == 0


def test_a_part_size_of_ones_own(carryon: Command, stub: Stub, file: Path) -> None:
    assert carryon.upload("--part-size", "100", file).one["parts"] == 2
    assert {number: len(part) for number, part in stub.uploads[100].parts.items()} == {1: 100, 2: 5}


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        *((kind, RESET) for kind in ("begin", "part", "complete", "file")),
        *(("part", Fault(status)) for status in (408, 425, 429, 500, 502, 503, 504)),
        ("begin", Fault(503, body=b"<html>")),
        ("complete", Fault(504)),
        ("complete", Fault(409, body=problem(409, "upload_ended", "It is being completed; ask again."))),
        ("part", Fault(after_bytes=5)),
        ("part", Fault(422, body=problem(422, "md5_mismatch", "The part has another MD5."))),
        ("part", Fault(200, body=json.dumps({"md5string": "0" * 32}).encode(), after_bytes=10)),
    ],
    ids=lambda each: (
        each if isinstance(each, str) else f"{each.status}{each.after_bytes or ''}{each.body[:6].decode()}"
    ),
)
def test_what_may_help_is_tried_again(carryon: Command, stub: Stub, file: Path, kind: str, fault: Fault) -> None:
    stub.fail(kind, fault, fault)
    told = carryon.upload("--retry-for", "20", file)
    assert (told.code, stub.uploads[max(stub.uploads)].content) == (0, file.read_bytes())
    assert told.one["sent"] == 11
    assert 1 <= told.err.count("trying again") <= 3, "many threads, few words"


@pytest.mark.parametrize("status", [400, 404, 405, 409, 413, 422, 507])
def test_what_will_not_help_is_not(carryon: Command, stub: Stub, file: Path, status: int) -> None:
    stub.fail("part", Fault(status, body=problem(status, "some_code", "No, and I say why.")))
    told = carryon.upload("--parallel", "1", file)
    assert (told.code, told.one["code"], told.one["error"]) == (1, "some_code", "No, and I say why.")
    assert told.err.endswith("holiday.mov: No, and I say why.\n")
    assert parts_sent(stub) == [1]


def test_every_field_that_is_wrong_is_told(carryon: Command, stub: Stub, file: Path) -> None:
    errors = {"catalog": ["is too long", "is odd"], "mode": ["is none"]}
    stub.fail("begin", Fault(400, body=problem(400, "invalid_input", "Please look.", errors=errors)))
    assert carryon.upload(file).one["error"] == "Please look. catalog: is too long is odd; mode: is none"


def test_patience_ends(carryon: Command, stub: Stub, file: Path) -> None:
    down = Fault(503, body=problem(503, "unavailable", "Down; try again."))
    stub.before = lambda _, number: stub.fail("part", *[down] * 1000) if number == 5 else None
    told = carryon.upload(file)
    assert (told.code, told.one["code"], told.one["error"]) == (1, "busy", "Down; try again.")
    assert "the same command goes on" in told.err


def test_a_server_that_asks_for_more_patience_than_there_is(carryon: Command, stub: Stub, file: Path) -> None:
    stub.fail("begin", Fault(429, {"Retry-After": "5400"}, problem(429, "throttled", "Too much.")))
    told = carryon.upload("--retry-for", "60", file)
    assert told.one["error"] == "Too much. (it asks to come back in 1 h 30 min)"
    assert stub.kinds() == ["begin"]


def test_nobody_there(carryon: Command, stub: Stub, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    stub.leave()
    told = carryon("upload", "--retry-for", "0.1", "--parallel", "1", file, other)
    assert (told.code, told.out) == (1, "")
    assert f"{file}: cannot reach {stub.url}: Connection refused\n" in told.err
    assert told.err.endswith("1 more not tried, for the same reason\n")


def test_a_wrong_token(carryon: Command, stub: Stub, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARRYON_TOKEN", "another")
    told = carryon.upload(file)
    assert (told.code, told.one["code"]) == (1, "unauthorized")
    assert "Invalid token." in told.err
    assert "CARRYON_TOKEN" in told.err
    assert stub.kinds() == ["begin"]


def test_a_wrong_token_is_noticed_before_a_large_file_is_read(
    carryon: Command, stub: Stub, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "READ_UNASKED_BYTES", 100)
    assert carryon.upload(file).code == 0
    assert stub.kinds()[:2] == ["file", "begin"]
    monkeypatch.setenv("CARRYON_TOKEN", "another")
    told = carryon.upload(file)
    assert (told.code, told.one["md5"]) == (1, "")
    assert "reading" not in told.err


def test_a_password_in_netrc_is_not_sent_instead(carryon: Command, file: Path, home: Path) -> None:
    home.mkdir()
    (home / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    assert carryon.upload(file).code == 0


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(200, body=b"<html>hello</html>"), "does not answer as a Carryon server does"),
        (Fault(200, body=b"[]"), "does not answer as a Carryon server does"),
        (Fault(200, body=b"{}"), "check --url"),
        (Fault(200, body=b'{"fileId": "x", "suggestedChunkSize": 1}'), "check --url"),
        (Fault(404, body=b"<html>"), "does not answer as a Carryon server does"),
        (Fault(301, {"Location": "https://elsewhere.example/"}), "https://elsewhere.example/; give that as --url"),
    ],
)
def test_another_server(carryon: Command, stub: Stub, file: Path, fault: Fault, why: str) -> None:
    stub.fail("begin", fault)
    told = carryon.upload(file)
    assert (told.code, told.one["code"]) == (1, "not_carryon")
    assert why in told.one["error"]


def test_a_certificate_of_ones_own(
    carryon: Command, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    with Stub(certificate) as secure:
        told = carryon.upload("--url", secure.url, file)
        assert (told.code, secure.seen, told.one["code"]) == (1, [], "not_carryon")
        assert "is not to be trusted" in told.one["error"]
        assert "REQUESTS_CA_BUNDLE" in told.one["error"]
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))
        assert carryon.upload("--url", secure.url, file).code == 0
        assert secure.uploads[100].content == file.read_bytes()


def test_a_server_without_tls(carryon: Command, stub: Stub, file: Path) -> None:
    told = carryon.upload("--url", stub.url.replace("http:", "https:"), file)
    assert (told.code, told.one["code"]) == (1, "unreachable")
    assert "no secure connection" in told.one["error"]


# Going on


def break_off(carryon: Command, stub: Stub, file: Path, *words: str) -> None:
    """Have five parts arrive, and the sixth refused."""
    stub.before = lambda kind, number: stub.fail("part", Fault(507)) if (kind, number) == ("part", 5) else None
    told = carryon.upload("--parallel", "1", *words, file)
    assert (told.code, told.one["there"]) == (1, 5)
    assert "5 of 11 parts are there" in told.err
    stub.before = lambda _kind, _number: None
    stub.seen.clear()


@pytest.mark.parametrize("words", [[], ["--no-verify"]])
def test_the_same_command_goes_on(carryon: Command, stub: Stub, file: Path, words: list[str]) -> None:
    break_off(carryon, stub, file, *words)
    told = carryon.upload(*words, file)
    assert (told.code, told.one["sent"], told.one["there"]) == (0, 6, 11)
    assert stub.uploads[100].content == file.read_bytes()
    assert parts_sent(stub) == list(range(6, 12))
    assert stub.kinds()[0] == "resume"


def test_a_file_is_not_read_again_to_go_on(
    carryon: Command, stub: Stub, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_off(carryon, stub, file)
    read: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *words: read.append(words[1]) or pread(*words))
    assert carryon.upload(file).code == 0
    assert sum(read) == 2 * 55, "each part that was missing, for its MD5 and to send it"


def test_a_file_that_was_moved_goes_on(carryon: Command, stub: Stub, file: Path, tmp_path: Path) -> None:
    break_off(carryon, stub, file)
    assert carryon.upload(file.rename(tmp_path / "moved")).one["sent"] == 6


def test_parts_that_only_the_server_knows_of_count(carryon: Command, stub: Stub, file: Path, tmp_path: Path) -> None:
    break_off(carryon, stub, file)
    path = tmp_path / "state" / "carryon" / "uploads.json"
    kept = json.loads(path.read_text())
    kept["servers"][stub.url]["uploads"][md5(file.read_bytes())]["parts"] = {}
    path.write_text(json.dumps(kept))
    stub.uploads[100].parts[3] = b"not ours!!"
    assert carryon.upload(file).one["sent"] == 7
    assert parts_sent(stub) == [3, *range(6, 12)]
    assert stub.uploads[100].content == file.read_bytes()


def test_parts_that_the_server_has_lost_are_sent_again(carryon: Command, stub: Stub, file: Path) -> None:
    break_off(carryon, stub, file)
    del stub.uploads[100].parts[2]
    assert carryon.upload(file).code == 0
    assert parts_sent(stub) == [2, *range(6, 12)]


def test_parts_that_are_lost_on_the_way_to_the_end(carryon: Command, stub: Stub, file: Path) -> None:
    losses = [2, 3]
    stub.before = lambda kind, _: stub.uploads[100].parts.pop(losses.pop()) if kind == "complete" and losses else None
    told = carryon.upload(file)
    assert (told.code, told.one["sent"], stub.uploads[100].content) == (0, 13, file.read_bytes())


def test_parts_that_are_lost_again_and_again(carryon: Command, stub: Stub, file: Path) -> None:
    stub.before = lambda kind, _: stub.uploads[100].parts.pop(2) if kind == "complete" else None
    assert carryon.upload(file).one["code"] == "parts_differ"


def test_an_upload_that_is_gone_begins_anew(carryon: Command, stub: Stub, file: Path) -> None:
    break_off(carryon, stub, file)
    stub.fail("resume", GONE)
    told = carryon.upload(file)
    assert (told.code, told.one["fileId"], told.one["sent"]) == (0, 101, 11)


def test_an_upload_that_goes_away_meanwhile(carryon: Command, stub: Stub, file: Path) -> None:
    stub.fail("part", GONE)
    assert carryon.upload(file).one["code"] == "no_such_upload"
    assert carryon.upload(file).one["fileId"] == 101


def test_an_upload_that_was_completed_unheard(carryon: Command, stub: Stub, file: Path) -> None:
    stub.fail("file", *[Fault(500)] * 100)
    assert carryon.upload(file).code == 1
    stub.stop_failing()
    stub.seen.clear()
    told = carryon.upload(file)
    assert (told.code, told.one["id"], told.one["instant"]) == (0, "f100", False)
    assert stub.kinds() == ["resume", "file"]


def test_another_catalog_is_another_upload(carryon: Command, stub: Stub, file: Path) -> None:
    break_off(carryon, stub, file)
    assert carryon.upload("--catalog", "other", file).one["fileId"] == 101
    assert carryon.upload(file).one["fileId"] == 100


def test_the_part_size_stays(carryon: Command, stub: Stub, file: Path) -> None:
    break_off(carryon, stub, file)
    assert carryon.upload("--part-size", "50", file).one["sent"] == 6


# Files that change, and files that are none


def test_a_file_that_changes_while_it_is_sent(carryon: Command, stub: Stub, file: Path) -> None:
    stub.before = lambda kind, number: file.write_bytes(bytes(105)) if (kind, number) == ("part", 3) else None
    told = carryon.upload("--parallel", "1", file)
    assert (told.code, told.one["code"]) == (1, "file_changed")
    assert "the file changed while it was read" in told.err
    stub.before = lambda _kind, _number: None
    assert carryon.upload(file).code == 0
    assert stub.uploads[101].content == bytes(105), "it is another upload now"


def test_a_file_that_changes_unseen(carryon: Command, stub: Stub, file: Path) -> None:
    """Its time and size stay: then the server is the one to notice."""
    kept = file.stat()

    def change(kind: str, _: int) -> None:
        if kind == "begin":
            file.write_bytes(bytes(105))
            os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))

    stub.before, stub.verdict = change, False
    told = carryon.upload("--parallel", "1", file)
    assert (told.code, told.one["code"], told.one["verified"]) == (1, "unverified", False)
    stub.seen.clear()
    carryon.upload(file)
    assert stub.kinds()[0] == "begin", "nothing of it is gone on with"


def test_a_verdict_that_takes_its_time(carryon: Command, stub: Stub, file: Path) -> None:
    stub.verdict = None
    asked: list[int] = []

    def decide(kind: str, _: int) -> None:
        asked.append(kind == "file")
        stub.verdict = True if sum(asked) > 2 else None

    stub.before = decide
    assert carryon.upload(file).one["verified"] is True


def test_a_server_that_gives_no_verdict(carryon: Command, stub: Stub, file: Path) -> None:
    stub.fail("file", Fault(404))
    told = carryon.upload(file)
    assert (told.code, told.one["verified"]) == (0, None)


def test_without_verification(carryon: Command, stub: Stub, file: Path) -> None:
    told = carryon.upload("--no-verify", file)
    assert (told.code, told.one["verified"], told.one["md5"]) == (0, None, "")
    assert "md5" not in stub.uploads[100].fields
    assert "file" not in stub.kinds()


def test_what_cannot_be_sent_does_not_keep_the_rest(carryon: Command, stub: Stub, file: Path, tmp_path: Path) -> None:
    told = carryon.upload(tmp_path, tmp_path / "none", file)
    assert told.code == 1
    assert {(each["file"], each["status"], each["error"]) for each in told.json} == {
        (str(tmp_path), "failed", "is a folder; name the files in it"),
        (str(tmp_path / "none"), "failed", "there is no such file"),
        (str(file), "done", ""),
    }
    assert stub.uploads[100].completed


def test_too_many_parts(carryon: Command, stub: Stub, tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as big:
        big.truncate(10_001)
    told = carryon.upload("--part-size", "1", tmp_path / "big")
    assert (told.code, stub.seen) == (1, [])
    assert "--part-size 2 or more" in told.err


def test_many_files(carryon: Command, stub: Stub, tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.bin").write_bytes(hashlib.sha256(bytes([number])).digest())
    told = carryon.upload(*tmp_path.glob("*.bin"))
    assert (told.code, len(told.json), len(stub.uploads)) == (0, 30, 30)
    for there in stub.uploads.values():
        assert there.content == (tmp_path / there.fields["fileName"]).read_bytes()


def test_the_same_bytes_twice(carryon: Command, stub: Stub, file: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(file.read_bytes())
    told = carryon.upload(file, tmp_path / "copy", file)
    assert (told.code, [each["fileId"] for each in told.json]) == (0, [100, 100, 100])
    assert parts_sent(stub) == list(range(1, 12))


def test_names_that_are_hard_to_say(carryon: Command, stub: Stub, tmp_path: Path) -> None:
    path = tmp_path / 'a [bold]\n\x1b[31m"b" ü.bin'
    path.write_bytes(b"x")
    told = carryon("upload", path)
    assert (told.code, stub.uploads[100].completed) == (0, True)
    assert "\x1b" not in told.out + told.err
    assert told.out.count("\n") == 1
    assert "a [bold]" in told.out
