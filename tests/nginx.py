"""A real nginx with deploy/nginx/nginx.conf; `python -m tests.nginx` gets Debian's into the virtual environment."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.debian import unpacked

CONFIGURATION = Path(__file__).resolve().parent.parent / "deploy" / "nginx" / "nginx.conf"
OWN = Path(sys.prefix) / "nginx"
"""Where ours is unpacked."""
PACKAGES = ("nginx", "nginx-common")
VARIABLE = "NGINX_PROGRAM"  # not NGINX, which nginx takes for sockets that it inherits
MISSING = (
    f"needs nginx: none is on the PATH, in /usr/sbin or named by {VARIABLE},"
    " and `python -m tests.nginx` could not get one"
)
_PLACES = (OWN / "usr/sbin/nginx", Path("/usr/sbin/nginx"), Path("/usr/local/sbin/nginx"))
_START_SECONDS = 10
_STOP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx, and what it has written."""

    url: str
    folder: Path

    @property
    def access(self) -> str:
        """Its access log so far."""
        return (self.folder / "access.log").read_text()

    @property
    def errors(self) -> str:
        """Its error log so far."""
        return (self.folder / "error.log").read_text()


def found_nginx() -> str | None:
    """A program that runs here, or None."""
    named = os.environ.get(VARIABLE) or shutil.which("nginx")
    for program in ([named] if named else []) + [str(place) for place in _PLACES]:
        with suppress(OSError):
            if subprocess.run([program, "-v"], capture_output=True, check=False).returncode == 0:
                return program
    return None


def rendered(program: str, folder: Path, port: int, *, service: str, data: Path, static: Path) -> Path:
    """The configuration that is shipped, with this machine's places in it and nothing else changed."""
    text = CONFIGURATION.read_text()
    for shipped, ours in {
        "include /etc/nginx/mime.types;": f"include {_mime_types(program)};",
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "http://web:8008": service,
        "/data/": f"{data}/",
        "/srv/static/": f"{static}/",
        "/tmp/nginx": f"{folder}/nginx",  # noqa: S108 - what stands in the configuration
        "/dev/stderr": f"{folder}/error.log",
        "/dev/stdout": f"{folder}/access.log",
    }.items():
        assert shipped in text, f"{CONFIGURATION} no longer has {shipped!r}"
        text = text.replace(shipped, ours)
    written = folder / "nginx.conf"
    written.write_text(text)
    return written


def checked(program: str, configuration: Path) -> subprocess.CompletedProcess[str]:
    """What `nginx -t` says of it."""
    command = [program, "-t", "-q", "-c", str(configuration), "-g", _globals()]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@contextmanager
def running_nginx(program: str, folder: Path, *, service: str, data: Path, static: Path) -> Iterator[Nginx]:
    """An nginx before the service at that URL, which has its files in `data`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = rendered(program, folder, port, service=service, data=data, static=static)
    process = subprocess.Popen([program, "-c", str(configuration), "-g", f"daemon off; {_globals()}"])
    try:
        _wait_until_listening(process, port)
        yield Nginx(f"http://127.0.0.1:{port}", folder)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """Get an nginx where there is none, if Debian's tools are there; say so if not, for its tests are skipped then."""
    if found_nginx() is None:
        print("Getting nginx, which some tests need …", flush=True)
        unpacked(PACKAGES, OWN)
    if found_nginx() is None:
        print(f"Some tests will be skipped: {MISSING}.", file=sys.stderr)


def _globals() -> str:
    # Root's nginx would give its workers to a user who may not enter the tests' folders.
    return "user root;" if os.geteuid() == 0 else ""


def _mime_types(program: str) -> Path:
    beside = Path(program).resolve().parents[2] / "etc/nginx/mime.types"  # of one that was unpacked, not installed
    places = (beside, Path("/etc/nginx/mime.types"), Path("/usr/local/etc/nginx/mime.types"))
    return next(place for place in places if place.exists())


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        assert process.poll() is None, f"nginx ended with {process.returncode}"
        assert time.monotonic() < deadline, "nginx does not listen"
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)


if __name__ == "__main__":
    main()
