"""A server to talk to, and the command as a user calls it, in a home of its own."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from carryon import retry
from carryon.__main__ import main
from tests.unit.carryon.stub import TOKEN, Stub


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as running:
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stub: Stub) -> Path:
    """A home folder without anything in it, and an environment that names the stub and the token."""
    for name in ("XDG_CONFIG_HOME", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("CARRYON_URL", stub.url)
    monkeypatch.setenv("CARRYON_TOKEN", TOKEN)
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of milliseconds."""
    monkeypatch.setattr(retry, "FIRST_PAUSE_SECONDS", 0.002)


@dataclass(frozen=True)
class Told:
    """What a command has printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def one(self) -> dict[str, Any]:
        """What is told of the only file."""
        (told,) = self.json
        return told


class Command:
    """Calls `carryon`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str | Path) -> Told:
        kept = signal.getsignal(signal.SIGTERM)
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            signal.signal(signal.SIGTERM, kept)
        printed = self._capsys.readouterr()
        assert "Traceback" not in printed.err
        return Told(code, printed.out, printed.err)

    def upload(self, *words: str | Path) -> Told:
        """`carryon upload --json`, with little patience."""
        return self("upload", "--json", "--retry-for", "0.2", *words)


@pytest.fixture
def carryon(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of 105 bytes: eleven parts of ten, the last one of five."""
    path = tmp_path / "holiday.mov"
    path.write_bytes(bytes(range(105)))
    return path
