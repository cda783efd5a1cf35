"""What the service asks of a place that files come to rest in."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection as Numbers
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from transfers.engine.base import Collected, Collection, Sink, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where an upload collects its parts, and what they are to become."""

    upload_id: int
    location: str
    """Where the file is to lie."""
    collection_name: str = ""
    """What the place itself calls the collection; "" before it was begun, or where it needs no name."""
    stride: int
    """Bytes between the beginnings of two parts."""
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A signed address at the store itself, good for one kind of request for a while."""

    url: str
    method: str
    expires_at: datetime


@runtime_checkable
class Begun(Protocol):
    """A sink that the place has a name of its own for once it has begun, to go on with it by."""

    @property
    def upload_id(self) -> str:
        """The place's name."""


class Storage(Protocol):
    """A place that files come to rest in."""

    def location(self, upload_id: int, owner_id: int, folder: str, name: str) -> str:
        """Where the file of that upload is to lie."""

    def collection(self, slot: Slot) -> Collection:
        """Where the parts of an upload come together."""

    def location_of(self, slot: Slot, collected: Collected) -> str:
        """Where the upload's file turned out to lie."""

    def source(self, location: str) -> Source:
        """A file at rest, to read."""

    def path(self, location: str) -> Path | None:
        """The file's path, where it is on a disk of ours."""

    def made_location(self, owner_id: int, name: str) -> str:
        """Where a file is to lie that the service itself makes; the name is the service's own, and nobody else's."""

    def sink(
        self, location: str, *, generation: str, upload_id: str = "", content_type: str = ""
    ) -> AbstractContextManager[Sink]:
        """A file to be made there, in place of an earlier one; `upload_id` is what a `Begun` one was called before.

        The block's end lets go of what is open, and of nothing else.
        """

    def delete(self, location: str) -> None:
        """Remove a file at rest; none there is fine."""

    def part_address(self, slot: Slot, number: int) -> Address:
        """Where a client may send a part itself; NoAddressesError where bytes must go through the service."""

    def content_address(self, location: str, disposition: str, content_type: str) -> Address:
        """Where a client may fetch the file itself; NoAddressesError as above."""

    def check(self) -> None:
        """Nothing, when a file could come here now; SinkError when not."""

    def sweep_made(self, known: Callable[[Numbers[str]], set[str]], older_than_seconds: float) -> int:
        """Remove what lies where the service makes files and nobody knows of, and tell how much it was.

        `known` says which of these locations somebody still knows. Younger things are left alone.
        """

    def sweep(self, alive: Callable[[Numbers[int]], set[int]], older_than_seconds: float) -> int:
        """Remove what uploads have left that are no more, and tell how many.

        `alive` says which of these uploads may still need their parts. Younger things are left alone.
        """
