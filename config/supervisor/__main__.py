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
  WORKERS   number of worker processes that move bytes (1)

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
    parser.add_argument("--try", action="store_true", dest="only_try", help="stop again as soon as everything works")
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    console = Console()
    try:
        supervisor = Supervisor(settings.ENVIRONMENT, console, began=began, only_try=options.only_try)
    except SystemExit as refusal:  # the settings are read on first use, and refuse to be wrong
        return _refuse(console, str(refusal.code), 2)
    except KeyboardInterrupt:
        return 0  # nothing has been started yet
    try:
        asyncio.run(supervisor.run())
    except (StartError, OSError) as error:
        return _refuse(console, f"Carryon does not run: {error}", 1)
    console.flush(_FLUSH_SECONDS)
    return 0


def _refuse(console: Console, text: str, code: int) -> int:
    """Tell why after all that was said before; the exit code."""
    console.flush(_FLUSH_SECONDS)
    print(text, file=sys.stderr)  # noqa: T201 - the command line's own words
    return code


if __name__ == "__main__":
    sys.exit(main())
