"""What a client of lists and orders does, and stored files put there without the long way through an upload."""

from __future__ import annotations

import io
import itertools
import sqlite3
import time
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.e2e.carryon import Carryon

ANSWER_SECONDS = 60
_numbers = itertools.count(1)
_COLUMNS = (
    "owner_id, name, folder, path, size, modified_ns, content_type, md5, sha256, crc32, checksum_error, promised_md5, "
    "created_at, lease_epoch, lease_owner, checksum_attempts"
)
MEMBER_SECONDS = 60


@dataclass
class Ordering:
    """One user of a running service who orders files."""

    carryon: Carryon
    token: str
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.headers["Authorization"] = f"Bearer {self.token}"

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> requests.Response:
        """The reply."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = self.carryon.service.url + path
        return self.session.request(method, url, json=body, headers=named, timeout=ANSWER_SECONDS)

    def told(self, method: str, path: str, body: object = None) -> Any:
        """What a success says."""
        reply = self.ask(method, path, body)
        assert reply.status_code in (200, 202), (reply.status_code, reply.text[:1000])
        return reply.json()

    @property
    def user_id(self) -> int:
        """Who it is."""
        return int(self.told("GET", "/download/list/me")["userId"])

    def new_file(
        self,
        folder: Path,
        name: str,
        content: bytes,
        *,
        content_type: str = "application/octet-stream",
        repeat: int = 1,
        crc32: str | None = None,
        hole: int = 0,
    ) -> int:
        """The id of a stored file of this content, so many times over, as if it had come by upload.

        With `crc32` "" its checksums are still to be taken. A hole of so many bytes behind it takes no space, and is in
        no checksum.
        """
        number = next(_numbers)
        path = folder / f"{number}" / "content"
        path.parent.mkdir(parents=True)
        sum32 = 0
        with path.open("wb") as file:
            for _ in range(repeat):
                file.write(content)
                sum32 = zlib.crc32(content, sum32)
            file.truncate(file.tell() + hole)
        sums = ("m", "s", f"{sum32:08x}") if crc32 is None else ("", "", crc32)
        status = path.stat()
        values = (
            *(self.user_id, name, "", str(path), status.st_size, status.st_mtime_ns, content_type),
            *(*sums, "", "", "2026-11-21 12:00:00", 0, "", 0),
        )
        marks = ", ".join("?" * len(values))
        with closing(self._database()) as database, database:
            made = database.execute(f"INSERT INTO transfers_storedfile ({_COLUMNS}) VALUES ({marks})", values)  # noqa: S608
            return int(made.lastrowid or 0)

    def new_rows(self, count: int, folder: str) -> None:
        """Stored files without bytes, in this folder."""
        user_id, marks = self.user_id, ", ".join("?" * len(_COLUMNS.split(", ")))
        after = (1, 0, "a/b", "m", "s", "00000000", "", "", "2026-11-21 12:00:00", 0, "", 0)
        rows = ((user_id, f"{n}.bin", folder, f"/nowhere/{folder}/{n}", *after) for n in range(count))
        with closing(self._database()) as database, database:
            database.executemany(f"INSERT INTO transfers_storedfile ({_COLUMNS}) VALUES ({marks})", rows)  # noqa: S608

    def forget_rows(self, folder: str) -> None:
        """Those of that folder are not there any more."""
        with closing(self._database()) as database, database:
            database.execute("DELETE FROM transfers_storedfile WHERE folder = ?", (folder,))

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the database answers."""
        with closing(self._database()) as database:
            return database.execute(query, values).fetchall()

    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(self.carryon.data_dir / "carryon.sqlite3", timeout=20)

    # The phases

    def order(self, file_ids: Sequence[int], name: str = "files.zip") -> str:
        """The id of an order of these files."""
        for file_id in file_ids:
            self.told("POST", "/download/list/me/add", {"fileHandleId": file_id})
        sub_set = [{"fileHandleId": file_id} for file_id in file_ids]
        return str(self.told("PUT", "/download/list/me/order", {"zipFileName": name, "subSet": sub_set})["orderId"])

    def start(self, order: str) -> str:
        """The id of the job."""
        return str(self.told("POST", f"/download/order/{order}/async/start")["jobId"])

    def result(self, job: str, seconds: float = MEMBER_SECONDS) -> dict[str, Any]:
        """What became of it, once that is known."""
        deadline = time.monotonic() + seconds
        while (reply := self.ask("GET", f"/async/get/{job}")).status_code == 202:
            assert time.monotonic() < deadline, reply.text
            time.sleep(0.05)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def listed(self) -> list[int]:
        """What is on the list."""
        return [int(each["fileHandleId"]) for each in self.told("GET", "/download/list/me")["files"]]

    def zip_of(self, result: Mapping[str, Any]) -> bytes:
        """The zip, as a stored file."""
        reply = self.ask("GET", f"/files/{result['resultZipFileHandleId']}/content")
        assert reply.status_code == 200, reply.text[:500]
        return reply.content

    # What lies there

    @property
    def made(self) -> Path:
        """Where zips are made on local disk."""
        return self.carryon.data_dir / "files" / ".made" / str(self.user_id)

    def lying(self) -> set[str]:
        """What lies there."""
        return {path.name for path in self.made.iterdir()} if self.made.is_dir() else set()

    def zips(self) -> set[str]:
        """What should lie there: the zips that the database knows."""
        known = self.rows("SELECT path FROM transfers_storedfile WHERE content_type = 'application/zip'")
        return {Path(path).name for (path,) in known}


def sizes_of(content: bytes) -> dict[str, int]:
    """The sizes in a zip, by name, once every checksum in it was looked at."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {info.filename: info.file_size for info in archive.infolist()}
