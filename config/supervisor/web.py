"""What the supervisor's web process is: the application behind uvicorn, as soon as the database is prepared."""

from __future__ import annotations

import argparse

import uvicorn

# The import sets Django up, which everything below needs.
from config.asgi import application

# isort: split

from config.direct import DirectProtocol
from config.supervisor import gate

GRACE_SECONDS = 5
"""How long requests under way may take when the process is told to leave."""


def main() -> None:
    """Serve on the listening socket that the supervisor hands over."""
    options = argparse.ArgumentParser()
    options.add_argument("--fd", type=int, required=True)
    server = uvicorn.Config(
        application,
        fd=options.parse_args().fd,
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
    uvicorn.Server(server).run()


if __name__ == "__main__":
    gate.wait_until_open()
    main()
