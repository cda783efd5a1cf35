"""Where a client's words for a place lead on this server, and what a file may be called there."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings

from transfers.engine.local import JOURNAL_SUFFIX, MAX_NAME_BYTES, PART_SUFFIX
from transfers.errors import InvalidInputError

MAX_FOLDER_CHARACTERS = 2048
MAX_COMPONENT_BYTES = 255
MAX_EXTENSION_BYTES = 32
FALLBACK_NAME = "download"
_DRIVE = re.compile(r"^([A-Za-z]):[\\/]*")
_RESERVED = re.compile(r"^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
_OURS = (PART_SUFFIX, JOURNAL_SUFFIX, JOURNAL_SUFFIX + ".new")
_BIDI = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder `rest` below `root`, which it must not leave; `clients` when the client has its own name for it."""

    root: Path
    rest: str
    clients: bool


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
    return folder


def shown(output_folder: str, save_path: str) -> str:
    """The path of a file as its client would write it: in its own form when it used one."""
    if not output_folder or not _locate(output_folder).clients:
        return save_path
    separator = "\\" if "\\" in output_folder else "/"
    return output_folder.rstrip("\\/") + separator + Path(save_path).name


def safe_name(url: str) -> str:
    """The last segment of the URL's path as a file name of at most `MAX_NAME_BYTES` bytes, its extension kept."""
    name = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2]).replace("\\", "/").rpartition("/")[2]
    name = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cs", "Cn") and c not in _BIDI)
    name = name.strip(" ").rstrip(". ")
    if _RESERVED.match(name):
        name = f"_{name}"
    if name.lower().endswith(_OURS):
        name += "_"  # it would be taken for another file's unfinished bytes
    return _shortened(name) or FALLBACK_NAME


def _locate(output_folder: str) -> _Place:
    download_root = Path(settings.ENVIRONMENT.download_root)
    path = output_folder.replace("\\", "/")
    for prefix, folder in sorted(settings.ENVIRONMENT.path_map.items(), key=lambda item: -len(item[0])):
        rest = _below(prefix.replace("\\", "/").rstrip("/"), path)
        if rest is not None:
            return _Place(download_root / folder, rest, clients=True)
    if drive := _DRIVE.match(path):
        return _Place(download_root / drive[1].upper(), path[drive.end() :], clients=True)
    if path.startswith("/"):
        for root in (download_root, download_root.resolve()):
            rest = _below(str(root), path)
            if rest is not None:
                return _Place(root, rest, clients=False)
        raise _refused("lies outside the download folder")
    return _Place(download_root, path, clients=False)


def _below(prefix: str, path: str) -> str | None:
    """What of the path lies below the prefix; Windows paths are compared without regard to case."""
    windows = _DRIVE.match(prefix)
    matches = path.lower().startswith(prefix.lower()) if windows else path.startswith(prefix)
    rest = path[len(prefix) :]
    return rest if matches and (not rest or rest.startswith("/")) else None


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > MAX_EXTENSION_BYTES:
        stem, dot, extension = name, "", ""
    room = MAX_NAME_BYTES - len((dot + extension).encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(". ") + dot + extension


def _refused(why: str) -> InvalidInputError:
    return InvalidInputError({"outputFolder": [why]})
