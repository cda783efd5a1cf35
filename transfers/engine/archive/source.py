"""A zip archive as a file to read, which nobody has to build first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from transfers.engine.archive.layout import Layout
from transfers.engine.archive.members import MemberRange, Method
from transfers.engine.archive.reader import ArchiveReader
from transfers.engine.base import (
    Abortable,
    LocatedSource,
    ObjectRange,
    Reader,
    Source,
    SourceInfo,
    Validator,
    ValidatorKind,
)
from transfers.errors import MemberError, SourceChangedError, SourceError, SourceInterruptedError

CONTENT_TYPE = "application/zip"


class ArchiveSource:
    """The archive that `layout` describes; `member_source` gives the stored bytes of the member with a number, from 0.

    Members are opened one at a time, as their bytes are asked for. One that fails, that has not as many bytes as were
    laid out, or other ones than when a piece of it was read before, is a MemberError. What can be known of a file
    beyond that (its ETag, say) is for `member_source` to insist on: it is asked anew for every range.
    """

    def __init__(self, layout: Layout, member_source: Callable[[int], Source]) -> None:
        self._layout = layout
        self._member_source = member_source
        self._validators: dict[int, Validator | None] = {}
        """Of the members that were not opened as a whole: two pieces must be of the same file."""
        self._open: dict[object, Abortable] = {}
        self._lock = threading.Lock()
        self._aborted = False

    def stat(self) -> SourceInfo:
        """What the layout says; no member is looked at."""
        validator = Validator(ValidatorKind.VERSION, self._layout.validator)
        return SourceInfo(self._layout.size, validator, ranges=True, content_type=CONTENT_TYPE)

    @contextmanager
    def open(self, offset: int, end: int | None) -> Iterator[Reader]:
        """Open the bytes from `offset` up to before `end` (None: to the end); what is wrong with members shows later.

        SourceInterruptedError for more bytes than the archive has.
        """
        self.fail_if_aborted()
        end = self._layout.size if end is None else end
        if end > self._layout.size:
            raise SourceInterruptedError(f"the archive has {self._layout.size} bytes, not {end}")
        reader = ArchiveReader(self, self._layout.runs(min(offset, end), end))
        try:
            yield reader
        except BaseException:
            reader.drop()
            raise
        reader.close()

    def abort(self) -> None:
        """Make every open reader fail soon and every later call at once; from any thread, any number of times."""
        with self._lock:
            self._aborted = True
            for source in self._open.values():
                source.abort()

    # For its readers

    @contextmanager
    def opened(self, wanted: MemberRange) -> Iterator[Reader]:
        """Open a range of a member's stored bytes; SourceError."""
        with self._checked(wanted) as source, source.open(wanted.offset, wanted.end) as reader:
            yield reader

    def stored_at(self, wanted: MemberRange) -> ObjectRange | None:
        """Where a store has this range of a member, if one does; MemberError, and as `fail_if_aborted`."""
        with self.failures(wanted.number), self._checked(wanted) as source:
            return source.stored_at(wanted.offset, wanted.end) if isinstance(source, LocatedSource) else None

    def crc32_to_check(self, wanted: MemberRange) -> int | None:
        """What all of a member's stored bytes must have; None where the range is not all of them, or nothing tells."""
        member = self._layout.member(wanted.number)
        is_whole = wanted.offset == 0 and wanted.end == member.stored_size
        return member.crc32 if is_whole and member.method is Method.STORED else None

    @contextmanager
    def failures(self, number: int) -> Iterator[None]:
        """Tell what goes wrong with a member as that; if the archive was aborted, it is this that went wrong."""
        try:
            yield
        except SourceError as error:
            self.fail_if_aborted()
            raise MemberError.of(number, error) from error

    def fail_if_aborted(self) -> None:
        """SourceInterruptedError when the archive was aborted."""
        if self._aborted:
            raise SourceInterruptedError("the transfer was told to end")

    @contextmanager
    def _checked(self, wanted: MemberRange) -> Iterator[Source]:
        """The member's source, once it has told that it is the one that was laid out; `abort` reaches it."""
        source = self._member_source(wanted.number)
        with self._abortable(source):
            info = source.stat()
            stored_size = self._layout.member(wanted.number).stored_size
            if info.size != stored_size:
                raise SourceChangedError(f"it has {info.size} bytes, not {stored_size}")
            is_whole = wanted.end - wanted.offset == stored_size
            if not is_whole and self._validators.setdefault(wanted.number, info.validator) != info.validator:
                raise SourceChangedError("it was changed while the archive was read")
            yield source

    @contextmanager
    def _abortable(self, source: Source) -> Iterator[None]:
        if not isinstance(source, Abortable):
            yield
            return
        opening = object()
        with self._lock:
            self.fail_if_aborted()
            self._open[opening] = source
        try:
            yield
        finally:
            with self._lock:
                del self._open[opening]
