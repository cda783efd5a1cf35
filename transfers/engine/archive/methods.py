"""Which files are deflated on their way into an archive: pure."""

from __future__ import annotations

from pathlib import PurePosixPath

from transfers.engine.archive.members import Method

MIN_BYTES = 256
"""Smaller files are not worth a pass of their own: a file system gives them a whole block either way."""

_TYPES = frozenset(
    (
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/ld+json",
        "application/postscript",
        "application/rtf",
        "application/sql",
        "application/toml",
        "application/x-javascript",
        "application/x-ndjson",
        "application/x-sh",
        "application/x-yaml",
        "application/xml",
        "application/xml-dtd",
        "application/yaml",
        "image/bmp",
        "image/x-ms-bmp",
        "image/x-portable-anymap",
        "image/x-portable-bitmap",
        "image/x-portable-graymap",
        "image/x-portable-pixmap",
    )
)
"""Text by any other name, and pixels as they are.

Not among them: images, sound, film and packages, which are compressed (deflating takes 35 MB/s a core and gains
nothing); PDF and office files, which deflate their own content; TIFF and DICOM, whose name does not tell whether their
pixels are compressed, as those of large scans nearly always are; and what nobody named. A file that is stored
needlessly costs bandwidth once, one that is deflated needlessly costs a core, and can no longer be moved without being
read.
"""
_FAMILIES = ("+json", "+xml", "+yaml")
"""What is written in one of these (RFC 6839), such as SVG."""
_COMPRESSED_SUFFIXES = frozenset(
    (".7z", ".br", ".bz2", ".gz", ".lz4", ".lzma", ".svgz", ".tgz", ".xz", ".z", ".zip", ".zst")
)
"""Browsers name `data.csv.gz` by what is inside."""


def method_for(content_type: str, name: str, size: int) -> Method:
    """How a file of `size` bytes lies in an archive; by its content type, which is taken at its word, and its name."""
    media_type = content_type.partition(";")[0].strip().lower()
    is_plain = media_type.startswith("text/") or media_type in _TYPES or media_type.endswith(_FAMILIES)
    is_compressed = PurePosixPath(name).suffix.lower() in _COMPRESSED_SUFFIXES
    return Method.DEFLATED if is_plain and not is_compressed and size >= MIN_BYTES else Method.STORED
