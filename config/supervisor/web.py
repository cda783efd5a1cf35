"""What the supervisor's web process is: the application behind uvicorn, as soon as the database is prepared."""

from __future__ import annotations

import argparse
import gc
import resource
import socket
from importlib import import_module

import uvicorn
from django.conf import settings

# The import sets Django up, which everything below needs.
from config.asgi import application

# isort: split

from config import presence
from config.direct import DirectProtocol
from config.supervisor import gate

GRACE_SECONDS = 5
"""How long requests under way may take when the process is told to leave."""
MAX_OPEN_FILES = 65_536
"""Each connection is one, and so is each file that is on its way; systems often allow 1,024 until asked for more."""


def main() -> None:
    """Serve on the listening socket that the supervisor hands over."""
    options = argparse.ArgumentParser()
    options.add_argument("--fd", type=int, required=True)
    listening = socket.socket(fileno=options.parse_args().fd)
    allow_open_files()
    server = uvicorn.Config(
        application,
        loop="uvloop",
        http=DirectProtocol,
        ws="websockets-sansio",
        ws_max_size=65536,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,  # the settings have configured it
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=75,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    presence.Announcement("web", numbers=lambda: {"sockets": application.sockets}, is_well=lambda: True).begin()
    # Given the number alone, uvicorn takes the socket for a Unix one, and never sets TCP_NODELAY: 40 ms an answer.
    uvicorn.Server(server).run(sockets=[listening])


def load_for_good() -> None:
    """Load all views, and spare the garbage collector what lives as long as the process.

    With many connections it comes often, and all requests wait while it looks through Django: with 256 at once, polls
    that nothing is new for take a third less time without that, and p99 of `/livez` falls from 150 to 45 ms.
    """
    import_module(settings.ROOT_URLCONF)
    gc.collect()
    gc.freeze()


def allow_open_files() -> None:
    """Ask the system for as many open files as it lets us have, within reason."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if most == resource.RLIM_INFINITY else min(most, MAX_OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


if __name__ == "__main__":
    load_for_good()
    gate.wait_until_open()
    main()
