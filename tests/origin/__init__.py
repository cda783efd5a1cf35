"""A hostile HTTP origin: an honest server that lies, stalls and breaks exactly as a test tells it to.

    with Origin() as origin:
        file = GeneratedFile(10 * 2**20, seed=1)
        url = origin.add("/file.bin", file, Behaviour(cut_after=1_000_000, reset=True), Behaviour())

`behaviour.py` is the table of all it can do, `server.py` what can be asked of it at run time.
"""

from tests.origin.behaviour import (
    After,
    Behaviour,
    ContentRange,
    Etag,
    Framing,
    LastModified,
    Malformed,
    Ranges,
    http_date,
)
from tests.origin.certificate import Certificate, self_signed
from tests.origin.content import Bytes, Content, DiskFile, GeneratedFile, read
from tests.origin.gate import Gate
from tests.origin.process import OriginProcess
from tests.origin.request import Request
from tests.origin.server import Origin

__all__ = [
    "After",
    "Behaviour",
    "Bytes",
    "Certificate",
    "Content",
    "ContentRange",
    "DiskFile",
    "Etag",
    "Framing",
    "Gate",
    "GeneratedFile",
    "LastModified",
    "Malformed",
    "Origin",
    "OriginProcess",
    "Ranges",
    "Request",
    "http_date",
    "read",
    "self_signed",
]
