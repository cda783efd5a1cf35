"""Names that a member can have in an archive which anybody may unpack, on any system: pure."""

from __future__ import annotations

import re
import unicodedata

from transfers.engine.archive.members import MAX_NAME_BYTES
from transfers.engine.local.names import numbered_name

MAX_COMPONENT_BYTES = 255
"""NAME_MAX of Linux; NTFS and APFS have room for no fewer."""
_MAX_NUMBER_BYTES = len(" (99999999)")
_MAX_SUFFIX_BYTES = 32
"""A longer one is no extension, and is cut like the rest of the name."""
_PLACEHOLDER = "_"
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff/\\<>:"|?*]')
"""Controls, those of the direction of writing too (they would have `exe.png` read where there is `gnp.exe`), what
separates folders somewhere, what is no character, and what Windows keeps for itself."""
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³]) *(?:\..*)?", re.IGNORECASE | re.DOTALL)
"""What Windows takes for a device, with any extension (docs: Naming Files, Paths, and Namespaces)."""
_NOWHERE = ("", ".")


class EntryNames:
    """Gives each file of an archive a name of its own there; the same files in the same order get the same names.

    Two names are one if they differ in case or in Unicode's normal form alone, as on the systems of many who will
    unpack it. Then the later file is numbered as browsers do, and a later folder goes by the earlier one's name.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        """Files and folders, folded."""
        self._paths: dict[str, str] = {}
        """Of the folders that were asked for, each with a slash behind it."""
        self._folders: dict[str, str] = {}
        """What a folder is called, by its folded name and by the name that it was to have, folded."""
        self._numbers: dict[str, int] = {}
        """The last number that names of this form got."""

    def add(self, folder: str, name: str) -> str:
        """The path in the archive of a file with this name in this folder, "" for none: at most 65,535 bytes."""
        if folder not in self._paths:
            self._paths[folder] = self._path(folder)
        return self._free(self._paths[folder], safe_component(name))

    def _path(self, folder: str) -> str:
        path = ""
        for component in folder.split("/"):
            if component not in _NOWHERE:
                path = self._folder(path, safe_component(component))
        return path

    def _folder(self, parent: str, name: str) -> str:
        """The folder of this name in that one; those that would make a path too long for a file are left out."""
        wanted = folded(parent + name)
        if wanted not in self._folders:
            if _length(parent + name) + 2 * (MAX_COMPONENT_BYTES + 1) > MAX_NAME_BYTES:
                return parent
            path = self._free(parent, name) + "/"
            self._folders[wanted] = self._folders[folded(path[:-1])] = path
        return self._folders[wanted]

    def _free(self, parent: str, name: str) -> str:
        """The name, or the first numbered one, that nothing in this folder has: it is taken now."""
        path = parent + name
        if (key := folded(path)) not in self._taken:
            self._taken.add(key)
            return path
        stem, suffix = _stem_and_suffix(name, MAX_COMPONENT_BYTES - _MAX_NUMBER_BYTES)
        form = folded(f"{parent}{stem}/{suffix}")
        while key in self._taken:
            # No number is tried twice for names of the same form, so that even many thousands take no time.
            number = self._numbers[form] = self._numbers.get(form, 0) + 1
            path = parent + numbered_name(stem, number, suffix)
            key = folded(path)
        self._taken.add(key)
        return path


def safe_component(name: str) -> str:
    """The name of a file or folder as every system can have it, with no path in it: 1 to 255 bytes of UTF-8."""
    name = _fitting(_FORBIDDEN.sub(_PLACEHOLDER, name))
    # Only now: a name may be a device's once its end was cut off.
    return _fitting(_PLACEHOLDER + name) if _DEVICE.fullmatch(name) else name


def _fitting(name: str) -> str:
    """As much of the name as a component has room for, and never nothing; Windows drops blanks and dots at the end."""
    name = name.rstrip(". ")
    if _length(name) > MAX_COMPONENT_BYTES:
        name = "".join(_stem_and_suffix(name, MAX_COMPONENT_BYTES)).rstrip(". ")
    return name or _PLACEHOLDER


def folded(name: str) -> str:
    """What two names have in common that are the same on some system."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _stem_and_suffix(name: str, most: int) -> tuple[str, str]:
    """The name's two halves, together of so many bytes at most: the stem is cut."""
    stem, dot, extension = name.rpartition(".")
    suffix = dot + extension
    if not stem or _length(suffix) > _MAX_SUFFIX_BYTES:
        stem, suffix = name, ""
    room = most - _length(suffix)
    return (stem if _length(stem) <= room else _cut(stem, room)), suffix


def _cut(text: str, most: int) -> str:
    """The beginning of the text, of at most so many bytes; no character is cut in two."""
    return text.encode()[:most].decode(errors="ignore")


def _length(text: str) -> int:
    return len(text.encode())
