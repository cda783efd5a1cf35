"""The parts of one upload on their way."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from itertools import islice

from carryon.display import Track
from carryon.errors import DamagedError
from carryon.local_file import LocalFile, PartBody
from carryon.plan import Part, Plan
from carryon.retry import Patience
from carryon.server import Server
from carryon.state import Store, Unfinished


@dataclass(frozen=True, slots=True)
class Senders:
    """The threads that send parts, of all files together."""

    executor: Executor
    count: int


class Sending:
    """What is there of an upload's parts, and the sending of what is not."""

    def __init__(
        self,
        file: LocalFile,
        upload: Unfinished,
        *,
        server: Server,
        store: Store,
        senders: Senders,
        patience: Patience,
        track: Track,
        whole_md5: str = "",
    ) -> None:
        """Parts of `file` go to `server` as parts of `upload`, and `store` remembers them.

        `whole_md5` is that of the whole file, as hex, where it is known.
        """
        self._file, self._upload = file, upload
        self._server, self._store, self._senders = server, store, senders
        self._patience, self._track = patience, track
        self._whole_md5 = whole_md5
        self._lock = threading.Lock()
        self._plan = Plan(file.size, upload.part_size)
        self._sent = 0

    @property
    def there(self) -> Mapping[int, str]:
        """MD5 of each part that the server has as our file has it."""
        return self._upload.parts

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many parts the file has, are there, and were sent by us."""
        return len(self._plan), len(self.there), self._sent

    @property
    def bytes_there(self) -> int:
        """Bytes of those parts."""
        return sum(self._plan.part(number).size for number in self.there)

    def settle(self, told: Mapping[int, str]) -> None:
        """Take what the server tells to have, as far as our file has the same in those places."""
        self._upload.parts = {number: md5 for number, md5 in told.items() if self._is_ours(number, md5)}

    def send_missing(self) -> None:
        """Send what is not there, some parts at a time; the first failure, once no part is on its way any more."""
        missing = (part for part in list(self._plan) if part.number not in self.there)
        running = {self._submit(part) for part in islice(missing, self._senders.count)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for each in done:
                    each.result()
                running |= {self._submit(part) for part in islice(missing, len(done))}
        finally:
            wait(running)

    def _is_ours(self, number: int, md5: str) -> bool:
        if number > len(self._plan):
            return False
        return self.there.get(number) == md5 or self._md5_of(self._plan.part(number)) == md5

    def _submit(self, part: Part) -> Future[None]:
        return self._senders.executor.submit(self._send, part)

    def _send(self, part: Part) -> None:
        md5 = self._md5_of(part)
        self._patience.call(lambda: self._attempt(part, md5))
        with self._lock:
            self._upload.parts[part.number] = md5
            self._sent += 1
            self._store.keep(self._upload)

    def _attempt(self, part: Part, md5: str) -> None:
        """Send a part once, and count its bytes for as long as that goes well."""
        count = _Count(self._track)
        self._file.check_unchanged()
        try:
            self._put(part, md5, PartBody(self._file, part, count.add))
        except BaseException as error:
            count.take_back()
            if isinstance(error, DamagedError):
                self._file.check_unchanged()  # or it is no wonder
            raise

    def _put(self, part: Part, md5: str, body: PartBody) -> None:
        if self._server.put_part(self._upload.file_id, part, body, md5) != md5:
            raise DamagedError("a part did not arrive as it was sent")

    def _md5_of(self, part: Part) -> str:
        """The part's MD5; that of a file of one part is known already, and binds it to what was read then."""
        return self._whole_md5 if self._whole_md5 and len(self._plan) == 1 else self._file.md5_of(part)


class _Count:
    """What one attempt has added to the progress."""

    def __init__(self, track: Track) -> None:
        self._track, self._bytes = track, 0

    def add(self, count: int) -> None:
        self._bytes += count
        self._track.advance(count)

    def take_back(self) -> None:
        self._track.advance(-self._bytes)
