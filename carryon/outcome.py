"""How the upload of one file ended, for people and for scripts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from carryon.errors import ClientError
from carryon.wording import printable


class Status(StrEnum):
    """How it ended."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(slots=True)
class Outcome:
    """How it ended, and what was done for it; the names are those of `--json`."""

    file: str
    """As the user named it."""
    status: Status = Status.STOPPED
    code: str = ""
    error: str = ""
    id: str = ""
    """The stored file's."""
    fileId: int | None = None  # noqa: N815 - the contract's word
    """The upload's."""
    name: str = ""
    """The stored file's, which is another one's where the same bytes were there already."""
    url: str = ""
    size: int | None = None
    """Bytes."""
    md5: str = ""
    parts: int = 0
    there: int = 0
    """Parts that the server has."""
    sent: int = 0
    """Parts that this run sent."""
    instant: bool = False
    """Whether the server had the file already."""
    verified: bool | None = None
    """Whether the server has read the whole file again and found it right; None while it has not."""

    def fail(self, error: ClientError) -> None:
        """Note that it ended with this error."""
        self.status, self.code, self.error = Status.FAILED, error.code, error.message

    @property
    def line(self) -> str:
        """What a person reads of a file that is there."""
        another = f" as {printable(self.name)}" if self.name != Path(self.file).name else ""
        before = f" (there already{another})" if self.instant else ""
        return f"{printable(self.file)}: id {self.id}, {self.url}{before}"

    @property
    def complaint(self) -> str:
        """What a person reads of a file that is not there."""
        why = self.error if self.status is Status.FAILED else "stopped"
        kept = f" ({self.there} of {self.parts} parts are there; the same command goes on)" if self.there else ""
        return f"{printable(self.file)}: {why}{kept}"

    @property
    def json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))
