"""What an `ipfs://` URL asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

from transfers.engine.ipfs.cid import Cid, InvalidCidError, parse

SCHEME = "ipfs"
MAX_PATH_SEGMENTS = 64
CODECS = ("raw", "dag-pb")
"""How a file's blocks may be written."""


class InvalidAddressError(ValueError):
    """This URL asks for nothing that can be fetched; its text says why, to whoever wrote the URL."""


@dataclass(frozen=True, slots=True)
class Address:
    """A file by an identifier, and the way from there through directories."""

    root: Cid
    path: tuple[str, ...] = ()

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take `ipfs://<cid>[/path…]` apart, whose query and fragment say nothing of the file; InvalidAddressError."""
        try:
            parts = urlsplit(url)
            root = parse(parts.netloc)
        except InvalidCidError:
            raise InvalidAddressError("must name a content identifier after ipfs://") from None
        except ValueError:
            raise InvalidAddressError("is not a URL") from None
        if root.codec not in CODECS:
            raise InvalidAddressError(f"must name a file, and {root.codec} is not how files are written")
        if not root.verifiable:
            raise InvalidAddressError(f"names its file by {root.function}, which cannot be checked here")
        return cls(root, _segments(parts.path))


def _segments(path: str) -> tuple[str, ...]:
    segments = tuple(unquote(segment) for segment in path.split("/") if segment)
    if len(segments) > MAX_PATH_SEGMENTS:
        raise InvalidAddressError(f"has a path of more than {MAX_PATH_SEGMENTS} names")
    if any(segment in (".", "..") or "/" in segment or "\0" in segment for segment in segments):
        raise InvalidAddressError("has a path with names that no file can have")
    return segments
