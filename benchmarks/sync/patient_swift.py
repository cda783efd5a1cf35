"""The tests' swift, but one that waits: run by path, with the arguments of `tests/s3/swift_process.py`.

Where one of its servers is late to answer another, swift goes on without: a listing lacks the object that was just
written, until a daemon mends it that does not run here; one that cannot have its database at once tells what it had
before; and after ten times there is no bucket any more. Under a load that is to be measured all are late.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

PENDING_SECONDS = 300
PATIENCE = {
    "use = egg:swift#proxy\n": "conn_timeout = 60\nnode_timeout = 300\nerror_suppression_limit = 1000000\n",
    "use = egg:swift#object\n": "conn_timeout = 60\nnode_timeout = 300\ncontainer_update_timeout = 300\n",
    "use = egg:swift#container\n": "conn_timeout = 60\nnode_timeout = 300\n",
}


def main() -> None:
    """Serve until killed."""
    # By path: as a part of its package it would bring the whole of it, before swift could patch anything.
    path = Path(__file__).resolve().parents[2] / "tests" / "s3" / "swift_process.py"
    specification = importlib.util.spec_from_file_location("swift_process", path)
    if specification is None or specification.loader is None:
        raise SystemExit(f"there is no {path}")
    swift: Any = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(swift)
    for line, more in PATIENCE.items():
        swift._CONFIGURATION = swift._CONFIGURATION.replace(line, line + more)  # noqa: SLF001
    application = swift._application  # noqa: SLF001

    def patient_application(*arguments: Any) -> Any:
        list_nothing_old()
        return application(*arguments)

    swift._application = patient_application  # noqa: SLF001
    swift.main()


def list_nothing_old() -> None:
    """Have listings wait for what was written before."""
    from swift.common.db import DatabaseBroker  # noqa: PLC0415 - once swift has patched what it stands on

    as_it_was = DatabaseBroker.__init__

    def patient(broker: Any, *arguments: Any, **options: Any) -> None:
        as_it_was(broker, *arguments, **options)
        broker.pending_timeout, broker.stale_reads_ok = PENDING_SECONDS, False

    if as_it_was.__name__ != patient.__name__:
        DatabaseBroker.__init__ = patient


if __name__ == "__main__":
    main()
