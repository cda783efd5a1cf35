"""The uploads that were begun and not finished: told, and given up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from carryon.display import Display
from carryon.errors import NoSuchUploadError, UploadEndedError, UsageError
from carryon.plan import Plan
from carryon.server import Server
from carryon.state import Store, Unfinished
from carryon.stop import Stop
from carryon.wording import printable, size


def tell(store: Store, url: str, display: Display, *, as_json: bool) -> None:
    """List them, one a line."""
    uploads = store.all(url)
    for upload in uploads:
        display.result(_json(upload) if as_json else _line(upload))
    if not uploads and not as_json:
        display.result(f"No unfinished uploads to {url}.")


def abort(store: Store, server: Server, display: Display, names: Sequence[str], *, as_json: bool) -> None:
    """Have the server remove those with these paths or upload numbers, and forget them; any ClientError."""
    for upload in _named(store.all(server.url), names):
        with store.hold(upload.key, Stop()):
            with suppress(NoSuchUploadError, UploadEndedError):  # or there is nothing left to remove
                server.abort(upload.file_id)
            store.forget(upload.key)
        display.result(_json(upload) if as_json else f"{printable(upload.path)}: given up")


def _named(uploads: Sequence[Unfinished], names: Sequence[str]) -> list[Unfinished]:
    found: list[Unfinished] = []
    for name in names:
        path = str(Path(name).absolute())
        chosen = [upload for upload in uploads if upload.path == path or str(upload.file_id) == name]
        if not chosen:
            raise UsageError(
                f"{printable(name)}: no unfinished upload is known by this name; `carryon list` tells them"
            )
        found += [upload for upload in chosen if upload not in found]
    return found


def _line(upload: Unfinished) -> str:
    plan = Plan(upload.fingerprint.size, upload.part_size)
    return (
        f"{upload.file_id}  {printable(upload.path)}: {len(upload.parts)} of {len(plan)} parts"
        f" ({size(upload.fingerprint.size)}) for {upload.key.catalog}"
    )


def _json(upload: Unfinished) -> str:
    return json.dumps(
        {
            "file": upload.path,
            "fileId": upload.file_id,
            "catalog": upload.key.catalog,
            "size": upload.fingerprint.size,
            "parts": len(Plan(upload.fingerprint.size, upload.part_size)),
            "there": len(upload.parts),
        }
    )
