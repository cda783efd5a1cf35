"""Prometheus's own reader of alerts; `python -m tests.promtool` gets Debian's into the virtual environment."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.debian import unpacked

OWN = Path(sys.prefix) / "prometheus"
MISSING = "needs promtool: none is on the PATH, and `python -m tests.promtool` could not get one"


def found_promtool() -> str | None:
    """The program, or None."""
    return shutil.which("promtool") or shutil.which("promtool", path=OWN / "usr/bin")


def main() -> None:
    """Get one where there is none; say so if that fails, for its test is skipped then."""
    if found_promtool() is None:
        print("Getting promtool, which a test asks …", flush=True)
        unpacked(["prometheus"], OWN)
    if found_promtool() is None:
        print(f"A test will be skipped: {MISSING}.", file=sys.stderr)


if __name__ == "__main__":
    main()
