"""An origin in a process of its own, for benchmarks: it shares no interpreter lock with what is measured."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, unquote

from tests.origin.behaviour import Behaviour, from_query, query
from tests.origin.content import Bytes, DiskFile, GeneratedFile
from tests.origin.file import File
from tests.origin.request import Request

READY = "listening on "


class OriginProcess:
    """`python -m tests.origin` as a context manager; what it serves stands in the URL that is asked for."""

    def __init__(self, root: Path | None = None) -> None:
        """`root` is a folder whose files are served under `/files/`."""
        self._command = [sys.executable, "-m", "tests.origin", "--until-eof", *(["--root", str(root)] if root else [])]
        self.base = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.base = self._process.stdout.readline().removeprefix(READY).strip()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=10)  # it leaves when its standard input ends, as when this process is killed

    @property
    def pid(self) -> int:
        """The process, for measuring it."""
        return self._process.pid

    def url(self, file: GeneratedFile, *behaviours: Behaviour, name: str = "file.bin") -> str:
        """The address of a generated file that behaves so, request by request."""
        return f"{self.base}/generated/{file.seed}/{file.size}/{quote(name)}{query(behaviours)}"

    def file_url(self, name: str, *behaviours: Behaviour) -> str:
        """The address of a file in the root folder."""
        return f"{self.base}/files/{quote(name)}{query(behaviours)}"

    def requests(self) -> list[dict[str, Any]]:
        """The log so far, each request as `Request.as_json` has it."""
        with urllib.request.urlopen(f"{self.base}/log") as reply:  # noqa: S310 - our own
            log: list[dict[str, Any]] = json.load(reply)
            return log


class Catalogue:
    """Makes the files that URLs describe, and remembers each with how far its behaviours have come."""

    def __init__(self, root: Path | None, log: Callable[[], list[Request]]) -> None:
        self._root = root
        self._log = log
        self._files: dict[str, File] = {}

    def find(self, request: Request) -> File | None:
        """The file behind the target, or None."""
        if request.path == "/log":
            lines = [each.as_json() for each in self._log() if each.path != "/log"]
            return File(Bytes(json.dumps(lines).encode()))
        if request.target not in self._files:
            file = self._make(request)
            if file is None:
                return None
            self._files.setdefault(request.target, file)
        return self._files[request.target]

    def _make(self, request: Request) -> File | None:
        match request.path.split("/"):
            case ["", "generated", seed, size, _] if seed.isdigit() and size.isdigit():
                return File(GeneratedFile(int(size), int(seed)), from_query(request.query))
            case ["", "files", name] if self._root and (self._root / unquote(name)).is_file():
                return File(DiskFile(self._root / unquote(name)), from_query(request.query))
        return None
