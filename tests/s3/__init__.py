"""Real S3 servers for tests, each a process of the test run's own on a free port.

`swift` is strict: OpenStack's object storage with its S3 interface, which loses nothing it has acknowledged. `rclone`
is sloppy: it ignores conditions, and gives objects ETags of another kind. `scripted` answers whatever it is told to.
"""

from tests.s3.rclone import running_rclone
from tests.s3.scripted import Answer, ScriptedStore
from tests.s3.server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server, credentials
from tests.s3.swift import running_swift

__all__ = [
    "ACCESS_KEY",
    "BUCKET",
    "SECRET_KEY",
    "Answer",
    "S3Server",
    "ScriptedStore",
    "credentials",
    "running_rclone",
    "running_swift",
]
