"""What of the configuration must never be written anywhere."""

from __future__ import annotations

import os
from pathlib import Path

from config.redaction import Redaction, secrets_in
from config.settings.environment import Environment

_FOREIGN = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
"""Secrets that libraries read from the environment by themselves."""


def redaction_of(environment: Environment, secret_key: str) -> Redaction:
    """What masks the configured secrets, and cuts off paths below the configured folders."""
    secrets = [
        *(secret_key, *environment.secret_key_fallbacks, environment.metrics_token, environment.case_api_token),
        *secrets_in(environment.database_url, environment.redis_url),
        *(os.environ.get(name, "") for name in _FOREIGN),
    ]
    return Redaction(secrets=secrets, roots=_roots(environment))


def _roots(environment: Environment) -> list[Path]:
    clouds = [cloud.folder for cloud in environment.sync_regions.values() if cloud.folder is not None]
    return [
        *(environment.download_root, environment.files_root, environment.sync_save_path),
        *(environment.data_dir / "cloud", *clouds, *environment.sync_source_roots),
        *(Path(folder) for folder in environment.path_map.values()),
    ]
