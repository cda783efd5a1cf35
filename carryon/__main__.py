"""The command `carryon`; also `python -m carryon`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import closing, suppress

from carryon import arguments, identity, unfinished
from carryon.bars import Bars
from carryon.display import Display
from carryon.errors import ClientError, UsageError
from carryon.lines import Errors, Lines, Results
from carryon.outcome import Status
from carryon.run import Run
from carryon.server import Server
from carryon.state import Store
from carryon.upload import Job

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes, as `--help` tells them."""


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _forgive_encodings()
    code = FAILED
    try:
        code = _main(arguments.parser(os.environ).parse_args(words))
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # nobody reads our results any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if code == INTERRUPTED:
        _leave(code)
    return code


def _main(options: argparse.Namespace) -> int:
    display: Display = _display(options)
    with closing(display):
        try:
            return _command(options, display)
        except ClientError as error:
            display.complain(f"carryon: {error.message}")
            return USAGE if isinstance(error, UsageError) else FAILED


def _command(options: argparse.Namespace, display: Display) -> int:
    with Store(identity.folder(os.environ, "XDG_STATE_HOME", ".local/state")) as store:
        if options.command == "list":
            unfinished.tell(store, options.url, display, as_json=options.json)
            return DONE
        connections = getattr(options, "parallel", 1)
        token = identity.token(options.token_file, os.environ)
        with closing(Server(options.url, token, connections=2 * connections)) as server:
            if options.command == "abort":
                unfinished.abort(store, server, display, options.file, as_json=options.json)
                return DONE
            return _send(options, store, server, display)


def _send(options: argparse.Namespace, store: Store, server: Server, display: Display) -> int:
    if options.command == "resume":
        jobs = [Job.again(upload) for upload in store.all(server.url)]
    else:
        jobs = [Job(file, options.catalog, options.mode, options.notes, verify=options.verify) for file in options.file]
    run = Run(
        server,
        store,
        display,
        parallel=options.parallel,
        retry_seconds=options.retry_for,
        part_size=getattr(options, "part_size", None),
        as_json=options.json,
    )
    states = {outcome.status for outcome in run.upload(jobs)}
    if Status.STOPPED in states:
        return INTERRUPTED
    return FAILED if Status.FAILED in states else DONE


def _display(options: argparse.Namespace) -> Display:
    if options.quiet:
        return Results() if options.json else Errors()
    if options.command not in ("upload", "resume"):
        return Results()
    return Bars() if sys.stderr.isatty() else Lines()


def _forgive_encodings() -> None:
    """Have names that the terminal cannot show replaced, instead of failing over them."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _leave(code: int) -> None:
    """End at once: threads that still wait for an answer would be waited for otherwise."""
    with suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
