"""The upload of one file, from its first byte to the server's word that it has the whole.

Whatever ends it, the next run goes on from there: an upload is remembered before its first part is sent, and which
parts are there is asked of the server. A part counts only with the MD5 that our own file has in that place.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field

from carryon.answers import Begun, Stored
from carryon.display import Phase, Track
from carryon.errors import (
    NoSuchUploadError,
    PartsDifferError,
    UnverifiedError,
    UploadEndedError,
)
from carryon.local_file import LocalFile
from carryon.outcome import Outcome, Status
from carryon.plan import Plan
from carryon.retry import Patience
from carryon.sending import Senders, Sending
from carryon.server import Description, Server
from carryon.state import Key, Store, Unfinished
from carryon.stop import Stop
from carryon.verdict import await_verdict

READ_UNASKED_BYTES = 500_000_000
"""What is read within about a second, before the server is known to be there and to know us."""
_UNREAD = "unread-"
"""Stands before what serves as the MD5 of a file that is not read before it is sent."""


@dataclass(frozen=True, slots=True)
class Job:
    """A file to upload, and what the server is told of it."""

    file: str
    """As the user named it."""
    catalog: str
    mode: int | None = None
    notes: str | None = None
    verify: bool = True
    """Whether the whole file's MD5 is taken before, and checked by the server after."""

    @classmethod
    def again(cls, upload: Unfinished) -> Job:
        """What goes on with an upload that was begun; the server remembers the rest."""
        return cls(upload.path, upload.key.catalog, verify=not upload.key.md5.startswith(_UNREAD))


@dataclass(frozen=True, slots=True)
class Means:
    """What all uploads of a run share."""

    server: Server
    store: Store
    senders: Senders
    stop: Stop
    retry_seconds: float
    part_size: int | None = None
    """Bytes; None for what the server suggests."""
    reading: threading.Lock = field(default_factory=threading.Lock)
    """Held while a whole file is read: disks are fastest with one at a time."""


class Upload:
    """One file on its way; `outcome` tells where it stands, also after a failure."""

    def __init__(self, job: Job, file: LocalFile, means: Means, track: Track, outcome: Outcome) -> None:
        self._job, self._file, self._means, self._track, self._outcome = job, file, means, track, outcome
        self._server, self._store = means.server, means.store
        self._patience = Patience(means.retry_seconds, means.stop, track.waits)
        self._path = str(file.path.absolute())

    def run(self) -> None:
        """Have the server hold the file, whole; any ClientError, Stopped."""
        self._outcome.size = self._file.size
        if self._means.part_size:
            Plan(self._file.size, self._means.part_size)  # before an hour is spent on reading
        key = Key(self._server.url, self._job.catalog, self._md5() if self._job.verify else self._mark())
        with self._store.hold(key, self._means.stop):
            stored = self._stored(key)
            self._note(stored)
            self._verify(key, stored)
            self._store.forget(key)
        self._outcome.status = Status.DONE

    def _md5(self) -> str:
        """The whole file's MD5: as it is remembered, if nothing has changed since, or by reading it."""
        known = self._remembered_md5()
        if known is None:
            if self._file.size > READ_UNASKED_BYTES:
                self._patience.call(self._server.greet)
            with self._means.reading:
                self._track.phase(Phase.READING)
                known = self._file.md5(self._track.advance)
        self._outcome.md5 = known
        return known

    def _remembered_md5(self) -> str | None:
        seen = (self._path, self._file.fingerprint)
        uploads = self._store.all(self._server.url)
        md5s = (upload.key.md5 for upload in uploads if (upload.path, upload.fingerprint) == seen)
        return next((md5 for md5 in md5s if not md5.startswith(_UNREAD)), None)

    def _mark(self) -> str:
        """What knows an unread file again as long as nobody changes or moves it."""
        seen = repr((self._path, self._file.fingerprint))
        return _UNREAD + hashlib.md5(seen.encode(errors="surrogateescape"), usedforsecurity=False).hexdigest()

    def _stored(self, key: Key) -> Stored:
        """Begin or go on, until the server has the whole file."""
        upload, begun = self._begin(key)
        self._outcome.fileId = begun.file_id
        if begun.stored:
            return begun.stored
        sending = Sending(
            self._file,
            upload,
            server=self._server,
            store=self._store,
            senders=self._means.senders,
            patience=self._patience,
            track=self._track,
            whole_md5=self._outcome.md5,
        )
        try:
            return self._send(sending, begun)
        except (NoSuchUploadError, UploadEndedError):
            self._store.forget(key)  # the next run begins anew
            raise
        finally:
            self._outcome.parts, self._outcome.there, self._outcome.sent = sending.counts

    def _begin(self, key: Key) -> tuple[Unfinished, Begun]:
        """Go on with an upload that is remembered and that the server still takes parts of; or begin one."""
        upload = self._store.find(key)
        if upload:
            file_id = upload.file_id
            try:
                begun = self._patience.call(lambda: self._server.resume(file_id))
            except (NoSuchUploadError, UploadEndedError):
                self._store.forget(key)
            else:
                upload.path, upload.fingerprint = self._path, self._file.fingerprint
                return upload, begun
        begun = self._patience.call(lambda: self._server.begin(self._description()))
        self._outcome.instant = begun.stored is not None
        part_size = self._means.part_size or begun.part_size
        upload = Unfinished(key, begun.file_id, part_size, self._path, self._file.fingerprint)
        self._store.keep(upload)
        return upload, begun

    def _description(self) -> Description:
        job, file = self._job, self._file
        return Description(file.name, file.size, self._outcome.md5 or None, job.catalog, job.mode, job.notes)

    def _send(self, sending: Sending, begun: Begun) -> Stored:
        """Send what is missing and have the file made of it, as often as parts turn out to be missing still."""
        file_id = begun.file_id
        for last_round in (False, False, True):
            sending.settle(begun.parts)
            self._track.phase(Phase.SENDING, sending.bytes_there)
            sending.send_missing()
            self._file.check_unchanged()
            try:
                return self._patience.call(lambda: self._server.complete(file_id, sending.there))
            except PartsDifferError:
                if last_round:
                    raise
            begun = self._patience.call(lambda: self._server.resume(file_id))
        raise AssertionError("the last round returns or raises")

    def _note(self, stored: Stored) -> None:
        self._outcome.id, self._outcome.name = stored.id, stored.name
        self._outcome.url = self._server.address(stored)

    def _verify(self, key: Key, stored: Stored) -> None:
        """Wait, for a time, until the server has read the whole again; UnverifiedError when it is not our file."""
        if not self._outcome.md5:
            return
        self._track.phase(Phase.CHECKING, self._file.size)
        self._outcome.verified = await_verdict(self._server, stored, self._file.size, self._patience)
        if self._outcome.verified is False:
            self._store.forget(key)
            raise UnverifiedError("what the server has put together is not this file; run the command again")
