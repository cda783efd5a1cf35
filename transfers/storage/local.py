"""Files on local disk: `FILES_ROOT/<owner>/<folder>/<name>`, and `FILES_ROOT/.uploads/<id>` while they come in."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from collections.abc import Collection as Numbers
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from tempfile import TemporaryFile

from django.conf import settings

from transfers import folders
from transfers.engine.base import Collected
from transfers.engine.local import LocalCollection, LocalSink, LocalSource
from transfers.engine.local.disk import sink_errors, sync_folder
from transfers.errors import NoAddressesError, SinkError
from transfers.storage.base import Address, Slot

UPLOADS = ".uploads"
MADE = ".made"
"""The folder of what the service makes itself; owners' folders are numbers."""
_UPLOAD = re.compile(r"[1-9][0-9]{0,17}")


class LocalStorage:
    """Local disk."""

    def location(self, upload_id: int, owner_id: int, folder: str, name: str) -> str:  # noqa: ARG002 - names are numbered
        """The path that the file gets, or, when that is taken, a numbered one beside it."""
        place = self._root() / str(owner_id) / folders.safe_file_name(folder, "files")
        return str(place / folders.safe_file_name(name, "file"))

    def collection(self, slot: Slot) -> LocalCollection:
        """A folder of the upload's own, on the file system that the file is to lie on."""
        return LocalCollection(self._uploads() / str(slot.upload_id), slot.stride, Path(slot.location))

    def location_of(self, slot: Slot, collected: Collected) -> str:  # noqa: ARG002 - names are numbered
        """The path that was free."""
        return collected.location

    def source(self, location: str) -> LocalSource:
        """The file, to read."""
        return LocalSource(Path(location))

    def path(self, location: str) -> Path:
        """The file's path."""
        return Path(location)

    def made_location(self, owner_id: int, name: str) -> str:
        """A path that no upload of the owner's has."""
        return str(self._root() / MADE / str(owner_id) / name)

    def sink(
        self,
        location: str,
        *,
        generation: str,
        upload_id: str = "",  # noqa: ARG002 - the path says it all
        content_type: str = "",  # noqa: ARG002
    ) -> AbstractContextManager[LocalSink]:
        """The file at that path."""
        return closing(LocalSink(Path(location), generation=generation, replace=True))

    def delete(self, location: str) -> None:
        """Remove the file, durably."""
        path = Path(location)
        with sink_errors(path.parent):
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                sync_folder(path.parent)

    def part_address(self, slot: Slot, number: int) -> Address:  # noqa: ARG002 - there is none
        """None: bytes go through the service."""
        raise NoAddressesError("Files lie on local disk: send the parts to the service.")

    def content_address(self, location: str, disposition: str, content_type: str) -> Address:  # noqa: ARG002 - as above
        """None: bytes go through the service."""
        raise NoAddressesError("Files lie on local disk: fetch them from the service.")

    def check(self) -> None:
        """Make a file without a name, which is gone again at once."""
        with sink_errors(self._root()):
            self._root().mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=self._root()).close()

    def sweep(self, alive: Callable[[Numbers[int]], set[int]], older_than_seconds: float) -> int:
        """Remove the folders of uploads that are no more."""
        uploads = self._uploads()
        with sink_errors(uploads):
            entries = [entry for entry in uploads.glob("*") if _UPLOAD.fullmatch(entry.name) and entry.is_dir()]
            old = {int(entry.name): entry for entry in entries if _age_seconds(entry) > older_than_seconds}
        orphans = old.keys() - alive(old.keys())
        for number in orphans:
            with suppress(SinkError):  # something is being written to it: it is older the next time
                LocalCollection(old[number], 1, uploads).abort()
        return len(orphans)

    def sweep_made(self, known: Callable[[Numbers[str]], set[str]], older_than_seconds: float) -> int:
        """Remove files that nobody knows."""
        made = self._root() / MADE
        with sink_errors(made):
            files = [path for path in made.glob("*/*") if path.is_file() and _age_seconds(path) > older_than_seconds]
            orphans = {str(path) for path in files} - known([str(path) for path in files])
            for orphan in orphans:
                Path(orphan).unlink(missing_ok=True)
        return len(orphans)

    def _root(self) -> Path:
        return Path(settings.ENVIRONMENT.files_root)

    def _uploads(self) -> Path:
        return self._root() / UPLOADS


def _age_seconds(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:  # somebody else was faster
        return 0.0
