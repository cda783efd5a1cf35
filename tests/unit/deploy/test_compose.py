"""What docker-compose.yml promises: it starts nowhere without secrets, as root, writable, unlimited or unpinned.

Compose itself, where there is one, is asked too, with and without secrets.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from config.settings.environment import Environment
from config.supervisor.solo import NAMES
from config.supervisor.supervisor import DRAIN_SECONDS
from tests.service import REPOSITORY

FILE = REPOSITORY / "docker-compose.yml"
TEXT = FILE.read_text()
COMPOSED: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSED["services"]
KNOWN = {  # to 1.29 as to 2: https://github.com/compose-spec/compose-spec/blob/main/05-services.md
    *("image", "build", "profiles", "user", "env_file", "environment", "entrypoint", "command", "volumes", "tmpfs"),
    *("ports", "networks", "network_mode", "depends_on", "healthcheck", "shm_size", "mem_limit", "cpus", "init"),
    *("stop_signal", "stop_grace_period", "read_only", "cap_drop", "security_opt", "restart", "logging"),
}
ONE_SHOT = {"migrate", "s3-bucket"}
OURS = {"migrate", "web", "worker", "worker-cpu", "beat", "s3-bucket"}
"""What runs the image whose user the Dockerfile sets."""
ASKED = re.compile(r"\$\{(\w+):\?[^}]+\}")
MAKE_SECRETS = REPOSITORY / "deploy" / "make-secrets"
each = pytest.mark.parametrize("name", SERVICES)


def test_nothing_is_used_that_either_compose_lacks() -> None:
    assert set(COMPOSED) == {"x-service", "services", "volumes", "networks"}
    assert not set().union(*SERVICES.values()) - KNOWN
    named = [volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    assert set(named) == set(COMPOSED["volumes"])
    assert {network for service in SERVICES.values() for network in service.get("networks", ())} == set(
        COMPOSED["networks"]
    )


@each
def test_each_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "cpus", "logging"} <= set(service)
    if name not in OURS:
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])


@each
def test_each_says_how_it_fares_and_waits_for_what_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
    if name in ONE_SHOT:
        assert service["healthcheck"] == {"disable": True}
    elif name not in ("web", "nginx"):  # whose images say it
        assert service["healthcheck"]["test"]
    for needed, how in service.get("depends_on", {}).items():
        assert how["condition"] == ("service_completed_successfully" if needed in ONE_SHOT else "service_healthy")
        assert set(SERVICES[needed].get("profiles", ())) <= set(service.get("profiles", ()))


@each
def test_images_are_pinned_and_ports_are_for_this_machine_alone(name: str) -> None:
    service = SERVICES[name]
    if "build" not in service:
        assert re.fullmatch(r"\$\{\w+_IMAGE:-[\w./-]+:v?\d+\.\d+\.?\d*[\w.-]*\}", service["image"])
    for port in service.get("ports", ()):
        assert re.match(r"\$\{\w+_BIND:-127\.0\.0\.1:\d+\}:\d+$", port)


def test_a_worker_has_the_time_to_drain_and_all_run_the_supervisors_programs() -> None:
    for name in ("worker", "worker-cpu", "beat"):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= DRAIN_SECONDS + 5
    commands = {SERVICES[name]["command"][0] for name in ("migrate", "web", "worker", "worker-cpu", "beat")}
    assert commands == set(NAMES)


@pytest.mark.parametrize("told_in", ["deploy/restore", "docs/upgrade.md"])
def test_whatever_works_is_stopped_before_its_database_is_replaced(told_in: str) -> None:
    [stopped] = re.findall(r"compose stop (nginx [\w -]+)", (REPOSITORY / told_in).read_text())
    assert set(stopped.split()) == OURS - ONE_SHOT | {"nginx"}


def test_what_it_sets_are_settings_or_others_secrets_taken_away() -> None:
    for name, value in COMPOSED["x-service"]["environment"].items():
        assert name.lower() in Environment.model_fields or value == ""


def test_no_secret_has_a_default_and_all_are_made(tmp_path: Path) -> None:
    made = tmp_path / "env"
    subprocess.run([MAKE_SECRETS, made], check=True, capture_output=True)
    names = {line.partition("=")[0] for line in made.read_text().splitlines()}
    assert names == set(ASKED.findall(TEXT))
    assert made.stat().st_mode & 0o777 == 0o600
    secret_names = re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|_KEY)\w*)(:.)", TEXT)
    assert {sign for _, sign in secret_names} == {":?"}


def test_making_secrets_again_keeps_what_is_there_and_adds_what_is_missing(tmp_path: Path) -> None:
    made = tmp_path / "env"
    made.write_text("WORKERS=3\nREDIS_PASSWORD=\nSECRET_KEY=mine")
    subprocess.run([MAKE_SECRETS, made], check=True, capture_output=True)
    once = made.read_text()
    assert once.startswith("WORKERS=3\nREDIS_PASSWORD=\nSECRET_KEY=mine\n")
    values = [line.partition("=")[2] for line in once.splitlines()[3:]]
    assert len(set(values)) == len(values) == 5
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in values)
    subprocess.run([MAKE_SECRETS, made], check=True, capture_output=True)
    assert made.read_text() == once
    assert list(tmp_path.iterdir()) == [made]


def test_the_image_has_every_package_of_the_service_and_no_other_file() -> None:
    """A new package that nobody copies would be missed by the first start of a container only."""
    layers = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]
    packages = set(layers["root_packages"]) - {"carryon"}
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    assert packages == {name for name, to in re.findall(r"^COPY (\w+) (\w+)$", dockerfile, re.MULTILINE) if name == to}
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {f"!{name}" for name in packages} <= set(ignored)


def test_compose_and_the_dockerfile_name_the_same_images() -> None:
    arguments = COMPOSED["x-service"]["build"]["args"]
    for name, default in re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE):
        assert arguments[name] == f"${{{name}:-{default}}}"


def interpolated() -> dict[str, Any]:
    """The file as Compose reads it, with its defaults, and with secrets."""

    def value(found: re.Match[str]) -> str:
        return "secret" if found["default"] is None else found["default"]

    text = re.sub(r"(?<!\$)\$\{(?P<name>\w+)(?::-(?P<default>[^}]*)|:\?[^}]*)?\}", value, TEXT)
    read: dict[str, Any] = yaml.safe_load(text.replace("$$", "$"))
    return read


def faults(composed: dict[str, Any]) -> list[str]:
    """What Compose's own schema says against it; `x-service` is none of its services."""
    # The Compose Specification's schema, Apache-2.0, byte for byte as docker-compose 1.29.2 brings it.
    schema = json.loads((Path(__file__).with_name("compose_spec.json")).read_text())
    return [
        f"{error.json_path}: {error.message}" for error in jsonschema.Draft201909Validator(schema).iter_errors(composed)
    ]


def test_it_is_of_the_form_that_compose_specifies() -> None:
    """`docker compose config` asks for more, where there is one; this is what can be known without it."""
    assert faults(interpolated()) == []


@pytest.mark.parametrize(("key", "value"), [("mem_limit", ["1g"]), ("memory_limit", "1g"), ("healthcheck", "curl")])
def test_another_form_would_be_found(key: str, value: Any) -> None:
    composed = interpolated()
    composed["services"]["web"][key] = value
    assert faults(composed)


def composes() -> list[Sequence[str]]:
    """The commands of Compose that work here; `config` needs no engine."""
    found: list[Sequence[str]] = []
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            ran = subprocess.run([*command, "version"], capture_output=True, check=False)
            found += [command] if ran.returncode == 0 else []
    return found


@pytest.mark.skipif(not composes(), reason="neither `docker compose` nor `docker-compose` is here to be asked")
@pytest.mark.parametrize("command", composes(), ids=" ".join)
def test_compose_takes_it_with_secrets_and_refuses_without(command: Sequence[str], tmp_path: Path) -> None:
    shutil.copy(FILE, tmp_path)
    asked = [*command, "-f", str(tmp_path / FILE.name), "--project-directory", str(tmp_path)]
    profiles = ["--profile", "s3", "--profile", "flower"]
    secrets = set(ASKED.findall(TEXT))
    environment = {name: value for name, value in os.environ.items() if name not in secrets}

    def config(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*asked, *options, "config"], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
        )

    refused = config()
    assert refused.returncode != 0
    subprocess.run([MAKE_SECRETS, tmp_path / ".env"], check=True, capture_output=True)
    taken = config(*profiles)
    assert taken.returncode == 0, taken.stderr
    assert set(yaml.safe_load(taken.stdout)["services"]) == set(SERVICES)
    assert "warn" not in taken.stderr.lower()
