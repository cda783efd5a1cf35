"""A folder of a bucket as a tree of files: each object below the prefix is a file, and its ETag its version."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from botocore.exceptions import ClientError

from transfers.engine.base import SourceInfo, Validator, ValidatorKind
from transfers.engine.plan import Plan
from transfers.engine.s3.client import S3Place
from transfers.engine.s3.conditions import Seen, send_guarded
from transfers.engine.s3.copies import copy_object
from transfers.engine.s3.etags import MD5_NAME, quoted, unquoted
from transfers.engine.s3.exchange import META, Answer, Request, exchange
from transfers.engine.s3.failures import is_gone, source_failures
from transfers.engine.s3.listing import Listed, listed_objects
from transfers.engine.s3.objects import ObjectInfo, find_object, object_info
from transfers.engine.s3.sink import fenced
from transfers.engine.s3.source import S3Source
from transfers.engine.s3.tree_sink import S3TreeSink
from transfers.engine.s3.uploads import sweep
from transfers.engine.tree.base import Checksum, Content, Description, Entry, Kind, checksum_of_parts, md5_of
from transfers.engine.tree.names import MAX_KEY_BYTES, conflict_paths, problem_of_path
from transfers.errors import (
    ChangedElsewhereError,
    ChecksumMismatchError,
    FolderUnusableError,
    SinkError,
    SourceChangedError,
)

MTIME_NAME = "mtime"
"""Under this name an object's metadata has seconds since the epoch, with nanoseconds behind a point, as with rclone."""
DESCRIBED = 64
"""Files whose descriptions are kept: more than are ever brought at once."""
_SECOND_NS = 10**9
_MTIME = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?")
_EMPTY_MD5 = md5_of([])
_CONTENT_TYPE = "application/octet-stream"


class S3Tree:
    """The objects below the place's prefix, which must not be empty: a whole bucket is nobody's tree.

    A folder is an object of no bytes whose key ends in "/"; other folders are nothing but parts of keys.
    """

    checks_what_it_takes = True

    def __init__(self, place: S3Place) -> None:
        if not place.key_prefix:
            raise FolderUnusableError(f"a tree needs a folder of its own in {place}")
        self._place = place
        self._uploads: dict[str, str] = {}
        """The ids of unfinished uploads, by key, that this has begun or found."""
        self._described: dict[tuple[str, str], Description] = {}
        """What was told of files, by path and version, the last of them."""

    def entries(self) -> Iterator[Entry]:
        """Everything below the prefix, by listings alone; any SourceError."""
        folder: Entry | None = None  # held back until the next entry shows whether it is empty
        for listed in listed_objects(self._place, self._place.key_prefix):
            entry = self._entry(listed)
            if folder is not None:
                yield dataclasses.replace(folder, is_empty=not entry.path.startswith(folder.path))
            folder = entry if entry.kind is Kind.FOLDER and entry.path else None
            if entry.kind is not Kind.FOLDER:
                yield entry
        if folder is not None:
            yield folder

    def find(self, path: str) -> Entry | None:
        """What has this path, with its time; None when nothing has. Any SourceError."""
        found = find_object(self._place, self._place.key(path), source_failures)
        if found is None:
            return None
        entry = self._entry(Listed(self._place.key(path), found.size, found.version))
        is_empty = entry.kind is not Kind.FOLDER or not self._has_more(entry)
        return dataclasses.replace(entry, mtime_ns=_mtime_ns(found.metadata), is_empty=is_empty)

    def read(self, entry: Entry) -> Content:
        """A small file, in one request; SourceChangedError, ChecksumMismatchError and any other SourceError."""
        with source_failures(self._place):
            answer = self._get(entry)
            info = object_info(answer, len(answer.body))
        if info.version != entry.version or info.size != entry.size:
            raise SourceChangedError(f"the object in {self._place} was replaced")
        if info.checksum is not None and info.checksum != _checksum_of(answer.body, info.checksum.part_size):
            raise ChecksumMismatchError(f"its bytes in {self._place} are not those of its checksum {info.checksum}")
        return Content(answer.body, md5_of([answer.body]), _mtime_ns(info.metadata))

    def source(self, entry: Entry) -> S3Source:
        """A file, to read in parts."""
        validator = Validator(ValidatorKind.ETAG, quoted(entry.version))
        return S3Source(self._place, self._place.key(entry.path), SourceInfo(entry.size, validator, ranges=True))

    def describe(self, entry: Entry) -> Description:
        """The time and the checksum that it was given; SourceChangedError, and any other SourceError."""
        if (known := self._described.get((entry.path, entry.version))) is not None:
            return known  # whoever brings a run of its parts asks again, and reads this version only
        found = find_object(self._place, self._place.key(entry.path), source_failures)
        if found is None or found.version != entry.version:
            raise SourceChangedError(f"the object in {self._place} was replaced or removed")
        if len(self._described) >= DESCRIBED:
            self._described.clear()
        told = self._described[entry.path, entry.version] = Description(_mtime_ns(found.metadata), found.checksum)
        return told

    @fenced()
    def write(self, path: str, content: Content, replaced: Entry | None) -> Entry:
        """Put a small file; ChangedElsewhereError when something else lies there, and any SinkError."""
        self._check(path)
        metadata = {MD5_NAME: content.md5, **_mtime(content.mtime_ns)}
        version = self._put(path, content, metadata, replaced.version if replaced is not None else "")
        return Entry(path, size=len(content.content), version=version)

    def sink(self, path: str, source_version: str, description: Description, replaced: Entry | None) -> S3TreeSink:
        """The same for a large file, part by part."""
        self._check(path)
        metadata = _mtime(description.mtime_ns)
        return S3TreeSink(
            self._place,
            path,
            source_version=source_version,
            metadata=metadata,
            replaced=replaced,
            known=self._uploads,
        )

    @fenced()
    def make_folder(self, path: str) -> Entry:
        """Put the object that stands for an empty folder."""
        path = path.removesuffix("/") + "/"
        self._check(path)
        version = self._put(path, Content(b"", _EMPTY_MD5, 0), {}, "")
        return Entry(path, Kind.FOLDER, version=version)

    @fenced()
    def set_aside(self, entry: Entry) -> Entry:
        """Copy a file, or a folder with all that is in it, within the store, and remove it where it lay."""
        room = MAX_KEY_BYTES - len(self._place.key_prefix.encode())
        names = conflict_paths(entry.path, datetime.now(UTC), most_bytes=room)
        aside = next(path for path in names if not any(listed_objects(self._place, self._place.key(path), most=1)))
        if entry.kind is not Kind.FOLDER:
            return self._move(entry, aside)
        moved = Entry(aside, Kind.FOLDER)
        for listed in listed_objects(self._place, self._place.key(entry.path)):
            inner = self._entry(listed)
            kept = self._move(inner, aside + inner.path.removeprefix(entry.path))
            moved = kept if kept.path == aside else moved
        return dataclasses.replace(moved, is_empty=False)

    def settle(self) -> None:
        """Nothing is left to do: what the store has acknowledged is durable."""

    def sweep(self, older_than_seconds: float) -> int:
        """Abort multipart uploads that were begun so long ago."""
        return sweep(self._place, older_than_seconds, lambda _: set())

    @fenced()
    def remove(self, entry: Entry) -> None:
        """Delete the object; one that is gone is fine. ChangedElsewhereError, and any SinkError.

        Marks of folders in a folder do not hold back its own: they may be about to go, too, and none needs another.
        """
        if entry.kind is Kind.FOLDER and any(each.kind is not Kind.FOLDER for each in self._below(entry)):
            raise ChangedElsewhereError("the folder is not empty any more")
        self._delete(entry)

    # What lies there

    def _delete(self, entry: Entry) -> None:
        key = self._place.key(entry.path)

        def send(condition: Mapping[str, str]) -> Answer:
            return exchange(self._place, Request("DELETE", key, headers=condition))

        try:
            send_guarded(Seen(self._place, key, entry.version), "DELETE", send)
        except ChangedElsewhereError:
            if find_object(self._place, key) is not None:
                raise

    def _below(self, folder: Entry) -> Iterator[Entry]:
        """What is in the folder now."""
        key = self._place.key(folder.path)
        return (self._entry(listed) for listed in listed_objects(self._place, key) if listed.key != key)

    def _has_more(self, folder: Entry) -> bool:
        """Whether there is anything in the folder."""
        key = self._place.key(folder.path)
        return any(listed.key != key for listed in listed_objects(self._place, key, most=2))

    def _move(self, entry: Entry, path: str) -> Entry:
        info = self._info_of(entry)
        copy_object(self._place, info, self._place.key(entry.path), self._place.key(path))
        kept = find_object(self._place, self._place.key(path))
        if kept is None or kept.size != info.size:
            raise SinkError(f"{self._place} did not copy the object")
        self._delete(entry)
        mtime_ns = _mtime_ns(kept.metadata)
        return Entry(path, entry.kind, kept.size, version=kept.version, mtime_ns=mtime_ns)

    def _entry(self, listed: Listed) -> Entry:
        path = listed.key.removeprefix(self._place.key_prefix)
        is_folder = path.endswith("/") or not path
        problem = problem_of_path(path) if path else ""
        if is_folder and listed.size:
            problem = problem or "its key is a folder's, and it is none"
        if problem:
            return Entry(path, Kind.PROBLEM, listed.size, listed.etag, problem=problem)
        return Entry(path, Kind.FOLDER if is_folder else Kind.FILE, listed.size, listed.etag)

    def _get(self, entry: Entry) -> Answer:
        """The object's bytes, and one more if there are more than there should be."""
        headers = {"If-Match": quoted(entry.version)}
        try:
            return exchange(self._place, Request("GET", self._place.key(entry.path), headers=headers, limit=entry.size))
        except ClientError as error:
            if not is_gone(error):
                raise
            raise SourceChangedError(f"the object was removed from {self._place}") from None

    def _info_of(self, entry: Entry) -> ObjectInfo:
        found = find_object(self._place, self._place.key(entry.path))
        if found is None or found.version != entry.version:
            raise Seen(self._place, self._place.key(entry.path), entry.version).changed()
        return found

    # How it appears

    @staticmethod
    def _check(path: str) -> None:
        """FolderUnusableError for a path that no tree may have: nothing is ever written outside the prefix."""
        if problem := problem_of_path(path):
            raise FolderUnusableError(problem)

    def _put(self, path: str, content: Content, metadata: Mapping[str, str], version: str) -> str:
        """Put an object in place of this version ("": of nothing), and tell its own.

        An object that has these very bytes is fine: it is ours, of an attempt whose answer was lost, or as good.
        """
        key = self._place.key(path)
        request = Request("PUT", key, headers=_headers(content, metadata), body=content.content)

        def send(condition: Mapping[str, str]) -> Answer:
            return exchange(self._place, dataclasses.replace(request, headers={**request.headers, **condition}))

        try:
            answer = send_guarded(Seen(self._place, key, version), "PUT", send)
        except ChangedElsewhereError:
            found = find_object(self._place, key)
            if found is not None and found.version == content.md5:  # what is noted beside it may be of other bytes
                return found.version
            if found is not None or not version:
                raise
            answer = send_guarded(Seen(self._place, key, ""), "PUT", send)  # what was to be replaced is gone
        if answer.etag != content.md5:
            raise SinkError(
                f"{self._place} stored an object with an ETag that is not the MD5 of its bytes: they were changed on"
                " their way, or the store makes its ETags otherwise (as with SSE-KMS), which is not supported"
            )
        return unquoted(answer.headers["ETag"])


def _headers(content: Content, metadata: Mapping[str, str]) -> dict[str, str]:
    """What the bytes are sent with: the store compares their MD5, too."""
    return {
        "Content-MD5": base64.b64encode(bytes.fromhex(content.md5)).decode(),
        "Content-Type": _CONTENT_TYPE,
        **{META + name: value for name, value in metadata.items()},
    }


def _checksum_of(content: bytes, part_size: int) -> Checksum:
    if not part_size:
        return Checksum(md5_of([content]))
    parts = Plan(len(content), part_size)
    return checksum_of_parts((md5_of([memoryview(content)[part.offset : part.end]]) for part in parts), part_size)


def _mtime(mtime_ns: int) -> dict[str, str]:
    """A time as metadata; nothing of one that is not known."""
    if not mtime_ns:
        return {}
    seconds, nanoseconds = divmod(abs(mtime_ns), _SECOND_NS)
    return {MTIME_NAME: f"{'-' if mtime_ns < 0 else ''}{seconds}.{nanoseconds:09}"}


def _mtime_ns(metadata: Mapping[str, str]) -> int:
    """The time that metadata tells; 0 for none."""
    told = _MTIME.fullmatch(metadata.get(MTIME_NAME, ""))
    if told is None:
        return 0
    nanoseconds = int(told[2]) * _SECOND_NS + int((told[3] or "").ljust(9, "0"))
    return -nanoseconds if told[1] else nanoseconds
