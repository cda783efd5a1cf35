"""The servers: how each is sent a file, and what is known of it."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import requests

from benchmarks.upload.client import Answer, Client, Lane, Request
from benchmarks.upload.servers import wait_until_idle
from benchmarks.upload.source import MIB, Piece, Source


@dataclass(frozen=True)
class Load:
    """A file to be sent, how it is cut up, and over how many connections."""

    size: int
    part_bytes: int
    connections: int


@dataclass(frozen=True)
class Job:
    """A file that is ready to be sent."""

    lanes: Sequence[Lane]
    last: Request | None
    """Sent when the lanes are empty; None where the last part makes the file whole."""
    pieces: Sequence[Piece]
    keys: Sequence[str]
    """What the server calls it, or its pieces."""


class Contender(ABC):
    """A running server and one way to upload to it."""

    name: str
    hashes: str
    """What it checks or computes of each byte."""
    syncs: str
    """What is on the disk, not in the page cache, when that is answered."""
    files_each = False
    """Whether each connection needs a file of its own."""
    joins = False
    """Whether it joins those files in the end, so that one connection makes no sense."""

    def __init__(self, port: int, pid: int, source: Source) -> None:
        self.port = port
        self.pid = pid
        self.source = source

    @abstractmethod
    def begin(self, load: Load) -> Job:
        """Tell the server of a file, and make the requests that send it."""

    @abstractmethod
    def sha256(self, job: Job) -> str:
        """Of what the server has stored, as hex."""

    @abstractmethod
    def forget(self, job: Job) -> None:
        """Have the server's files removed."""

    def settle(self) -> None:  # noqa: B027 - most have nothing to wait for
        """Wait until what it does after the last answer is done."""

    def ask(self, request: Request) -> Answer:
        """Ask something beside the measured requests."""
        with closing(Client(self.port, self.source)) as client:
            return client.ask(request)


class Carryon(Contender):
    """Ours: form data as the contract has it, or raw bodies."""

    syncs = "each part"
    hashes = "MD5"
    address = "/ehealth-base/multipart/upload"

    def __init__(self, *arguments: Any, token: str, worker: int, raw: bool) -> None:
        super().__init__(*arguments)
        self._identity = {"Authorization": f"Bearer {token}"}
        self._worker = worker
        self._raw = raw
        self.name = "carryon, raw PUT" if raw else "carryon, form data"

    def begin(self, load: Load) -> Job:
        """Parts in any order, and `complete`."""
        pieces = self.source.pieces(load.size, load.part_bytes)
        fields = {"option": "initiate", "catalog": "bench", "fileName": "bench.bin", "fileSize": str(load.size)}
        key = str(json.loads(self.ask(self._form(fields)).body)["fileId"])
        make = self._put if self._raw else self._post
        parts = Lane(make(key, number, piece) for number, piece in enumerate(pieces, 1))
        md5s = {str(number): self._md5(piece).hex() for number, piece in enumerate(pieces, 1)}
        complete = self._form({"option": "complete", "fileId": key, "parts": json.dumps(md5s)})
        return Job([parts] * load.connections, complete, pieces, [key])

    def sha256(self, job: Job) -> str:
        """Of what the file's owner gets."""
        digest = hashlib.sha256()
        with requests.get(self._url(job), headers=self._identity, stream=True, timeout=120) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_content(MIB):
                digest.update(chunk)
        return digest.hexdigest()

    def forget(self, job: Job) -> None:
        """Delete the stored file."""
        url = self._url(job).removesuffix("/content")
        requests.delete(url, headers=self._identity, timeout=120).raise_for_status()

    def settle(self) -> None:
        """Wait for the checksums that a worker takes of whole files."""
        wait_until_idle(self._worker)

    def _url(self, job: Job) -> str:
        """Where the file is; `complete` may be asked again."""
        url = json.loads(self.ask(cast("Request", job.last)).body)["url"]
        return f"http://127.0.0.1:{self.port}{urlsplit(url).path}"

    def _md5(self, piece: Piece) -> bytes:
        return self.source.digest("md5", piece)

    def _put(self, key: str, number: int, piece: Piece) -> Request:
        md5 = base64.b64encode(self._md5(piece)).decode()
        headers = {**self._identity, "Content-MD5": md5, "Content-Type": "application/octet-stream"}
        return Request("PUT", f"{self.address}/{key}/parts/{number}", headers, [piece])

    def _post(self, key: str, number: int, piece: Piece) -> Request:
        return self._form({"fileId": key, "part": str(number), "md5": self._md5(piece).hex()}, piece)

    def _form(self, fields: dict[str, str], piece: Piece | None = None) -> Request:
        boundary = "----carryon-bench-5e2f0d6a"
        line = f'--{boundary}\r\nContent-Disposition: form-data; name="'
        head = "".join(f'{line}{name}"\r\n\r\n{value}\r\n' for name, value in fields.items())
        end = f"--{boundary}--\r\n".encode()
        headers = {**self._identity, "Content-Type": f"multipart/form-data; boundary={boundary}"}
        if piece is None:
            return Request("POST", self.address, headers, [head.encode() + end])
        head += f'{line}file"; filename="bench.bin"\r\nContent-Type: application/octet-stream\r\n\r\n'
        return Request("POST", self.address, headers, [head.encode(), piece, b"\r\n" + end])


class _FilesOnDisk(Contender):
    """A peer whose files are looked at where it has put them."""

    def __init__(self, *arguments: Any, store: Path) -> None:
        super().__init__(*arguments)
        self._store = store

    def sha256(self, job: Job) -> str:
        """Of its files, one after the other."""
        digest = hashlib.sha256()
        for key in job.keys:
            with (self._store / key).open("rb") as file:
                while chunk := file.read(MIB):
                    digest.update(chunk)
        return digest.hexdigest()

    def forget(self, job: Job) -> None:  # noqa: ARG002 - nothing else is there
        """Remove all of its files."""
        for path in self._store.iterdir():
            if path.is_file():
                path.unlink()


class Tus(_FilesOnDisk):
    """A tus server, which takes the parts of a file in order only: more connections need more files."""

    hashes = "nothing"
    syncs = "nothing"
    files_each = True
    version = {"Tus-Resumable": "1.0.0", "Upload-Metadata": f"filename {base64.b64encode(b'bench.bin').decode()}"}

    def __init__(self, *arguments: Any, product: str, store: Path) -> None:
        super().__init__(*arguments, store=store)
        self.name = product

    def begin(self, load: Load) -> Job:
        """A file for each connection."""
        pieces: list[Piece] = []
        lanes, keys = [], []
        for number in range(load.connections):
            share = load.size // load.connections + (load.size % load.connections if number == 0 else 0)
            ours = self.source.pieces(share, load.part_bytes, len(pieces))
            path = self._create({"Upload-Length": str(share)})
            lanes.append(self._patches(path, ours))
            keys.append(path.rpartition("/")[2])
            pieces += ours
        return Job(lanes, self._joining(keys), pieces, keys)

    def _create(self, headers: dict[str, str]) -> str:
        answer = self.ask(Request("POST", "/files", {**self.version, **headers}))
        return urlsplit(answer.headers["location"]).path

    def _patches(self, path: str, pieces: Sequence[Piece]) -> Lane:
        lane, offset = Lane(), 0
        kind = {"Content-Type": "application/offset+octet-stream"}
        for piece in pieces:
            headers = {**self.version, **kind, "Upload-Offset": str(offset)}
            lane.append(Request("PATCH", path, headers, [piece]))
            offset += piece.size
        return lane

    def _joining(self, keys: Sequence[str]) -> Request | None:  # noqa: ARG002 - here there is none
        """What makes one file of several."""
        return None


class JoiningTus(Tus):
    """tuspyserver with the concatenation extension, which copies the files of all connections into one."""

    syncs = "the joined file"
    files_each = False
    joins = True

    def sha256(self, job: Job) -> str:
        """Of the one file that is left."""
        [key] = [path.name for path in self._store.iterdir() if path.is_file() and path.suffix != ".info"]
        return super().sha256(replace(job, keys=[key]))

    def _create(self, headers: dict[str, str]) -> str:
        return super()._create({**headers, "Upload-Concat": "partial"})

    def _joining(self, keys: Sequence[str]) -> Request | None:
        urls = " ".join(f"/files/{key}" for key in keys)
        return Request("POST", "/files", {**self.version, "Upload-Concat": f"final;{urls}"})


class Copyparty(_FilesOnDisk):
    """copyparty with up2k, its own protocol: chunks in any order, several to a request, each told by its SHA-512."""

    name = "copyparty, up2k"
    hashes = "SHA-512"
    syncs = "nothing"
    key = "bench.bin"

    def begin(self, load: Load) -> Job:
        """As many chunks to a request as a part has room for; the last chunk goes alone."""
        chunk_bytes = self.chunk_bytes(load.size)
        pieces = self.source.pieces(load.size, chunk_bytes)
        hashes = [self._hash(piece) for piece in pieces]
        told = {"name": self.key, "size": load.size, "lmod": int(time.time()), "hash": hashes}
        handshake = Request("POST", "/", {"Content-Type": "application/json"}, [json.dumps(told).encode()])
        answer = json.loads(self.ask(handshake).body)
        if answer["hash"] != hashes:
            raise SystemExit("copyparty has some of the file already")
        step = max(1, load.part_bytes // chunk_bytes)
        runs = [slice(start, min(start + step, len(pieces) - 1)) for start in range(0, len(pieces) - 1, step)]
        runs.append(slice(len(pieces) - 1, None))
        lane = Lane(self._post(answer["wark"], hashes[run], pieces[run]) for run in runs)
        return Job([lane] * load.connections, None, pieces, [self.key])

    @staticmethod
    def chunk_bytes(size: int) -> int:
        """The size of a chunk that its server and its clients have agreed on."""
        chunk, step = MIB, MIB // 2
        while True:
            for factor in (1, 2):
                if -(-size // chunk) <= 256 or chunk >= 32 * MIB:
                    return chunk
                chunk += step
                step *= factor

    def _hash(self, piece: Piece) -> str:
        return base64.urlsafe_b64encode(self.source.digest("sha512", piece)[:33]).decode()

    def _post(self, wark: str, hashes: Sequence[str], pieces: Sequence[Piece]) -> Request:
        told = {"X-Up2k-Hash": ",".join(hashes), "X-Up2k-Wark": wark, "Content-Type": "application/octet-stream"}
        return Request("POST", "/", told, pieces)
