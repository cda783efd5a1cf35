"""What tests of lists and orders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.fixtures import Settings

from tests.integration.transfers.orders import Api
from tests.integration.transfers.rows import new_user, use


@pytest.fixture
def files_root(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files and zips lie; nothing is synced there, as nothing here is about power."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    folder = tmp_path.resolve() / "files"
    use(settings, files_root=folder, heartbeat_seconds=0.1)
    return folder


@pytest.fixture
def lister(files_root: Path) -> User:
    """Who has a list."""
    return new_user("lister")


@pytest.fixture
def client_of_lists(lister: User) -> Api:
    """Their client."""
    return Api(lister)


@pytest.fixture
def other(files_root: Path) -> Api:
    """Another user's client."""
    return Api(new_user("other"))


@pytest.fixture
def staff(files_root: Path) -> Api:
    """A member of staff's client."""
    return Api(new_user("staff", is_staff=True))
