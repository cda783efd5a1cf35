"""Secrets that the database keeps: encrypted under the secret key (Fernet), readable only where they are used."""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class SecretLostError(ValueError):
    """What was encrypted cannot be read: the secret key is another one now."""


def encrypt(text: str) -> str:
    """Encrypt under the present key."""
    return _cipher().encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """Decrypt what the present key or one of its fallbacks encrypted; SecretLostError for anything else."""
    try:
        return _cipher().decrypt(token.encode()).decode()
    except InvalidToken:
        raise SecretLostError("it was encrypted under another secret key") from None


def _cipher() -> MultiFernet:
    keys = [str(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    return MultiFernet(
        Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"carryon.encrypted-text:{key}".encode()).digest()))
        for key in keys
    )
