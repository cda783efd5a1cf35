"""What lies in a bucket, page by page: no request for each object, and no more in memory than a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote_plus
from xml.parsers import expat

from transfers.engine.s3.client import S3Place
from transfers.engine.s3.etags import unquoted
from transfers.engine.s3.exchange import MAX_ANSWER_BYTES, Request, exchange
from transfers.engine.s3.failures import source_failures
from transfers.errors import SourceProtocolError

KEYS_PER_PAGE = 1000
"""The most that S3 lists at once."""
_ROOT = "ListBucketResult"
_TEXTS = ("Key", "ETag", "Size", "IsTruncated", "NextContinuationToken", "EncodingType")


class Listed(NamedTuple):
    """An object as a listing tells it."""

    key: str
    size: int
    """Bytes."""
    etag: str
    """Without quotes."""


@dataclass(slots=True)
class Page:
    """A page of a listing."""

    objects: list[Listed] = field(default_factory=list)
    following: str = ""
    """What the next page is asked for with; "" at the end."""


def listed_objects(place: S3Place, key_prefix: str, *, most: int = 0) -> Iterator[Listed]:
    """Every object whose key begins so, in the order of the keys' UTF-8 bytes; with `most`, the first few only.

    Any SourceError, rather than a part of it in silence: so a store that lists in another order is refused.
    """
    token, last = "", ""
    while True:
        page = _page(place, key_prefix, token, most or KEYS_PER_PAGE)
        for listed in page.objects:
            if listed.key <= last:  # code points have the order of their UTF-8 bytes
                raise SourceProtocolError(f"{place} does not list its keys in their order")
            if not listed.key.startswith(key_prefix):
                raise SourceProtocolError(f"{place} lists other keys than those that were asked for")
            last = listed.key
            yield listed
        if not page.following or most:
            return
        if page.following == token:
            raise SourceProtocolError(f"{place} lists the same page again and again")
        token = page.following


def _page(place: S3Place, key_prefix: str, token: str, most: int) -> Page:
    """Ask for a page. Keys come percent-encoded, since not every character can stand in XML."""
    query = {"list-type": "2", "encoding-type": "url", "max-keys": str(most), "prefix": key_prefix}
    if token:
        query["continuation-token"] = token
    with source_failures(place):
        body = exchange(place, Request("GET", query=query)).body
    if len(body) > MAX_ANSWER_BYTES:
        raise SourceProtocolError(f"{place} sends a page of more than {MAX_ANSWER_BYTES} bytes")
    try:
        return read_page(body)
    except (expat.ExpatError, ValueError, KeyError):
        raise SourceProtocolError(f"{place} gives a listing that cannot be read") from None


def read_page(body: bytes) -> Page:
    """The page that was written so; ExpatError, ValueError or KeyError for what is none."""
    reader = _PageReader()
    reader.read(body)
    return reader.page()


class _PageReader:
    """Takes what is needed out of a page as expat comes by it: a tree of it all takes four times as long."""

    def __init__(self) -> None:
        self._root = ""
        self._about: dict[str, str] = {}
        self._objects: list[dict[str, str]] = []
        self._into: dict[str, str] | None = None
        self._name = ""

    def read(self, body: bytes) -> None:
        """Read all of it."""
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.Parse(body, True)

    def page(self) -> Page:
        """What was read."""
        if self._root != _ROOT:
            raise ValueError(f"{self._root} is no listing")
        is_encoded = self._about.get("EncodingType") == "url"
        objects = [_listed(each, is_encoded=is_encoded) for each in self._objects]
        is_truncated = {"true": True, "false": False}[self._about["IsTruncated"]]  # silence is no end
        return Page(objects, self._about["NextContinuationToken"] if is_truncated else "")

    def _start(self, name: str, _: object) -> None:
        self._root = self._root or name
        self._name = ""
        if name == "Contents":
            self._into = {}
            self._objects.append(self._into)
        elif name in _TEXTS:
            self._name = name

    def _text(self, text: str) -> None:
        if self._name:
            into = self._about if self._into is None else self._into
            into[self._name] = into.get(self._name, "") + text

    def _end(self, name: str) -> None:
        self._name = ""
        if name == "Contents":
            self._into = None


def _refuse_doctype(*_: object) -> None:
    """Raise, before any entity can be declared."""
    raise ValueError("a listing has no document type")


def _listed(told: dict[str, str], *, is_encoded: bool) -> Listed:
    key = unquote_plus(told["Key"], errors="strict") if is_encoded else told["Key"]
    return Listed(key, int(told["Size"]), unquoted(told["ETag"]))
