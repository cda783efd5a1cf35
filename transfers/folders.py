"""Where a client's words for a place lead on this server, and what a file may be called there."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings

from transfers.engine import ipfs
from transfers.engine.local import MAX_NAME_BYTES, OUR_SUFFIXES
from transfers.errors import InvalidInputError

MAX_FOLDER_CHARACTERS = 2048
MAX_COMPONENT_BYTES = 255
MAX_PATH_BYTES = min(os.pathconf("/", "PC_PATH_MAX") - 1, 2600)
"""Bytes a path may have: what the system takes, and what PostgreSQL can index (a third of a page, 2704)."""
MAX_EXTENSION_BYTES = 32
FALLBACK_NAME = "download"
_DRIVE = re.compile(r"^([A-Za-z]):[\\/]*")
# Microsoft: "Naming Files, Paths, and Namespaces".
_RESERVED = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
UNSEEN = ("Cc", "Cf", "Cn", "Cs", "Zl", "Zp")
"""Categories of characters that steer, hide or reorder text, or are none."""
_JOINERS = "\u200c\u200d"  # unseen too, but Persian and Hindi are misspelt without them


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder `rest` below `root`, which it must not leave."""

    root: Path
    rest: str
    clients: bool
    """Whether the client has its own name for it."""
    operators: bool = False
    """Whether an operator named the root, which then may lie anywhere."""


def resolve(output_folder: str) -> Path:
    """The server's folder for a client's `outputFolder`, symlinks resolved; the download root when it is empty.

    InvalidInputError when it lies outside of what the client may write to. Creates nothing.
    """
    if len(output_folder) > MAX_FOLDER_CHARACTERS:
        raise _refused(f"has {len(output_folder)} characters, the limit is {MAX_FOLDER_CHARACTERS}")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in output_folder):
        raise _refused("contains control characters")
    place = _locate(output_folder)
    root = place.root.resolve()
    if not place.operators and not root.is_relative_to(_download_root().resolve()):
        raise _refused("lies outside the download folder")
    components = [part for part in place.rest.split("/") if part not in ("", ".")]
    if any(len(part.encode()) > MAX_COMPONENT_BYTES for part in components):
        raise _refused(f"has a part of more than {MAX_COMPONENT_BYTES} bytes")
    folder = root
    for part in components:
        folder = folder.parent if part == ".." else folder / part
        if not folder.is_relative_to(root):
            raise _refused("lies outside the download folder")
    try:
        folder = folder.resolve()
    except (OSError, RuntimeError):
        raise _refused("cannot be resolved") from None
    if not folder.is_relative_to(root):
        raise _refused("lies outside the download folder")
    if len(bytes(folder)) + 1 + MAX_COMPONENT_BYTES > MAX_PATH_BYTES:
        raise _refused("leads to a path that is too long")
    return folder


def mapped(path: str) -> Path | None:
    """The server's path for a client's absolute path, by PATH_MAP where a prefix of it is there; None for any other."""
    plain = path.replace("\\", "/")
    for prefix, folder in _prefixes():
        rest = _below(prefix, plain)
        if rest is not None:
            return _download_root() / folder / rest.lstrip("/")
    return Path(plain) if plain.startswith("/") else None


def shown(output_folder: str, save_path: str) -> str:
    """The path of a file as its client would write it: in its own form when it used one."""
    try:
        clients = bool(output_folder) and _locate(output_folder).clients
    except InvalidInputError:  # the operator has moved the download folder since
        clients = False
    if not clients:
        return save_path
    separator = "\\" if "\\" in output_folder else "/"
    return output_folder.rstrip("\\/") + separator + Path(save_path).name


def safe_name(url: str) -> str:
    """The last segment of the URL's path as a file name of at most `MAX_NAME_BYTES` bytes, its extension kept.

    What is named by its content alone is called by that name.
    """
    parts = urlsplit(url)
    path = unquote(parts.path.rstrip("/"))
    return safe_file_name(path or (parts.netloc if parts.scheme == ipfs.SCHEME else ""))


def safe_file_name(path: str, fallback: str = FALLBACK_NAME) -> str:
    """The last component of somebody's path as a file name of at most `MAX_NAME_BYTES` bytes, its extension kept."""
    name = shown_name(path).rstrip(". " + _JOINERS)
    if _RESERVED.match(name):
        name = f"_{name}"
    name = _shortened(name, MAX_NAME_BYTES)
    if name.lower().endswith(OUR_SUFFIXES):  # it would be taken for another file's unfinished bytes
        name = _shortened(name, MAX_NAME_BYTES - 1) + "_"
    return name or fallback


def shown_name(path: str) -> str:
    """The last component of somebody's path without what steers or hides text, for people to read; may be empty."""
    name = path.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in name if unicodedata.category(c) not in UNSEEN or c in _JOINERS).strip(" " + _JOINERS)


def _locate(output_folder: str) -> _Place:
    download_root = _download_root()
    path = output_folder.replace("\\", "/")
    for prefix, folder in _prefixes():
        rest = _below(prefix, path)
        if rest is not None:
            return _Place(download_root / folder, rest, clients=True, operators=True)
    if drive := _DRIVE.match(path):
        return _Place(download_root / drive[1].upper(), path[drive.end() :], clients=True)
    if path.startswith("/"):
        for root in (download_root, download_root.resolve()):
            rest = _below(str(root), path)
            if rest is not None:
                return _Place(root, rest, clients=False)
        raise _refused("lies outside the download folder")
    return _Place(download_root, path, clients=False)


def _prefixes() -> list[tuple[str, str]]:
    """What clients' prefixes lead to, the longest first."""
    longest_first = sorted(settings.ENVIRONMENT.path_map.items(), key=lambda item: -len(item[0]))
    return [(prefix.replace("\\", "/").rstrip("/"), folder) for prefix, folder in longest_first]


def _download_root() -> Path:
    return Path(settings.ENVIRONMENT.download_root)


def _below(prefix: str, path: str) -> str | None:
    """What of the path lies below the prefix; Windows paths are compared without regard to case."""
    windows = _DRIVE.match(prefix)
    matches = path.lower().startswith(prefix.lower()) if windows else path.startswith(prefix)
    rest = path[len(prefix) :]
    return rest if matches and (not rest or rest.startswith("/")) else None


def _shortened(name: str, limit: int) -> str:
    if len(name.encode()) <= limit:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > MAX_EXTENSION_BYTES:
        stem, dot, extension = name, "", ""
    room = limit - len((dot + extension).encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(". ") + dot + extension


def _refused(why: str) -> InvalidInputError:
    return InvalidInputError({"outputFolder": [why]})
