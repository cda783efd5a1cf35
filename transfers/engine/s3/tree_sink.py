"""A large file on its way into a tree in the store, which alone remembers what is stored of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

from transfers.engine.base import CHUNK_BYTES, Reader, Source, StoredPart
from transfers.engine.plan import Part, Plan
from transfers.engine.s3.client import S3Place
from transfers.engine.s3.conditions import Seen
from transfers.engine.s3.etags import PART_SIZE_NAME
from transfers.engine.s3.objects import ObjectInfo, find_object
from transfers.engine.s3.sink import GENERATION, S3Sink, fenced, fits
from transfers.engine.s3.source import S3Source
from transfers.engine.s3.uploads import (
    Target,
    abort_upload,
    begin_upload,
    complete_upload,
    etags_made_of,
    list_parts,
    made_of,
    uploads_of,
)
from transfers.engine.tree.base import Checksum, Entry, checksum_of_parts, md5_of
from transfers.errors import ChangedElsewhereError, IncompleteFileError, SinkError, UploadEndedError


class S3TreeSink(S3Sink):
    """An object being built that nobody has noted the upload of: the store is asked for it.

    It cannot be asked what was given with an unfinished upload, so parts prove themselves, by their ETags, and an
    upload that is gone on with keeps the time of modification that it was begun with.
    """

    def __init__(
        self,
        place: S3Place,
        path: str,
        *,
        source_version: str,
        metadata: Mapping[str, str],
        replaced: Entry | None,
        known: dict[str, str],
    ) -> None:
        """`known` has upload ids by key, of uploads that this process has begun or found: a hint, and no more."""
        generation = hashlib.sha256(source_version.encode(errors="backslashreplace")).hexdigest()
        super().__init__(place, place.key(path), generation=generation, metadata=metadata)
        self._path = path
        self._replaced_version = replaced.version if replaced is not None else ""
        self._known = known
        self._stored: dict[int, StoredPart] = {}
        """What the store listed when this began, less what turned out wrong, and what was stored since."""
        self._proved: dict[int, str] | None = None
        """The ETags of the parts that `checksum` told of."""
        self._is_ours = False
        """Whether this has begun the upload itself, so that nobody can have stored anything before."""
        self._versions: set[str] = set()
        """The ETags that the object may have that this made."""

    @fenced()
    def begin(self, plan: Plan) -> None:
        """Go on with the newest upload that has parts, if they fit the plan, and abort all others; or begin one."""
        self._reset(plan)
        if self._take_up(plan, fewest=1, alone=True):
            return
        self._published = self._find_published(plan.size)
        if not self._published:
            target = begin_upload(self._place, self._key, self._content_type, self._metadata)  # all others are aborted
            self._upload_id, self._is_ours = target.upload_id, True
            self._known[self._key] = target.upload_id

    @fenced()
    def join(self, plan: Plan) -> bool:
        """Take part in the newest upload, which is the one that the tree knows of for as long as it is there."""
        self._reset(plan)
        return self._take_up_known(plan) or self._take_up(plan, fewest=0, alone=False)

    def stored_parts(self) -> dict[int, StoredPart]:
        """What was stored when this sink began or joined, and what it stored since."""
        return super().stored_parts() if self._published else dict(sorted(self._stored.items()))

    def write_part(self, part: Part, reader: Reader, start: int = 0) -> StoredPart:
        """Store the part; of one that is stored already no byte may be left to read."""
        stored = super().write_part(part, reader, start)
        if start == 0:
            self._stored[part.number] = stored
        return stored

    def trust(self, part: Part, md5: Callable[[], str]) -> bool:
        """Whether the part is stored with the bytes of this MD5, which is its ETag."""
        if self._published:
            return True
        stored = self._stored.get(part.number) or self._stored_meanwhile(part.number)
        if stored is None or stored.size != part.size:
            return False
        if stored.etag == md5():
            self._stored[part.number] = stored
            return True
        self._stored.pop(part.number, None)
        return False

    def checksum(self, part_size: int | None = None) -> Checksum:  # noqa: ARG002 - the store tells of its parts alone
        """Of the parts that are stored; IncompleteFileError unless they are the plan's."""
        plan = self._begun_plan()
        if self._published:
            return self._published_checksum(plan)
        self._proved = self._all_parts(plan.size or 0)
        return checksum_of_parts(self._proved.values(), plan.part_size)

    @fenced()
    def publish(self, size: int) -> Entry:
        """Have the store make the object, in place of nothing but what it replaces; may be repeated after a crash."""
        self.complete(size)
        self._known.pop(self._key, None)
        found = self._published_object()
        if found.size != size or (self._versions.isdisjoint({found.version}) and GENERATION not in found.metadata):
            raise ChangedElsewhereError(f"what was written to {self._place} was replaced at once")
        return Entry(self._path, size=size, version=found.version)  # which is another than was told at rclone

    def close(self) -> None:
        """Nothing is open."""

    # How it begins

    def _reset(self, plan: Plan) -> None:
        self._plan, self._published, self._proved = plan, False, None
        self._upload_id, self._stored, self._versions, self._is_ours = "", {}, set(), False
        self._metadata = {**self._metadata, PART_SIZE_NAME: str(plan.part_size)}

    def _take_up_known(self, plan: Plan) -> bool:
        """Take part in the upload that this process has at hand, unless it has ended.

        To look for it would be one more listing for each run of parts: 39 ms of swift's CPU time, a listing of its
        parts 36 ms, a part itself 120 ms.
        """
        upload_id = self._known.get(self._key, "")
        stored = _parts_of(Target(self._place, self._key, upload_id)) if upload_id else None
        if stored is None or not fits(stored, plan):
            self._known.pop(self._key, None)
            return False
        self._upload_id, self._stored = upload_id, stored
        return True

    def _take_up(self, plan: Plan, *, fewest: int, alone: bool) -> bool:
        for upload in uploads_of(self._place, self._key):
            target = Target(self._place, self._key, upload.upload_id)
            stored = None if self._upload_id else _parts_of(target)
            if stored is not None and len(stored) >= fewest and fits(stored, plan):
                self._upload_id, self._stored = upload.upload_id, stored
            elif alone:
                abort_upload(target)
        if self._upload_id:
            self._known[self._key] = self._upload_id
        return bool(self._upload_id)

    def _begun_plan(self) -> Plan:
        if self._plan is None:
            raise SinkError("nothing was begun")
        return self._plan

    def _stored_meanwhile(self, number: int) -> StoredPart | None:
        """What somebody else may have stored, unless there was nobody: of thousands of parts, only this one is told."""
        if self._is_ours:
            return None
        with fenced():
            return list_parts(self._target, number).get(number)

    # How it appears

    def _find_published(self, size: int | None) -> bool:
        """Whether the object is there, of this generation: as what is to be replaced may say, too, when it was edited.

        A tool that writes other bytes may keep what was given with the object.
        """
        found = find_object(self._place, self._key)
        if found is None or found.version == self._replaced_version:
            return False
        return found.metadata.get(GENERATION, "") == self._generation and size in (None, found.size)

    def _all_parts(self, size: int) -> dict[int, str]:
        """The ETags of all parts, as the store has them now."""
        try:
            stored = list_parts(self._target)
        except UploadEndedError:
            raise IncompleteFileError("the upload was ended by somebody else") from None
        self._check_whole(stored, size)
        return {number: part.etag for number, part in stored.items()}

    def _make_object(self, etags: Mapping[int, str]) -> None:
        if self._proved not in (None, etags):
            raise SinkError("a part was replaced after it was checked")
        self._versions, seen = etags_made_of(etags), self._seen()
        try:
            self._versions.add(complete_upload(self._target, etags, seen.boto3_condition))
        except (ChangedElsewhereError, UploadEndedError):  # unless that was us, and only the answer was lost
            if made_of(self._target, etags) is None:
                raise

    def _seen(self) -> Seen:
        """What is to be replaced; where that is gone, nothing. ChangedElsewhereError when there is something else."""
        version = self._replaced_version
        found = find_object(self._place, self._key)
        seen = Seen(self._place, self._key, version if found is not None else "")
        if found is not None and found.version != version:
            raise seen.changed()
        return seen

    def _published_object(self) -> ObjectInfo:
        found = find_object(self._place, self._key)
        if found is None:
            raise ChangedElsewhereError(f"what was written to {self._place} was removed again")
        return found

    def _published_checksum(self, plan: Plan) -> Checksum:
        """Of the object, as its ETag tells; at a store that makes ETags otherwise, as it is read back."""
        found = self._published_object()
        if found.checksum is not None and found.checksum.part_size == plan.part_size:
            return found.checksum
        source = S3Source(self._place, self._key)
        return checksum_of_parts((md5_of(_read(source, part)) for part in plan), plan.part_size)


def _parts_of(target: Target) -> dict[int, StoredPart] | None:
    """What is stored; None when the upload has just ended."""
    try:
        return list_parts(target)
    except UploadEndedError:
        return None


def _read(source: Source, part: Part) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(CHUNK_BYTES))
    with source.open(part.offset, part.end) as reader:
        while count := reader.readinto(buffer):
            yield buffer[:count]
