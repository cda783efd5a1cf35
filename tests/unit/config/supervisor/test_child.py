from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from config.supervisor.child import Child, Program, describe_exit
from config.supervisor.console import Console
from config.supervisor.identity import identity, wait_until_gone
from config.supervisor.run_folder import RunFolder


class Scene:
    """A child on a loop that hears of its end, and what it has printed."""

    def __init__(self, folder: Path, program: str, **variables: str) -> None:
        self.reading, writing = os.pipe()
        self._writing = writing
        self.console = Console(writing)
        command = [sys.executable, "-c", program]
        self.child = Child(Program("it", command, {**os.environ, **variables}), RunFolder(folder), self.console, 2)

    def play(self, script: Coroutine[Any, Any, None]) -> str:
        async def listening() -> None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self.child.reap)
            await asyncio.wait_for(script, 20)

        asyncio.run(listening())
        self.console.flush(5)
        output = os.read(self.reading, 2**20)
        os.close(self.reading)
        return output.decode()


def test_output_and_exit_code_arrive(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "import sys; print('out'); sys.stdout.flush(); print('err', file=sys.stderr); sys.exit(3)")

    async def script() -> None:
        scene.child.start()
        assert (tmp_path / "it.pid").read_text().split()[0].isdecimal()
        assert await scene.child.ended() == 3
        assert not scene.child.running

    assert scene.play(script()) == "it | out\nit | err\n"
    assert list(tmp_path.iterdir()) == []


def test_all_output_of_a_talkative_process_arrives(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "for n in range(20_000): print(n)")

    async def script() -> None:
        scene.child.start()
        reader = asyncio.create_task(asyncio.to_thread(read_lines, scene.reading, 20_000))
        await scene.child.ended()
        assert await reader == [f"it | {number}" for number in range(20_000)]
        scene.console.write(b"end\n")

    assert scene.play(script()) == "end\n"


def read_lines(descriptor: int, count: int) -> list[str]:
    text = ""
    while text.count("\n") < count:
        text += os.read(descriptor, 65536).decode()
    return text.splitlines()


def test_it_lives_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "print('life')")

    async def script() -> None:
        for _ in range(2):
            scene.child.start()
            await scene.child.wait_until_ready()
            assert await scene.child.ended() == 0
            assert not scene.child.ready.is_set()

    assert scene.play(script()) == "it | life\nit | life\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")
def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    parent = (
        "import os, subprocess, time\n"
        "from config.supervisor.child import tethered\n"
        "child = subprocess.Popen(tethered(['cat']), stdin=subprocess.PIPE, start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    scene = Scene(tmp_path, parent)

    async def script() -> None:
        scene.child.start()
        grandchild = int((await asyncio.to_thread(read_lines, scene.reading, 1))[0].removeprefix("it | "))
        known_as = identity(grandchild)
        assert known_as
        os.kill(int((tmp_path / "it.pid").read_text().split()[0]), signal.SIGKILL)
        assert await scene.child.ended() == -signal.SIGKILL
        assert await asyncio.to_thread(wait_until_gone, grandchild, known_as, 5)
        scene.console.write(b"end\n")

    assert scene.play(script()) == "end\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended with code 0"),
        (1, "ended with code 1"),
        (-9, "was ended by SIGKILL"),
        (-200, "was ended by signal 200"),
    ],
)
def test_ends_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words
