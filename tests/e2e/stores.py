"""What stands between the service and the S3 store that its files lie in, and what is to be seen of them there."""

from __future__ import annotations

import asyncio
import re
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos import ChaosProxy
from tests.e2e.carryon import Carryon
from tests.s3 import BUCKET, S3Server

PREFIX = "files of/carryon"
"""With a space and a slash: what a signature has to survive."""
HELD_SECONDS = 30

COMPLETING = rb"^POST [^ ?]*upload-%d/[^ ?]*\?uploadId="
"""The request that makes the file of an upload."""
COMPLETED = rb"CompleteMultipartUploadResult(?s:.)*upload-%d/"
"""The answer that it was made."""


class Hold:
    """What is held back at a gate until `release`; `lost` is what then never gets through."""

    def __init__(self, pattern: bytes, loop: asyncio.AbstractEventLoop, *, lost: bool) -> None:
        self._loop = loop
        self.pattern = re.compile(pattern)
        self.lost = lost
        self.reached = threading.Event()
        self.released = asyncio.Event()

    def wait_until_reached(self) -> None:
        """Wait until something is held back."""
        assert self.reached.wait(HELD_SECONDS)

    def release(self) -> None:
        """Let it go on."""
        self._loop.call_soon_threadsafe(self.released.set)


class Gate(ChaosProxy):
    """A proxy before a store that can hold back what it is told to."""

    def __init__(self, store: S3Server) -> None:
        super().__init__(("127.0.0.1", store.port))
        self._holds: list[Hold] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def holding(self, pattern: bytes, *, lost: bool = False) -> Iterator[Hold]:
        """Hold back requests and answers that have this in them until the block ends; for good if they are lost."""
        hold = Hold(pattern, self._loop, lost=lost)
        self._holds.append(hold)
        try:
            yield hold
        finally:
            self._holds.remove(hold)
            hold.release()

    async def _pass(self, piece: bytes, sink: socket.socket) -> None:
        for hold in [each for each in self._holds if each.pattern.search(piece)]:
            hold.reached.set()
            await hold.released.wait()
            if hold.lost:
                raise ConnectionAbortedError
        await super()._pass(piece, sink)


@dataclass(frozen=True, slots=True)
class Bucket:
    """What the store has, and what the service's database says that it should have."""

    store: S3Server
    carryon: Carryon

    def objects(self) -> set[str]:
        """The objects in the bucket."""
        listed = self.store.plain.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {each["Key"] for each in listed}

    def unfinished(self) -> set[tuple[str, str]]:
        """The multipart uploads in the bucket: key and UploadId."""
        try:
            listed = self.store.plain.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        except self.store.plain.exceptions.ClientError:  # rclone, of a bucket that never had any
            return set()
        return {(each["Key"], each["UploadId"]) for each in listed}

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the database answers."""
        with closing(sqlite3.connect(self.carryon.data_dir / "carryon.sqlite3", timeout=20)) as database:
            return database.execute(query, values).fetchall()

    def execute(self, statement: str, *values: object) -> None:
        """Change the database behind the service's back."""
        with closing(sqlite3.connect(self.carryon.data_dir / "carryon.sqlite3", timeout=20)) as database, database:
            database.execute(statement, values)

    def state(self, upload: int) -> str:
        """Where the upload stands; "none" when it is no more."""
        rows = self.rows("SELECT state FROM transfers_upload WHERE id = ?", upload)
        return str(rows[0][0]) if rows else "none"

    def name(self, upload: int) -> str:
        """The UploadId that the service has noted."""
        return str(self.rows("SELECT collection_name FROM transfers_upload WHERE id = ?", upload)[0][0])

    def key(self, upload: int) -> str:
        """The key of the object that the upload becomes."""
        location = str(self.rows("SELECT location FROM transfers_upload WHERE id = ?", upload)[0][0])
        return location.removeprefix(f"s3://{BUCKET}/")

    def is_as_the_database_says(self) -> bool:
        """Whether the bucket has one object for each file and one multipart upload for each open one, and no more."""
        files = {row[0] for row in self.rows("SELECT path FROM transfers_storedfile")}
        kept = self.rows("SELECT location, collection_name FROM transfers_upload WHERE state IN ('open', 'completing')")
        at = f"s3://{BUCKET}/"
        return files == {at + key for key in self.objects()} and set(kept) == {
            (at + key, name) for key, name in self.unfinished()
        }


def files_below(folder: Path) -> list[Path]:
    """Files of uploads on the service's own disk."""
    return [path for path in folder.rglob("*") if path.is_file()]
