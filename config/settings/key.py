"""The key that signs and encrypts: configured, or made once and kept with the data."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from config.settings.environment import LEAST_KEY_CHARACTERS, ConfigurationError, Environment


def secret_key(environment: Environment) -> str:
    """The configured key, or the one kept in the data folder, made on first use and readable by its owner only."""
    if environment.secret_key:
        return environment.secret_key
    path = environment.data_dir / "secret_key"
    try:
        if not path.exists():
            _make_secret_key(path)
        key = path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"The configuration cannot be used:\n  DATA_DIR: {path}: {error.strerror}") from None
    if len(key) < LEAST_KEY_CHARACTERS:
        raise ConfigurationError(f"The configuration cannot be used:\n  DATA_DIR: {path}: holds no whole key")
    return key


def _make_secret_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"secret_key.{os.getpid()}")
    fresh.touch(mode=0o600)
    with fresh.open("w") as file:
        file.write(secrets.token_urlsafe(50))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)  # whoever links first has made the key; nobody ever reads half of one
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    _sync_folder(path.parent)  # what the key has encrypted must never outlast it


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
