"""Stored files for tests: a row, and its bytes on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.contrib.auth.models import User

from transfers.models import StoredFile


def new_file(owner: User, path: Path, content: bytes = b"bytes", **facts: Any) -> StoredFile:
    """A stored file of these bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    status = path.stat()
    values = {"name": path.name, "size": status.st_size, "modified_ns": status.st_mtime_ns, **facts}
    return StoredFile.objects.create(owner=owner, path=str(path), **values)
