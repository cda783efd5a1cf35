from __future__ import annotations

from tests.s3.fixtures import rclone, s3_credentials, store, swift

__all__ = ["rclone", "s3_credentials", "store", "swift"]
