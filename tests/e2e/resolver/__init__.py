"""Names that only the service under test knows: the folder goes on its PYTHONPATH, where Python finds `sitecustomize`.

Each name has answers in turn, as `tests.dns.ResolverTable` gives them, in every process anew. 127.0.0.1 is what the
service is told it may fetch, so it stands for a public address here, and 127.0.0.2 for a private one.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.service import REPOSITORY

NAMES_VARIABLE = "CARRYON_TEST_NAMES"
ALLOWED, FORBIDDEN = "127.0.0.1", "127.0.0.2"
NAMES: dict[str, list[list[str]]] = {
    "rebinds-at-once.test": [[ALLOWED], [FORBIDDEN]],
    "rebinds-later.test": [[ALLOWED], [FORBIDDEN]],
    "both.test": [[ALLOWED, FORBIDDEN]],
    "private.test": [[FORBIDDEN]],
    "unknown.test": [[]],
}


def python_path() -> str:
    """What PYTHONPATH has to be for a process to know the names."""
    return os.pathsep.join([str(Path(__file__).parent), str(REPOSITORY)])
