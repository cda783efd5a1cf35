"""The command line: `python -m config.supervisor`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence

from django.conf import settings

from config.supervisor.console import Console
from config.supervisor.errors import StartError
from config.supervisor.supervisor import Supervisor

_FLUSH_SECONDS = 2
_DESCRIPTION = "Run Carryon: broker, database, web, workers and beat, until Ctrl-C or SIGTERM."
_EPILOG = """\
set by environment variables, the most wanted of which are
  HOST      address to listen on (127.0.0.1)
  PORT      port to listen on (8008); 0 takes a free one
  DATA_DIR  folder that everything is kept in (./data)
  WORKERS   number of worker processes (1)

exit code: 0 after a stop that was asked for, 1 when it could not start, 2 when the configuration is wrong
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the service until it is told to stop; the exit code."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(
        "python -m config.supervisor",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        environment = settings.ENVIRONMENT  # the environment is read here, on first use
    except SystemExit as refusal:
        print(refusal.code, file=sys.stderr)  # noqa: T201 - the command line's own words
        return 2
    console = Console()
    try:
        asyncio.run(Supervisor(environment, console, began).run())
    except StartError as error:
        console.flush(_FLUSH_SECONDS)
        print(f"Carryon did not start: {error}", file=sys.stderr)  # noqa: T201
        return 1
    console.flush(_FLUSH_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
