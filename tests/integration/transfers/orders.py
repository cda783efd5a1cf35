"""Lists and orders for tests: files that are ready to be ordered, a client, and a worker that is this very process."""

from __future__ import annotations

import itertools
import json
import zlib
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from knox.models import AuthToken

from tests.integration.transfers.files import new_file
from transfers.models import ListJob, Order, StoredFile
from transfers.models.list_job import ListJobKind
from transfers.services import download_list as lists
from transfers.services import order as orders
from transfers.services.order import OrderRequest
from transfers.tasks import add_to_list, make_zip

_numbers = itertools.count(1)


def ready_file(owner: User, name: str = "", content: bytes = b"bytes", **facts: Any) -> StoredFile:
    """A stored file whose checksums were taken, at a place of its own."""
    number = next(_numbers)
    path = Path(settings.ENVIRONMENT.files_root) / "ready" / str(number) / "content"
    facts = {"name": name or f"{number}.bin", "crc32": f"{zlib.crc32(content):08x}", "sha256": "s", **facts}
    return new_file(owner, path, content, **facts)


def rows(owner: User, count: int, **facts: Any) -> list[StoredFile]:
    """Stored files without bytes."""
    start = next(_numbers)
    return StoredFile.objects.bulk_create(
        [
            StoredFile(
                **{"owner": owner, "name": f"{n:06}.bin", "path": f"/nowhere/{start}/{n}", "size": n + 1, **facts}
            )
            for n in range(count)
        ],
        batch_size=1_000,
    )


def association(file: StoredFile | int) -> dict[str, str]:
    """A FileHandleAssociation."""
    pk = str(file if isinstance(file, int) else file.pk)
    return {"fileHandleId": pk, "associateObjectId": pk, "associateObjectType": "FileEntity"}


class Api:
    """A user's client of lists and orders."""

    def __init__(self, user: User) -> None:
        _, token = AuthToken.objects.create(user)  # type: ignore[no-untyped-call]
        self.user = user
        self.client = Client(headers={"Authorization": f"Token {token}"})

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """The response."""
        sent = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.generic(method, path, headers=named, **sent)

    def told(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        """What a response of this status says."""
        response = self.ask(method, path, body)
        assert response.status_code == status, (response.status_code, response.content[:2000])
        return response.json()

    def refused(self, status: int, code: str, method: str, path: str, body: object = None) -> Any:
        """What the refusal says."""
        response = self.ask(method, path, body)
        assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json"), (
            response.status_code,
            response.content[:2000],
        )
        told = response.json()
        assert (told["status"], told["code"]) == (status, code), told
        return told

    def listed(self) -> dict[str, Any]:
        """The list."""
        found: dict[str, Any] = self.told("GET", "/download/list/me")
        return found


def ordered(user: User, *files: StoredFile, name: str = "files.zip") -> Order:
    """An order of these files."""
    for file in files:
        lists.add(user=user, file_id=file.pk)
    return orders.make(user=user, request=OrderRequest(zip_file_name=name, sub_set=[file.pk for file in files]))


def work(job: ListJob) -> ListJob:
    """What a worker makes of it that hears its doorbell now."""
    (make_zip if job.kind == ListJobKind.ZIP else add_to_list)(str(job.pk))
    job.refresh_from_db()
    return job


def made_files() -> list[str]:
    """What lies where zips are made."""
    root = Path(settings.ENVIRONMENT.files_root) / ".made"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
