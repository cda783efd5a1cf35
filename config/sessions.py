"""Sessions as Django keeps them in the database, under keys that it could have given itself."""

from __future__ import annotations

import re

from django.contrib.sessions.backends import db

_KEY = re.compile(r"[a-z0-9]{8,40}")


class SessionStore(db.SessionStore):
    """A session; a key that Django would not have made leads to none, and never reaches the database.

    PostgreSQL fails at a null character. The class keeps Django's name, which is part of what signs a session.
    """

    def _validate_session_key(self, key: str | None) -> bool:
        return key is not None and _KEY.fullmatch(key) is not None
