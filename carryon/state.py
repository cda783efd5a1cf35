"""What outlives a run: which uploads are unfinished, and where they stand.

One JSON file for all processes of a user, in the shape that the contract recommends, `md5(file) → {fileId, parts}`,
once for each server and catalog. It is read anew and replaced whole, under a lock, by every change.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from carryon.errors import InUseError, StateError
from carryon.local_file import Fingerprint
from carryon.stop import Stop

VERSION = 1
_STATE_LOCK = 0
_LOCK_SPACE = 2**62
"""Byte offsets to lock: more than any file has, which locks may lie beyond the end of."""
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Key:
    """What makes two uploads the same one."""

    server: str
    catalog: str
    md5: str
    """Of the whole file, as hex."""


@dataclass(slots=True)
class Unfinished:
    """An upload that was begun, and is not known to be finished."""

    key: Key
    file_id: int
    part_size: int
    path: str
    """Absolute; where the file was when the upload began or went on."""
    fingerprint: Fingerprint
    parts: dict[int, str] = field(default_factory=dict)
    """MD5 of each part that the server told to have, by number."""


class Store:
    """The file with the unfinished uploads; a context manager, to be used by any thread of any process."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made if need be; StateError when that fails."""
        self.path = folder / "uploads.json"
        self._threads = threading.Condition()
        self._held: set[Key] = set()
        with _explained(self.path):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._locks = os.open(folder / "uploads.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._locks)

    def find(self, key: Key) -> Unfinished | None:
        """The unfinished upload with this key."""
        return next((each for each in self.all(key.server) if each.key == key), None)

    def all(self, server: str) -> list[Unfinished]:
        """Every unfinished upload to that server, in the order in which they began."""
        with self._alone():
            return _uploads(self._read(), server)

    def keep(self, upload: Unfinished) -> None:
        """Remember where this upload stands."""
        key = upload.key

        def change(servers: dict[str, Any]) -> None:
            servers.setdefault(key.server, {}).setdefault(key.catalog, {})[key.md5] = _as_json(upload)

        self._change(change)

    def forget(self, key: Key) -> None:
        """Remember nothing of this upload any more."""

        def change(servers: dict[str, Any]) -> None:
            catalogs = servers.pop(key.server, {})
            catalogs.get(key.catalog, {}).pop(key.md5, None)
            if left := {catalog: uploads for catalog, uploads in catalogs.items() if uploads}:
                servers[key.server] = left

        self._change(change)

    @contextmanager
    def hold(self, key: Key, stop: Stop) -> Iterator[None]:
        """Be the only one who works on this upload; InUseError when another process does.

        Another thread is waited for: it may be sending a file of the same contents. Stopped.
        """
        with self._threads:
            while key in self._held:
                self._threads.wait(_LOOK_SECONDS)
                stop.check()
            self._held.add(key)
        try:
            with self._locked(_offset(key)):
                yield
        finally:
            with self._threads:
                self._held.discard(key)
                self._threads.notify_all()

    @contextmanager
    def _locked(self, offset: int) -> Iterator[None]:
        try:
            fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except OSError as error:
            raise InUseError("another process is sending this very file") from error
        try:
            yield
        finally:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, offset)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._threads, _explained(self.path):
            fcntl.lockf(self._locks, fcntl.LOCK_EX, 1, _STATE_LOCK)
            try:
                yield
            finally:
                fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, _STATE_LOCK)

    def _change(self, change: Callable[[dict[str, Any]], None]) -> None:
        with self._alone():
            servers = self._read()
            change(servers)
            self._replace({"version": VERSION, "servers": servers})

    def _read(self) -> dict[str, Any]:
        """The servers' part of the file; what is no such file, after a mishap, is put aside."""
        try:
            content = json.loads(self.path.read_bytes())
            servers: dict[str, Any] = content["servers"]
            for server in servers:
                _uploads(servers, server)
        except FileNotFoundError:
            return {}
        except (ValueError, LookupError, TypeError, AttributeError):
            self.path.replace(self.path.with_suffix(".broken"))
            return {}
        return servers

    def _replace(self, content: dict[str, Any]) -> None:
        new = self.path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(
            f"{path} is needed to go on after an interruption, and cannot be kept there: {error.strerror}"
            " (XDG_STATE_HOME can name another folder)"
        ) from error


def _offset(key: Key) -> int:
    """A byte to lock for this key, never that of the state itself."""
    digest = hashlib.sha256(f"{key.server}\n{key.catalog}\n{key.md5}".encode()).digest()
    return 1 + int.from_bytes(digest[:8]) % _LOCK_SPACE


def _uploads(servers: dict[str, Any], server: str) -> list[Unfinished]:
    return [
        _from_json(Key(server, catalog, md5), entry)
        for catalog, uploads in servers.get(server, {}).items()
        for md5, entry in uploads.items()
    ]


def _as_json(upload: Unfinished) -> dict[str, Any]:
    return {
        "fileId": upload.file_id,
        "parts": upload.parts,
        "partSize": upload.part_size,
        "path": upload.path,
        "fingerprint": asdict(upload.fingerprint),
    }


def _from_json(key: Key, entry: dict[str, Any]) -> Unfinished:
    return Unfinished(
        key,
        int(entry["fileId"]),
        int(entry["partSize"]),
        str(entry["path"]),
        Fingerprint(**entry["fingerprint"]),
        {int(number): str(md5) for number, md5 in entry["parts"].items()},
    )
