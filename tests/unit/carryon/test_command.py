"""The command line says what it can do, takes nothing else, and finds out who its user is."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.unit.carryon.conftest import Command
from tests.unit.carryon.stub import TOKEN, Fault, Stub


@pytest.mark.parametrize("words", [[], ["upload"], ["resume"], ["list"], ["abort"]], ids=" ".join)
def test_help(carryon: Command, words: list[str]) -> None:
    told = carryon(*words, "--help")
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("usage: carryon ")
    assert max(map(len, told.out.splitlines())) <= 84


def test_help_tells_the_exit_codes(carryon: Command) -> None:
    told = carryon("--help").out
    for code in (0, 1, 2, 130):
        assert f"\n  {code} " in told


def test_version(carryon: Command) -> None:
    project = Path(__file__).parents[3] / "pyproject.toml"
    version = carryon("--version").out.split()[1]
    assert f'\nversion = "{version}"\n' in project.read_text()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["download"],
        ["upload"],
        ["upload", "--part-size", "0", "f"],
        ["upload", "--part-size", "20X", "f"],
        ["upload", "--part-size", "-1", "f"],
        ["upload", "--parallel", "0", "f"],
        ["upload", "--parallel", "33", "f"],
        ["upload", "--parallel", "many", "f"],
        ["upload", "--retry-for", "-1", "f"],
        ["upload", "--retry-for", "nan", "f"],
        ["upload", "--mode", "x", "f"],
        ["upload", "--catalog", "", "f"],
        ["upload", "--catalog", "a\nb", "f"],
        ["upload", "--catalog", "\udcff", "f"],
        ["upload", "--token", "secret", "f"],
        *(
            ["upload", "--url", url, "f"]
            for url in (
                "",
                "files.example.org",
                "ftp://a",
                "http://",
                "http://a:b",
                "http://[",
                "http://u:p@a",
                "http://a?b",
            )
        ),
    ],
    ids=" ".join,
)
def test_usage_errors(carryon: Command, words: list[str]) -> None:
    told = carryon(*words)
    assert (told.code, told.out) == (2, "")
    assert "carryon" in told.err


@pytest.mark.parametrize("url", ["nonsense", "http://u:p@a"])
def test_a_wrong_address_in_the_environment(carryon: Command, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CARRYON_URL", url)
    assert carryon("list").code == 2


@pytest.mark.parametrize("size", ["10", "10 ", "10b", "10B"])
def test_sizes(carryon: Command, stub: Stub, file: Path, size: str) -> None:
    assert carryon.upload("--part-size", size, file).one["parts"] == 11
    assert len(stub.uploads[100].parts) == 11


@pytest.mark.parametrize(("size", "bytes_"), [("1k", 1024), ("1KiB", 1024), ("1M", 2**20), ("1 GB", 2**30)])
def test_units(carryon: Command, tmp_path: Path, size: str, bytes_: int) -> None:
    with (tmp_path / "big").open("wb") as big:
        big.truncate(bytes_ * 10_001)
    assert f"parts of {bytes_} bytes would be 10001" in carryon.upload("--part-size", size, tmp_path / "big").err


def test_an_address_with_a_path(carryon: Command, stub: Stub, file: Path) -> None:
    told = carryon.upload("--url", f"{stub.url}/below/", file)
    assert told.code == 1
    assert stub.seen[0].path == "/below/ehealth-base/multipart/upload"


def test_no_token(carryon: Command, stub: Stub, file: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARRYON_TOKEN")
    told = carryon.upload(file)
    assert (told.code, stub.seen) == (2, [])
    for way in ("CARRYON_TOKEN", "--token-file", str(home / ".config" / "carryon" / "token")):
        assert way in told.err


def test_where_the_token_may_be(
    carryon: Command, file: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARRYON_TOKEN", "another")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert carryon.upload("--token-file", tmp_path / "token", file).code == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{TOKEN}\nmore"))
    assert carryon.upload("--token-file", "-", file).code == 0
    monkeypatch.delenv("CARRYON_TOKEN")
    kept = home / ".config" / "carryon" / "token"
    kept.parent.mkdir(parents=True)
    kept.write_text(TOKEN)
    assert carryon.upload(file).code == 0
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    assert carryon.upload(file).code == 2


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"\xff\xfe", "tö".encode(), b"a\0b"])
def test_what_is_no_token(carryon: Command, file: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    assert carryon.upload("--token-file", tmp_path / "token", file).code == 2


@pytest.mark.parametrize("name", ["none", "."])
def test_no_token_file(carryon: Command, file: Path, tmp_path: Path, name: str) -> None:
    told = carryon.upload("--token-file", tmp_path / name, file)
    assert told.code == 2
    assert "cannot be read" in told.err


# What is printed


def test_lines(carryon: Command, stub: Stub, file: Path) -> None:
    told = carryon("upload", file)
    assert told.out == f"{file}: id f100, {stub.url}/files/f100/content\n"
    assert told.err.splitlines() == [
        "holiday.mov: reading 105 bytes",
        "holiday.mov: sending 105 bytes",
        "holiday.mov: checking 105 bytes",
    ]


def test_quiet(carryon: Command, file: Path, tmp_path: Path) -> None:
    told = carryon("upload", "--quiet", file, tmp_path / "none")
    assert (told.code, told.out, told.err) == (1, "", f"{tmp_path / 'none'}: there is no such file\n")


def test_quiet_json(carryon: Command, file: Path) -> None:
    told = carryon("upload", "--quiet", "--json", file)
    assert (told.one["status"], told.err) == ("done", "")


def test_a_state_that_cannot_be_kept(
    carryon: Command, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(file))
    told = carryon("upload", file)
    assert told.code == 1
    assert "XDG_STATE_HOME" in told.err


# Unfinished ones


@pytest.fixture
def unfinished(carryon: Command, stub: Stub, file: Path) -> Path:
    """The file, of which three parts are there."""
    stub.before = lambda kind, number: stub.fail("part", Fault(507)) if (kind, number) == ("part", 3) else None
    assert carryon.upload("--parallel", "1", file).one["there"] == 3
    stub.before = lambda _kind, _number: None
    return file


def test_list(carryon: Command, stub: Stub, unfinished: Path) -> None:
    told = carryon("list")
    assert (told.code, told.out) == (0, f"100  {unfinished}: 3 of 11 parts (105 bytes) for uploads\n")
    assert carryon("list", "--json").one == {
        "file": str(unfinished),
        "fileId": 100,
        "catalog": "uploads",
        "size": 105,
        "parts": 11,
        "there": 3,
    }
    assert carryon("list", "--url", "http://127.0.0.1:1").out == "No unfinished uploads to http://127.0.0.1:1.\n"


def test_resume(carryon: Command, stub: Stub, unfinished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    told = carryon("resume", "--json")
    assert (told.code, told.one["file"], told.one["sent"]) == (0, str(unfinished), 8)
    assert stub.uploads[100].completed
    assert carryon("resume").code == 0


def test_resume_what_is_not_verified(carryon: Command, stub: Stub, file: Path) -> None:
    stub.fail("complete", Fault(507))
    assert carryon.upload("--no-verify", file).code == 1
    told = carryon("resume", "--json")
    assert (told.code, told.one["fileId"], told.one["sent"], told.one["md5"]) == (0, 100, 0, "")


@pytest.mark.parametrize("by", ["path", "relative", "number"])
def test_abort(carryon: Command, stub: Stub, unfinished: Path, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(unfinished.parent)
    told = carryon("abort", {"path": unfinished, "relative": unfinished.name, "number": "100"}[by])
    assert (told.code, told.out, stub.uploads) == (0, f"{unfinished}: given up\n", {})
    assert carryon("list").out.startswith("No unfinished")


def test_abort_what_is_gone(carryon: Command, stub: Stub, unfinished: Path) -> None:
    stub.uploads.clear()
    assert carryon("abort", unfinished).code == 0
    assert carryon("list").out.startswith("No unfinished")


def test_abort_what_nobody_knows(carryon: Command, stub: Stub, unfinished: Path) -> None:
    told = carryon("abort", unfinished, "none")
    assert (told.code, list(stub.uploads)) == (2, [100])
    assert "carryon list" in told.err


def test_abort_when_nobody_is_there(carryon: Command, stub: Stub, unfinished: Path) -> None:
    told = carryon("abort", "--url", "http://127.0.0.1:1", unfinished)
    assert told.code == 2, "it is no upload to that server"
    stub.fail("abort", Fault())
    told = carryon("abort", unfinished)
    assert told.code == 1
    assert "cannot reach" in told.err
    assert json.loads(carryon("list", "--json").out)["fileId"] == 100
