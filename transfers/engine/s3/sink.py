"""Objects built in the store from a plan's parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from transfers.engine.base import Located, Reader, StoredPart
from transfers.engine.plan import MAX_PARTS, Part, Plan
from transfers.engine.s3.client import S3Place
from transfers.engine.s3.objects import find_object
from transfers.engine.s3.part_copies import copy_part
from transfers.engine.s3.parts import send_part
from transfers.engine.s3.uploads import (
    Target,
    abort_upload,
    begin_upload,
    complete_upload,
    list_parts,
    unfinished_uploads,
)
from transfers.errors import IncompleteFileError, InvalidInputError, SinkError, TooLargeError, UploadEndedError

GENERATION = "generation"
"""Under this name an object's metadata has the generation that it was made in."""
UNSIZED_PIECE_BYTES = 32 * 2**20
"""What a file of unknown size is cut into, each held in memory, as S3 wants every size first: up to 312 GiB of file."""


class S3Sink:
    """An object being built; `upload_id` is for the owner to note after `begin`, and to make the sink with again.

    A generation has an upload of its own, and a new one ends all others of the same key, so that nobody who still
    writes to an old one can ever complete it. The store keeps whole parts only: of a part whose reader fails, nothing.
    """

    def __init__(
        self,
        place: S3Place,
        key: str,
        *,
        generation: str = "",
        upload_id: str = "",
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._place = place
        self._key = key
        self._generation = generation
        self._upload_id = upload_id
        self._content_type = content_type
        self._metadata = {GENERATION: generation, **(metadata or {})}
        self._plan: Plan | None = None
        self._published = False

    @property
    def upload_id(self) -> str:
        """What the store calls the upload; "" before `begin`."""
        return self._upload_id

    def begin(self, plan: Plan) -> None:
        """Begin an upload, or go on with the one that is known if its parts fit the plan; may be repeated."""
        self._plan = plan
        if not self._goes_on(plan):
            self._start()

    def stored_parts(self) -> dict[int, StoredPart]:
        """What the store lists, as parts of the plan."""
        if self._plan is None or not self._upload_id:
            return {}
        if self._published:
            return {part.number: StoredPart(part.number, part.size or 0) for part in self._plan}
        with fenced():
            stored = list_parts(self._target)
        if self._plan.size is None:
            size = sum(piece.size for piece in stored.values())
            return {1: StoredPart(1, size)} if stored else {}
        return stored

    def write_part(self, part: Part, reader: Reader, start: int = 0) -> StoredPart:
        """Store the part; of one that is stored already no byte may be left to read.

        Of a part whose reader fails nothing is kept.
        """
        with fenced():
            if part.size is None:
                return self._write_unsized(reader, start)
            if start == 0:
                return self._copied(part, reader) or send_part(self._target, part.number, reader, part.size)
        if reader.readinto(memoryview(bytearray(1))) or start != part.size:
            raise SinkError(f"the store cannot go on with part {part.number} from its byte {start}")
        return StoredPart(part.number, start)

    def complete(self, size: int) -> None:
        """Have the store make the object; may be repeated after a crash."""
        if self._published:
            return
        with fenced():
            try:
                stored = list_parts(self._target)
                self._check_whole(stored, size)
                self._make_object({number: part.etag for number, part in stored.items()})
            except UploadEndedError:
                if not self._find_published(size):
                    raise
        self._published = True

    def abort(self) -> None:
        """Have the store forget every unfinished upload of this key."""
        for upload in unfinished_uploads(self._place, self._key):
            if upload.key == self._key:
                abort_upload(Target(self._place, self._key, upload.upload_id))
        self._upload_id, self._published = "", False

    @property
    def _target(self) -> Target:
        if not self._upload_id:
            raise SinkError("nothing was begun")
        return Target(self._place, self._key, self._upload_id)

    # How it begins

    def _goes_on(self, plan: Plan) -> bool:
        if not self._upload_id:
            return False
        try:
            stored = list_parts(self._target)
        except UploadEndedError:  # completed, before a crash, or aborted
            self._published = self._find_published(plan.size)
            return self._published
        return fits(stored, plan)

    def _start(self) -> None:
        self.abort()
        target = begin_upload(self._place, self._key, self._content_type, self._metadata)
        self._upload_id = target.upload_id

    def _find_published(self, size: int | None) -> bool:
        """Whether the object is there, and of this generation."""
        found = find_object(self._place, self._key)
        if found is None or found.metadata.get(GENERATION, "") != self._generation:
            return False
        return size in (None, found.size)

    # What is stored

    def _make_object(self, etags: Mapping[int, str]) -> None:
        """Have the store make the object of these parts by number."""
        complete_upload(self._target, etags)

    def _copied(self, part: Part, reader: Reader) -> StoredPart | None:
        """The part, if the store has all of it elsewhere and can take it from there."""
        wanted = reader.stored_at() if isinstance(reader, Located) else None
        if wanted is None or wanted.end - wanted.offset != part.size:
            return None
        return copy_part(self._target, part.number, wanted)

    def _write_unsized(self, reader: Reader, start: int) -> StoredPart:
        """Store a file of unknown size piece by piece, each as a part of the store's, from the end of the last one."""
        if start == 0 and self.stored_parts():
            self._start()
        stored = list_parts(self._target)
        if start != sum(piece.size for piece in stored.values()):
            raise SinkError(f"the store cannot go on with the file from its byte {start}")
        buffer = memoryview(bytearray(UNSIZED_PIECE_BYTES))
        number, size = len(stored), start
        while (count := _fill(buffer, reader)) or not number:
            number += 1
            if number > MAX_PARTS:
                raise SinkError(f"the file has more than {size} bytes, which its size had to be known for")
            send_part(self._target, number, _Piece(buffer[:count]), count)
            size += count
        return StoredPart(1, size)

    def _check_whole(self, stored: Mapping[int, StoredPart], size: int) -> None:
        plan = self._plan
        if plan is None or plan.size not in (None, size):
            raise IncompleteFileError(f"{size} bytes do not fit the plan")
        if plan.size is not None and len(stored) != len(plan):
            raise IncompleteFileError(f"{len(stored)} of {len(plan)} parts are stored")
        have = sum(part.size for part in stored.values())
        if have != size or not stored:
            raise IncompleteFileError(f"{have} of {size} bytes are stored")


@contextmanager
def fenced() -> Iterator[None]:
    """Tell as a failure of the transfer that a newer generation has ended our upload, or what clients are told."""
    try:
        yield
    except UploadEndedError:
        raise SinkError("the upload was ended by somebody else") from None
    except (InvalidInputError, TooLargeError) as error:
        raise SinkError(error.message) from None


def fits(stored: Mapping[int, StoredPart], plan: Plan) -> bool:
    """Whether these may be the plan's parts, stored whole."""
    if plan.size is None:
        return list(stored) == [*range(1, len(stored) + 1)]
    return all(number <= len(plan) and part.size == plan.part(number).size for number, part in stored.items())


def _fill(buffer: memoryview, reader: Reader) -> int:
    """Read until the buffer is full or the reader ends; how many bytes there are."""
    filled = 0
    while filled < len(buffer) and (count := reader.readinto(buffer[filled:])):
        filled += count
    return filled


class _Piece:
    """Bytes at hand, as a reader."""

    def __init__(self, content: memoryview) -> None:
        self._rest = content

    def readinto(self, buffer: memoryview, /) -> int:
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count
