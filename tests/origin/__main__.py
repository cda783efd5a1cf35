"""Serve until interrupted: `python -m tests.origin [--host ADDRESS] [--port N] [--root FOLDER]`."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from pathlib import Path

from tests.origin.process import READY, Catalogue
from tests.origin.server import Origin


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.origin", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--root", type=Path, help="serve this folder's files under /files/")
    parser.add_argument("--until-eof", action="store_true", help="leave when standard input ends")
    options = parser.parse_args()
    catalogue = Catalogue(options.root, lambda: origin.requests)
    origin = Origin(host=options.host, port=options.port, find=catalogue.find)
    with origin, contextlib.suppress(KeyboardInterrupt):
        print(f"{READY}{origin.url('')}", flush=True)
        if options.until_eof:
            sys.stdin.read()
        else:
            threading.Event().wait()


if __name__ == "__main__":
    main()
