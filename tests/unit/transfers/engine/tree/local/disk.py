"""What somebody else does to a folder meanwhile, and what lies in it then."""

from __future__ import annotations

import os
import subprocess
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conformance.trees import MTIME_NS

NOBODY = 65534
FAILED = 3


def lay(path: Path, content: bytes = b"content", mtime_ns: int = MTIME_NS) -> Path:
    """Have such a file, in whatever folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def edit(path: Path, content: bytes, mtime_ns: int | None = None) -> None:
    """Write to the file itself, as some programs do; with its time as it was, or set to another."""
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()
    if mtime_ns is not None:
        os.utime(path, ns=(mtime_ns, mtime_ns))


def save(path: Path, content: bytes, mtime_ns: int | None = None) -> None:
    """Put another file in its place, as other programs do; of now, or with this time."""
    fresh = path.with_name(path.name + ".saving")
    fresh.write_bytes(content)
    if mtime_ns is not None:
        os.utime(fresh, ns=(mtime_ns, mtime_ns))
    fresh.replace(path)


def contents(folder: Path) -> dict[str, bytes]:
    """Each regular file below the folder with its bytes, by its path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def as_nobody(check: Callable[[], None]) -> None:
    """Run this, in a child, as somebody who is not root and for whom permissions hold; pass on whether it failed."""
    if os.geteuid() != 0:
        check()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: the child uses none of theirs
        child = os.fork()
    if not child:
        try:
            os.setegid(NOBODY)
            os.seteuid(NOBODY)
            check()
        except BaseException:  # noqa: BLE001 - whatever it is, pytest must not go on in this process
            traceback.print_exc()
            os._exit(FAILED)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "it failed; its trace is above"


@contextmanager
def nested(folder: Path, name: str, levels: int) -> Iterator[None]:
    """Have folders in one another below the folder, more than any path could name; they are removed afterwards."""
    above = os.open(folder, os.O_RDONLY)
    try:
        for _ in range(levels):
            os.mkdir(name, dir_fd=above)
            below = os.open(name, os.O_RDONLY, dir_fd=above)
            os.close(above)
            above = below
        yield
    finally:
        os.close(above)
        subprocess.run(["rm", "-rf", str(folder / name)], check=True)  # shutil would need as many stack frames
