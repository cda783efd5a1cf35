"""Which keys of sessions ever reach the database."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.sessions.backends import db
from django.test import Client

from config.sessions import SessionStore

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "key", ["aaaaaaaaaaa\0", "AAAAAAAAAAAA", "aaaaaaaa\n", "aaaa-aaaa-aaaa", "\xe9" * 9, "short", ""]
)
def test_no_key_that_django_would_not_have_made_is_looked_for(key: str) -> None:
    assert SessionStore(key).session_key is None


def test_a_session_that_django_has_kept_is_read() -> None:
    kept = db.SessionStore()
    kept["name"] = "ann"
    kept.save()

    assert SessionStore(kept.session_key)["name"] == "ann"


def test_a_cookie_with_a_null_character_is_nobodys() -> None:
    """On PostgreSQL it once was a 500."""
    assert settings.SESSION_ENGINE == "config.sessions"
    client = Client(headers={"Cookie": r'sessionid="aaaaaaaaaaa\000"'})

    assert client.get("/api/file/download").status_code == 401
    assert client.get("/admin/").status_code == 302
