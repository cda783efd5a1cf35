"""Column types of our own."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.db import models


def _cipher() -> MultiFernet:
    keys = [str(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    return MultiFernet(
        Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"carryon.encrypted-text:{key}".encode()).digest()))
        for key in keys
    )


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]  # it takes none at run time
    """Text that is readable in Python and encrypted in the database (Fernet, under the secret key)."""

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt on the way in."""
        return None if value is None else _cipher().encrypt(str(value).encode()).decode()

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        """Decrypt on the way out."""
        return None if value is None else _cipher().decrypt(value.encode()).decode()
