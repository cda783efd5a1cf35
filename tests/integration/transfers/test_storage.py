"""Whether the place of new files is there, on a disk and on real S3 servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from config.health import checks
from config.health.probe import DownError
from tests.s3 import BUCKET, S3Server
from tests.s3.fixtures import rclone, s3_credentials, store, swift
from transfers import storage
from transfers.errors import SinkError
from transfers.storage.local import LocalStorage

__all__ = ["rclone", "s3_credentials", "store", "swift"]


def environment(**changes: Any) -> Any:
    return override_settings(ENVIRONMENT=settings.ENVIRONMENT.model_copy(update=changes))


def on_s3(url: str, bucket: str = BUCKET) -> Any:
    return environment(storage="s3", s3_bucket=bucket, s3_endpoint_url=url)


def test_a_disk_that_takes_files(tmp_path: Path) -> None:
    with environment(files_root=tmp_path / "files"):
        LocalStorage().check()

    assert list((tmp_path / "files").iterdir()) == []


def test_a_disk_that_takes_none(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("no folder")

    with environment(files_root=tmp_path / "files"), pytest.raises(SinkError):
        LocalStorage().check()


def test_a_bucket_that_is_there(store: S3Server) -> None:
    with on_s3(store.url):
        checks.store()
        assert "storage:s3" in {probe.name for probe in checks.probes()}
        assert "storage:files" not in {probe.name for probe in checks.probes()}


def test_a_bucket_that_is_not(swift: S3Server) -> None:
    with on_s3(swift.url, bucket="another"), pytest.raises(SinkError):
        storage.for_new().check()


def test_a_store_that_is_away_is_told_by_its_code() -> None:
    with on_s3("http://127.0.0.1:1"), pytest.raises(DownError, match=r"^[a-z_]+$"):
        checks.store()
