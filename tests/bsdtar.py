"""bsdtar, to read our zips; `python -m tests.bsdtar` gets Debian's into the virtual environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.debian import unpacked

OWN = Path(sys.prefix) / "bsdtar"
MISSING = "needs bsdtar: none is on the PATH, and `python -m tests.bsdtar` could not get one"
_PACKAGES = (  # with the libraries of the program's that a bare machine may lack
    *("libarchive-tools", "libarchive13", "libacl1", "libbz2-1.0", "liblz4-1", "liblzma5", "libnettle8", "libxml2"),
    *("libicu72", "libzstd1"),
)


def bsdtar() -> tuple[str, ...]:
    """The command, whether or not it works here."""
    if (found := shutil.which("bsdtar")) is not None or not OWN.exists():
        return (found or "bsdtar",)
    libraries = {str(library.parent) for library in OWN.glob("**/*.so.*")}
    return "env", f"LD_LIBRARY_PATH={':'.join(sorted(libraries))}", str(OWN / "usr/bin/bsdtar")


def works() -> bool:
    """Whether it does."""
    try:
        return subprocess.run([*bsdtar(), "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def main() -> None:
    """Get one where there is none; say so if that fails, for its tests are skipped then."""
    if not works():
        print("Getting bsdtar, which some tests ask …", flush=True)
        unpacked(_PACKAGES, OWN)
    if not works():
        print(f"Some tests will be skipped: {MISSING}.", file=sys.stderr)


if __name__ == "__main__":
    main()
