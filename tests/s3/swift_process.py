"""All of swift in one process, run by path: `swift_process.py FOLDER PORT ACCESS_KEY SECRET_KEY MIN_PART_BYTES`.

Its own programs are one process for each of four servers and its workers, which leave their session. Here the four
share an event loop, so that one SIGKILL is the crash of a whole machine, and it starts in half a second.

It waits. Where one of its servers is late to answer another, swift goes on without: a listing lacks the object that was
just written, until a daemon mends it that does not run here; one that cannot have its database at once tells what it
had before; and after ten times there is no bucket any more. Under a load all are late.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CONFIGURATION = """
[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
fallocate_reserve = 0
log_level = CRITICAL

[pipeline:main]
pipeline = {pipeline}

[app:account-server]
use = egg:swift#account

[app:container-server]
use = egg:swift#container
conn_timeout = 60
node_timeout = 300

[app:object-server]
use = egg:swift#object
conn_timeout = 60
node_timeout = 300
container_update_timeout = 300

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
conn_timeout = 60
node_timeout = 300
error_suppression_limit = 1000000

[filter:catch_errors]
use = egg:swift#catch_errors

[filter:gatekeeper]
use = egg:swift#gatekeeper

[filter:s3api]
use = egg:swift#s3api
max_upload_part_num = 10000
min_segment_size = {min_part_bytes}

[filter:tempauth]
use = egg:swift#tempauth
user_{user} = {secret_key} .admin

[filter:bulk]
use = egg:swift#bulk

[filter:slo]
use = egg:swift#slo
max_manifest_segments = 10000
"""
_STORES = ("account", "container", "object")
_PENDING_SECONDS = 300
"""How long a listing waits for what was written before it."""


def main() -> None:
    """Serve until killed, and tell the address once it works."""
    folder, port, access_key, secret_key, min_part_bytes = sys.argv[1:]
    from swift.common import utils  # noqa: PLC0415 - in this process alone, and before all else

    utils.monkey_patch()
    import eventlet  # noqa: PLC0415

    _list_nothing_old()
    Path(folder, "devices", "disk").mkdir(parents=True, exist_ok=True)
    Path(folder, "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = tests\n")
    utils.set_swift_dir(folder)
    values = {
        "folder": folder,
        "user": access_key.replace(":", "_"),
        "secret_key": secret_key,
        "min_part_bytes": min_part_bytes,
    }
    sockets = {name: eventlet.listen(("127.0.0.1", 0)) for name in _STORES}
    for name, listening in sockets.items():
        _write_ring(Path(folder, f"{name}.ring.gz"), listening.getsockname()[1])
    for name, listening in sockets.items():
        eventlet.spawn(_serve, listening, _application(name, f"{name}-server", values))
    proxy = _application("proxy", "catch_errors gatekeeper s3api tempauth bulk slo proxy-server", values)
    listening = eventlet.listen(("127.0.0.1", int(port)))
    print(f"serving at http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    _serve(listening, proxy)


def _list_nothing_old() -> None:
    """Have listings wait for what was written before: otherwise they do for 0.1 s, and then tell what was."""
    from swift.common.db import DatabaseBroker  # noqa: PLC0415 - once swift has patched what it stands on

    as_it_was = DatabaseBroker.__init__

    def patient(broker: Any, *arguments: Any, **options: Any) -> None:
        as_it_was(broker, *arguments, **options)
        broker.pending_timeout, broker.stale_reads_ok = _PENDING_SECONDS, False

    DatabaseBroker.__init__ = patient


def _write_ring(path: Path, port: int) -> None:
    """Tell that everything lies on the one device behind this port."""
    from swift.common.ring.builder import RingBuilder  # noqa: PLC0415

    address = {"ip": "127.0.0.1", "port": port, "replication_ip": "127.0.0.1", "replication_port": port}
    builder = RingBuilder(part_power=1, replicas=1, min_part_hours=1)
    builder.add_dev({"region": 1, "zone": 1, "device": "disk", "weight": 1.0, **address})
    builder.rebalance(seed=1)
    builder.get_ring().save(str(path))


def _application(name: str, pipeline: str, values: dict[str, str]) -> Callable[..., Any]:
    from swift.common.wsgi import loadapp  # noqa: PLC0415

    path = Path(values["folder"], f"{name}.conf")
    path.write_text(_CONFIGURATION.format(pipeline=pipeline, **values))
    return loadapp(str(path), global_conf={"log_name": name})


def _serve(listening: Any, application: Callable[..., Any]) -> None:
    from eventlet import wsgi  # noqa: PLC0415
    from swift.common.http_protocol import SwiftHttpProtocol  # noqa: PLC0415
    from swift.common.utils import NullLogger  # noqa: PLC0415

    warnings.filterwarnings("ignore", message="capitalize_response_headers is disabled")
    wsgi.server(
        listening,
        application,
        NullLogger(),
        protocol=SwiftHttpProtocol,
        socket_timeout=60,
        capitalize_response_headers=False,  # boto3 looks for ETag, not Etag
        debug=False,
    )


if __name__ == "__main__":
    main()
