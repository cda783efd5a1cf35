"""The command `carryon` against the whole service: it goes on after whatever kills either of them."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from tests.chaos import ChaosProxy, Faults
from tests.e2e.carryon import Carryon, running_carryon, sha256
from tests.service import REPOSITORY, wait_until

PARTS, PART_BYTES, LAST_BYTES = 11, 20_000_000, 15_000_000
"""The contract's own example."""
RATE = 60_000_000
END_SECONDS = 90
INTERRUPTED = 130


@pytest.fixture(scope="module")
def carryon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carryon]:
    """A service of this module's own, for its web process is killed."""
    with running_carryon(tmp_path_factory.mktemp("carryon")) as running:
        yield running


@pytest.fixture
def proxy(carryon: Carryon) -> Iterator[ChaosProxy]:
    """Stands between the client and the service."""
    parts = urlsplit(carryon.service.url)
    assert parts.hostname
    assert parts.port
    with ChaosProxy((parts.hostname, parts.port)) as running:
        yield running


class User:
    """Somebody with a home of his own who calls `carryon`."""

    def __init__(self, home: Path, url: str, token: str) -> None:
        self.home = home
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "CARRYON_URL": url,
            "CARRYON_TOKEN": token,
        }

    @staticmethod
    def words(*words: str | Path) -> list[str]:
        return [sys.executable, "-m", "carryon", *map(str, words)]

    def run(self, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Call it, and wait for its end."""
        return subprocess.run(
            self.words(*words),
            env={**self.environment, **variables},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=END_SECONDS,
            check=False,
        )

    def upload(self, *words: str | Path) -> dict[str, Any]:
        """Upload one file, all being well; what is told of it."""
        ended = self.run("upload", "--quiet", "--json", *words)
        assert (ended.returncode, ended.stderr) == (0, "")
        told: dict[str, Any] = json.loads(ended.stdout)
        return told

    @contextmanager
    def uploading(self, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
        """An upload under way, which does not outlive the block."""
        command = self.words("upload", *words)
        with subprocess.Popen(
            command,
            env=self.environment,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def parts_there(self) -> int:
        """How many parts of the only unfinished upload are known to be stored; 0 without one."""
        path = self.home / ".local/state/carryon/uploads.json"
        if not path.exists():
            return 0
        servers: Mapping[str, Any] = json.loads(path.read_text())["servers"]
        counts = [len(one["parts"]) for uploads in servers.values() for one in uploads["uploads"].values()]
        return sum(counts)


@pytest.fixture
def user(carryon: Carryon, tmp_path: Path) -> User:
    """Calls the service directly."""
    return User(tmp_path, carryon.service.url, carryon.admin.token)


@pytest.fixture
def slow_user(carryon: Carryon, tmp_path: Path, proxy: ChaosProxy) -> User:
    """Calls the service on a line of so many bytes a second."""
    proxy.set(Faults(rate=RATE))
    return User(tmp_path, f"http://127.0.0.1:{proxy.port}", carryon.admin.token)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """215 MB that nobody else has; shared, and changed a little for each test by `own`."""
    path = tmp_path_factory.mktemp("big") / "holiday.mov"
    with path.open("wb") as file:
        for _ in range(PARTS - 1):
            file.write(os.urandom(PART_BYTES))
        file.write(os.urandom(LAST_BYTES))
    yield path
    path.unlink()


@pytest.fixture
def own(big: Path) -> Path:
    """The big file with bytes that no upload before had."""
    with big.open("r+b") as file:
        file.write(os.urandom(16))
    return big


def check_stored(carryon: Carryon, told: Mapping[str, Any], path: Path) -> None:
    """What the service gives out is the file."""
    url = f"{carryon.service.url}{urlsplit(told['url']).path}"
    headers = {"Authorization": f"Bearer {carryon.admin.token}"}
    received = path.with_name("received")
    with requests.get(url, headers=headers, stream=True, timeout=30) as answer, received.open("wb") as file:
        answer.raise_for_status()
        for chunk in answer.iter_content(2**20):
            file.write(chunk)
    assert (received.stat().st_size, sha256(received)) == (path.stat().st_size, sha256(path))
    received.unlink()


def wait_for_parts(user: User, count: int) -> None:
    wait_until(lambda: user.parts_there() >= count, END_SECONDS)


@pytest.mark.parametrize("content", [b"", b"a small file\n"], ids=["empty", "small"])
def test_an_upload(carryon: Carryon, user: User, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a file ü.txt").write_bytes(content)
    told = user.upload("--catalog", "scans", tmp_path / "a file ü.txt")
    assert {name: told[name] for name in ("status", "name", "size", "parts", "sent", "verified", "instant")} == {
        "status": "done",
        "name": "a file ü.txt",
        "size": len(content),
        "parts": 1,
        "sent": 1,
        "verified": True,
        "instant": False,
    }
    check_stored(carryon, told, tmp_path / "a file ü.txt")
    again = user.upload("--catalog", "scans", tmp_path / "a file ü.txt")
    assert (again["id"], again["sent"], again["instant"]) == (told["id"], 0, True)


def test_killed_after_the_fifth_part_it_goes_on_with_six(carryon: Carryon, slow_user: User, own: Path) -> None:
    with slow_user.uploading("--part-size", str(PART_BYTES), "--parallel", "1", own) as process:
        wait_for_parts(slow_user, 5)
        process.kill()
    told = slow_user.upload(own)
    assert (told["parts"], told["sent"], told["verified"]) == (PARTS, 6, True)
    check_stored(carryon, told, own)
    assert slow_user.parts_there() == 0


def test_the_web_process_is_killed(carryon: Carryon, slow_user: User, own: Path) -> None:
    with slow_user.uploading("--json", "--part-size", str(PART_BYTES), own) as process:
        for count in (1, 5):
            wait_for_parts(slow_user, count)
            carryon.kill("web")
        out, err = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert (told["parts"], told["sent"], told["verified"]) == (PARTS, PARTS, True)
    assert "trying again" in err
    check_stored(carryon, told, own)


def test_the_connection_is_cut_again_and_again(carryon: Carryon, slow_user: User, proxy: ChaosProxy, own: Path) -> None:
    with slow_user.uploading("--json", "--part-size", str(PART_BYTES), own) as process:
        wait_for_parts(slow_user, 1)
        for _ in range(5):
            time.sleep(0.3)
            proxy.cut()
        proxy.down()
        time.sleep(1)
        proxy.up()
        out, err = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 0, err
    check_stored(carryon, json.loads(out), own)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt(slow_user: User, own: Path, number: signal.Signals) -> None:
    with slow_user.uploading("--part-size", str(PART_BYTES), own) as process:
        wait_for_parts(slow_user, 1)
        asked = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=END_SECONDS)
    assert time.monotonic() - asked < 5
    assert (process.returncode, out) == (INTERRUPTED, "")
    assert "Traceback" not in err
    assert re.search(r"holiday.mov: stopped \(\d+ of 11 parts are there; the same command goes on\)\n", err)
    there = slow_user.parts_there()
    assert 1 <= there < PARTS
    assert slow_user.upload(own)["sent"] <= PARTS - there


def test_interrupted_while_nobody_answers(slow_user: User, own: Path, proxy: ChaosProxy) -> None:
    with slow_user.uploading("--part-size", str(PART_BYTES), own) as process:
        wait_for_parts(slow_user, 1)
        proxy.set(Faults(black_hole=True))
        time.sleep(0.5)
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=END_SECONDS)
    assert (process.returncode, "Traceback" in err) == (INTERRUPTED, False)
    assert time.monotonic() - asked < 5


def test_memory_does_not_grow_with_the_part(user: User, own: Path) -> None:
    with user.uploading("--quiet", "--part-size", "100M", own) as process:
        seen = psutil.Process(process.pid)
        taken = []
        while process.poll() is None:
            with suppress(psutil.Error):
                taken.append(seen.memory_info().rss)
            time.sleep(0.01)
    assert process.returncode == 0
    assert len(taken) > 10
    assert max(taken) < 80 * 2**20


def test_nobody_reads_the_results(user: User, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"y")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        ended = subprocess.run(
            user.words("upload", tmp_path / "file"),
            env=user.environment,
            cwd=REPOSITORY,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=END_SECONDS,
            check=False,
        )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "Exception" not in ended.stderr


def test_two_at_once_do_not_send_the_same_file(slow_user: User, own: Path) -> None:
    with slow_user.uploading("--part-size", str(PART_BYTES), own):
        wait_for_parts(slow_user, 1)
        ended = slow_user.run("upload", own)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "another process is sending this very file" in ended.stderr


def test_a_wrong_token(user: User, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    ended = user.run("upload", tmp_path / "file", CARRYON_TOKEN="wrong")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "The token is not valid" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_list_resume_and_abort(carryon: Carryon, slow_user: User, own: Path) -> None:
    with slow_user.uploading("--part-size", str(PART_BYTES), "--parallel", "1", own) as process:
        wait_for_parts(slow_user, 2)
        process.kill()
    listed = json.loads(slow_user.run("list", "--json").stdout)
    assert (listed["file"], listed["parts"], listed["there"]) == (str(own), PARTS, 2)
    assert slow_user.run("abort", str(listed["fileId"])).returncode == 0
    assert slow_user.run("list", "--json").stdout == ""
    assert slow_user.upload("--part-size", str(PART_BYTES), own)["fileId"] != listed["fileId"]


# In a terminal


TAKE_TERMINAL = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
"""Makes the terminal the session's own, so that its Ctrl-C is heard, and becomes the command."""


class Terminal:
    """A terminal of 100 columns in which a command runs."""

    def __init__(self, words: list[str], environment: Mapping[str, str]) -> None:
        self._screen, keyboard = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, *words],
            env={**environment, "COLUMNS": "100"},
            cwd=REPOSITORY,
            stdin=keyboard,
            stdout=keyboard,
            stderr=keyboard,
            start_new_session=True,
        )
        os.close(keyboard)
        self.written = ""

    def read_until(self, pattern: str) -> None:
        """Wait until this is on the screen; AssertionError when it does not come."""
        deadline = time.monotonic() + END_SECONDS
        while not re.search(pattern, self.plain):
            assert time.monotonic() < deadline, self.plain[-2000:]
            assert self._read(1.0), f"it ended without {pattern!r}: {self.plain[-2000:]}"

    def read_to_the_end(self) -> int:
        """Wait for the end of the command; its exit code."""
        while self._read(END_SECONDS):
            pass
        return self.process.wait(END_SECONDS)

    def press(self, key: str) -> None:
        os.write(self._screen, key.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)

    @property
    def plain(self) -> str:
        """What was written, without what moves the cursor or colours it."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.written)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._screen], [], [], seconds)[0]:
            return True
        try:
            chunk = os.read(self._screen, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            return False
        self.written += chunk.decode(errors="replace")
        return bool(chunk)


@contextmanager
def terminal(user: User, *words: str | Path) -> Iterator[Terminal]:
    running = Terminal(user.words("upload", *words), user.environment)
    try:
        yield running
    finally:
        running.close()


def test_a_bar_in_a_terminal(carryon: Carryon, slow_user: User, own: Path) -> None:
    with terminal(slow_user, "--part-size", str(PART_BYTES), own) as screen:
        screen.read_until(r"holiday\.mov +sending .* [1-9]\d% +\d+\.\d/215\.0 MB +\d+\.\d MB/s +\d\d:\d\d")
        assert screen.read_to_the_end() == 0
    assert "reading" in screen.plain
    assert "checking" in screen.plain
    last = screen.plain.rstrip().splitlines()[-1]
    assert re.search(rf"{own}: id \d+, http://\S+/files/\d+/content$", last)
    assert screen.written.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in screen.written, "the cursor is back"


def test_ctrl_c_in_a_terminal(slow_user: User, own: Path) -> None:
    with terminal(slow_user, "--part-size", str(PART_BYTES), own) as screen:
        screen.read_until(r"sending .* [4-9]\d%")
        screen.press("\x03")
        assert screen.read_to_the_end() == INTERRUPTED
    assert "parts are there; the same command goes on" in screen.plain
    assert "Traceback" not in screen.plain
    assert screen.written.rindex("\x1b[?25h") > screen.written.rindex("\x1b[?25l"), "the cursor is back"
    with terminal(slow_user, own) as screen:
        assert screen.read_to_the_end() == 0
    assert "reading" not in screen.plain
