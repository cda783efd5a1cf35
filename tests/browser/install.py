"""What `make test` does for a machine that has no Chromium: installs Debian's, or says what is to be done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.browser.chromium import MISSING, found_chromium

_QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


def main() -> int:
    """0 if there is a browser, in the end."""
    if found_chromium() is None and shutil.which("apt-get") and os.geteuid() == 0:
        print("Installing Chromium, which the tests of the pages need …", flush=True)
        _apt_get("update")
        for package in ("chromium-headless-shell", "chromium"):  # not every Debian has the first
            if found_chromium() is None:
                _apt_get("install", "--yes", "--no-install-recommends", package)
    if found_chromium() is None:
        print(MISSING, file=sys.stderr)
        return 1
    return 0


def _apt_get(*arguments: str) -> None:
    """What fails shows by the browser that is not there."""
    subprocess.run(["apt-get", "--quiet=2", *arguments], check=False, env=os.environ | _QUIET)


if __name__ == "__main__":
    sys.exit(main())
