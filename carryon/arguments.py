"""The command line: what may be said, and what it means."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from carryon import VERSION

DEFAULT_URL = "http://127.0.0.1:8008"
DEFAULT_CATALOG = "uploads"
MAX_PARALLEL = 32
RETRY_SECONDS = 300.0
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}

_ABOUT = """\
Upload files of any size to a Carryon server. Whatever comes in between (a lost
connection, Ctrl-C, a restart of either machine), the same command, run again,
goes on with what is missing.
"""
_FIRST_STEPS = """\
first steps:
  export CARRYON_URL=https://files.example.org
  export CARRYON_TOKEN=...
  carryon upload holiday.mov

`carryon COMMAND --help` tells all about a command.

exit status:
  0    all done
  1    something failed; stderr says what
  2    the command is wrong, or there is no token
  130  interrupted; the same command goes on
"""
_UPLOAD = """\
Upload files. Each is read once for its MD5 and sent in parts, several at a time;
the server checks every part before it keeps it, then puts the whole together and
reads it again. What it has from you already is not sent at all.
"""
_UPLOAD_EXAMPLES = """\
examples:
  carryon upload holiday.mov
  carryon upload --catalog scans --notes "second visit" *.dcm
  carryon upload --parallel 8 --part-size 64M disk.img
  carryon upload --quiet --json backup.tar | jq -r .url
"""
_RESUME = "Go on with every upload to the server that you began here and did not finish."
_LIST = "List every upload to the server that you began here and did not finish."
_ABORT = "Give unfinished uploads up: the server removes what it has of them."
_IDENTITY = """\
The token is looked for in --token-file, in CARRYON_TOKEN, and in the file
~/.config/carryon/token. It is no option of its own: everybody on this machine
could read it in the list of processes."""


def parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """Every command with its options; the environment has the default of `--url`."""
    top = argparse.ArgumentParser(
        "carryon",
        usage="carryon COMMAND [OPTIONS] ...",
        description=_ABOUT,
        epilog=_FIRST_STEPS,
        formatter_class=_layout,
    )
    top.add_argument("--version", action="version", version=f"carryon {VERSION}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    url = environment.get("CARRYON_URL") or DEFAULT_URL

    upload = _command(commands, "upload", "upload files, or go on with it", "FILE...", _UPLOAD)
    upload.epilog = _UPLOAD_EXAMPLES
    upload.add_argument_group("operands").add_argument("file", nargs="+", metavar="FILE", help="what to upload")
    _add_description(upload)
    _add_sending(upload)

    resume = _command(commands, "resume", "go on with every unfinished upload", "", _RESUME)
    _add_sending(resume)

    listing = _command(commands, "list", "list the unfinished uploads", "", _LIST)

    abort = _command(commands, "abort", "give unfinished uploads up", "FILE...", _ABORT)
    abort.add_argument_group("operands").add_argument(
        "file", nargs="+", metavar="FILE", help="its path, or its upload's number as `list` tells it"
    )

    for command in (upload, resume, listing, abort):
        _add_server(command, url)
        _add_output(command)
    return top


def _layout(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=84)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, operands: str, about: str
) -> argparse.ArgumentParser:
    usage = f"carryon {name} [OPTIONS] {operands}".rstrip()
    return commands.add_parser(name, help=summary, usage=usage, description=about, formatter_class=_layout)


def _add_description(upload: argparse.ArgumentParser) -> None:
    group = upload.add_argument_group("the upload")
    group.add_argument(
        "-c",
        "--catalog",
        type=_text,
        default=DEFAULT_CATALOG,
        metavar="NAME",
        help=f"its folder on the server [{DEFAULT_CATALOG}]",
    )
    group.add_argument("--notes", type=_text, metavar="TEXT", help="text that the server keeps with it")
    group.add_argument("--mode", type=int, metavar="INT", help="number that the server keeps with it")
    group.add_argument(
        "--no-verify",
        dest="verify",
        action="store_false",
        help="send at once, without reading the file first: the server then checks every part, but not the whole, and"
        " cannot know what it has already",
    )


def _add_sending(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("sending")
    group.add_argument(
        "-p", "--parallel", type=_parallel, default=4, metavar="N", help=f"parts at once, 1 to {MAX_PARALLEL} [4]"
    )
    group.add_argument(
        "--part-size",
        type=_size,
        metavar="SIZE",
        help="bytes of a part, or with K, M or G [what the server suggests]; an upload keeps the size it began with",
    )
    group.add_argument(
        "--retry-for",
        type=_seconds,
        default=RETRY_SECONDS,
        metavar="SECONDS",
        help=f"how long to try again what fails [{RETRY_SECONDS:g}]",
    )


def _add_server(command: argparse.ArgumentParser, url: str) -> None:
    group = command.add_argument_group("the server, and who you are there", _IDENTITY)
    group.add_argument(
        "--url", type=_url, default=url, metavar="URL", help=f"its address [CARRYON_URL, else {DEFAULT_URL}]"
    )
    group.add_argument("--token-file", metavar="FILE", help="file with the token; - reads it from stdin")


def _add_output(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("output")
    group.add_argument("-q", "--quiet", action="store_true", help="nothing but errors, and what --json prints")
    group.add_argument("--json", action="store_true", help="a line of JSON for each file, on stdout")


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        has_port = parts.port != 0
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_port:
        raise argparse.ArgumentTypeError(f"{text!r} is no address; one looks like https://files.example.org")
    if parts.username or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError("an address has no user name, ? or # here")
    return text.rstrip("/")


def _parallel(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PARALLEL:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {MAX_PARALLEL}")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return float(text)


def _size(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,18}) ?([kmg]?)(?:i?b)?", text.strip().lower())
    if not match or not int(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; sizes look like 20971520, 20M or 1G")
    return int(match[1]) * _UNITS[match[2]]


def _text(text: str) -> str:
    if not text or not text.isprintable():
        raise argparse.ArgumentTypeError("must be printable text")
    return text
