"""What a client of the service does: call the API, and listen on the socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

ANSWER_SECONDS = 90
LIVE = ("queued", "running")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer of the API."""

    status: int
    body: dict[str, Any]
    seconds: float

    @property
    def data(self) -> dict[str, Any]:
        """What a success carries; AssertionError when it is none."""
        assert self.body["status"] == "success", self
        data: dict[str, Any] = self.body["data"]
        return data

    @property
    def id(self) -> str:
        """The download's id."""
        return str(self.data["id"])


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of the socket, with when it came on the monotonic clock."""

    at: float
    text: str
    name: str
    body: dict[str, Any]

    @property
    def message(self) -> dict[str, Any]:
        """The event's own part."""
        message: dict[str, Any] = self.body["message"]
        return message

    @property
    def status(self) -> str:
        """STREAM_RUNNING and so on; empty for the frame that tells the beginning."""
        return str(self.message.get("status", ""))

    @property
    def data(self) -> dict[str, Any]:
        """The data of a stream_status."""
        data: dict[str, Any] = self.message["data"]
        return data


class Listener:
    """An open socket; a thread of its own collects the frames."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._frames: list[Frame] = []
        self._news = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._thread.join(10)

    @property
    def open(self) -> bool:
        """Whether the service has not closed it."""
        return not self._closed

    def frames(self, fid: str | None = None, since: float = 0) -> list[Frame]:
        """What has come so far since that time, of one file or all."""
        with self._news:
            return [frame for frame in self._frames if frame.at >= since and fid in (None, frame.body.get("fid"))]

    def wait_for(
        self, wanted: Callable[[Frame], bool], fid: str | None = None, seconds: float = 30, since: float = 0
    ) -> Frame:
        """The first frame, come or to come, that is wanted; AssertionError when none comes."""
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for frame in self._frames:
                    if frame.at >= since and fid in (None, frame.body.get("fid")) and wanted(frame):
                        return frame
                own = [frame.body for frame in self._frames if fid in (None, frame.body.get("fid"))]
                told = [body.get("message", body) for body in own[-5:]]
                left = deadline - time.monotonic()
                assert left > 0, f"no such frame in {seconds} s, the last were {told}"
                assert not self._closed, f"the socket was closed, the last frames were {told}"
                self._news.wait(left)

    def wait_for_end(self, fid: str, seconds: float = 60, since: float = 0) -> Frame:
        """The frame that tells how the download of this file ended."""
        return self.wait_for(lambda frame: frame.status in ("STREAM_COMPLETED", "STREAM_FAIL"), fid, seconds, since)

    def _listen(self) -> None:
        try:
            while True:
                text = self._connection.recv()
                assert isinstance(text, str)
                name, inner = json.loads(text)
                with self._news:
                    self._frames.append(Frame(time.monotonic(), text, name, json.loads(inner)))
                    self._news.notify_all()
        except ConnectionClosed:
            with self._news:
                self._closed = True
                self._news.notify_all()


class Client:
    """One user of a running service."""

    def __init__(self, url: str, token: str, cid: str = "e2e") -> None:
        self.base = url
        self.token, self.cid = token, cid
        self._headers = {"Authorization": f"Token {token}"}

    def payload(self, url: str, fid: str, folder: str = "") -> dict[str, str]:
        """What start, stop and check are asked with."""
        return {"fileUrl": url, "cid": self.cid, "fid": fid, **({"outputFolder": folder} if folder else {})}

    def start(self, url: str, fid: str, *, folder: str = "", prefer: str = "wait=30") -> Answer:
        """Start or resume; by default the answer waits for the beginning or the failure."""
        return self._post("", self.payload(url, fid, folder), {"Prefer": prefer} if prefer else {})

    def begin(self, url: str, fid: str, *, folder: str = "") -> str:
        """Start without waiting; the download's id."""
        return self.start(url, fid, folder=folder, prefer="respond-async").id

    def stop(self, url: str, fid: str, folder: str = "") -> Answer:
        """Stop."""
        return self._post("/stop", self.payload(url, fid, folder))

    def check(self, url: str, fid: str, folder: str = "") -> Answer:
        """Check."""
        return self._post("/check", self.payload(url, fid, folder))

    def detail(self, pk: str) -> dict[str, Any]:
        """Everything about one download."""
        return self._get(f"/{pk}").data

    def status_of_detail(self, pk: str) -> int:
        """The HTTP status of asking about one download."""
        return self._get(f"/{pk}").status

    def listed(self, **filters: str) -> list[dict[str, Any]]:
        """The downloads that the user sees."""
        results: list[dict[str, Any]] = self._get("?" + urlencode(filters)).data["results"]
        return results

    def wait_for(self, pk: str, wanted: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
        """Look at the download until it is as wanted; AssertionError when it does not become so."""
        deadline = time.monotonic() + seconds
        while not wanted(detail := self.detail(pk)):
            assert time.monotonic() < deadline, f"not within {seconds} s: {detail}"
            time.sleep(0.03)
        return detail

    def wait_for_end(self, pk: str, seconds: float = 60) -> dict[str, Any]:
        """Everything about the download once it has ended."""
        return self.wait_for(pk, lambda detail: detail["state"] not in LIVE, seconds)

    def socket_url(self, **filters: str) -> str:
        """Where the user's events are told."""
        return f"ws://{urlsplit(self.base).netloc}/ws/events/?{urlencode({'token': self.token, **filters})}"

    @contextmanager
    def listening(self, **filters: str) -> Iterator[Listener]:
        """An open socket, narrowed by these filters."""
        with (
            self._connected(self.socket_url(**filters)) as connection,
            Listener(connection) as listener,
        ):
            yield listener

    @staticmethod
    def _connected(url: str, seconds: float = 20) -> ClientConnection:
        """A socket; as 503 asks for, tried again while a part of the service is down."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return connect(url, proxy=None, open_timeout=30)
            except InvalidStatus as refusal:
                if refusal.response.status_code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                    raise
            time.sleep(0.5)

    def _post(self, path: str, payload: dict[str, str], headers: dict[str, str] | None = None) -> Answer:
        return self._ask("POST", path, json=payload, headers={**self._headers, **(headers or {})})

    def _get(self, path: str) -> Answer:
        return self._ask("GET", path, headers=self._headers)

    def _ask(self, method: str, path: str, **options: Any) -> Answer:
        began = time.monotonic()
        reply = requests.request(method, f"{self.base}/api/file/download{path}", timeout=ANSWER_SECONDS, **options)
        return Answer(reply.status_code, reply.json(), time.monotonic() - began)
