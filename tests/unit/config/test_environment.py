"""Everything that is wrong or missing is told at once, each under its variable's name and without its value."""

from __future__ import annotations

import os
import stat
from ipaddress import ip_network
from pathlib import Path

import pytest

from config.settings.environment import ConfigurationError, Environment, read_environment
from config.settings.key import secret_key


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours is set but DATA_DIR."""
    for name in Environment.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))


def test_without_variables_the_defaults_hold(tmp_path: Path) -> None:
    environment = read_environment()

    assert (environment.host, environment.port, environment.workers) == ("127.0.0.1", 8008, 1)
    assert environment.data_dir == tmp_path
    assert environment.download_root == tmp_path / "downloads"
    assert environment.run_dir == tmp_path / "run"
    assert environment.path_map == {}
    assert environment.fetch_allow == []
    assert environment.legacy_fail_status is None


PROMISED = {
    "HOST": "127.0.0.1",
    "PORT": 8008,
    "WORKERS": 1,
    "DATABASE_URL": "",
    "REDIS_URL": "",
    "FETCH_ALLOW": [],
    "DOWNLOAD_ROOT": Path("data/downloads").absolute(),
    "DOWNLOAD_START_WAIT_SECONDS": 2,
    "PATH_MAP": {},
    "LEGACY_FAIL_STATUS": None,
    "STORAGE": "local",
    "S3_BUCKET": "",
    "S3_PREFIX": "",
    "S3_ENDPOINT_URL": "",
    "UPLOAD_MAX_BYTES": 5 * 2**40,
    "UPLOAD_EXPIRY_DAYS": 7,
    "USER_QUOTA_BYTES": None,
    "ORDER_MAX_BYTES": 2 * 2**30,
    "ORDER_EXPIRY_DAYS": 7,
    "SYNC_SOURCE_ROOTS": [],
    "SYNC_SAVE_PATH": Path("data/cases").absolute(),
    "SYNC_REGIONS": {},
    "CASE_API_HOSTS": [],
}
"""What operators rely on: these names, their units and defaults stay."""


@pytest.mark.parametrize(("name", "value"), PROMISED.items(), ids=PROMISED)
def test_what_was_promised_stays(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATA_DIR")
    environment = read_environment()
    assert getattr(environment, name.lower()) == value
    assert environment.data_dir == Path("data").absolute()
    assert environment.folder_cloud("eu").folder == environment.data_dir / "cloud" / "eu"


@pytest.mark.parametrize(
    ("name", "text", "attribute", "value"),
    [
        ("PORT", "0", "port", 0),
        ("PORT", "", "port", 8008),
        ("FETCH_ALLOW", "Files.Example, 10.0.0.0/8,", "fetch_allow", ["Files.Example", "10.0.0.0/8"]),
        ("FETCH_ALLOW", "fd00::/8", "fetch_allow", ["fd00::/8"]),
        ("ALLOWED_HOSTS", "a.example,b.example", "allowed_hosts", ["a.example", "b.example"]),
        ("TRUSTED_PROXIES", "10.0.0.0/8, ::1,", "trusted_proxies", [ip_network("10.0.0.0/8"), ip_network("::1")]),
        ("RATE_LIMIT_LOGIN", "5/hour", "rate_limit_login", "5/hour"),
        ("RATE_LIMIT_START", "off", "rate_limit_start", "off"),
        (
            "CORS_ALLOWED_ORIGINS",
            "https://a.example:8443,http://b",
            "cors_allowed_origins",
            ["https://a.example:8443", "http://b"],
        ),
        ("AUDIT_LOG_DAYS", "0.5", "audit_log_days", 0.5),
        ("ORDER_EXPIRY_DAYS", "0.5", "order_expiry_days", 0.5),
        ("PATH_MAP", '{"C:\\\\Ray": "/srv/ray"}', "path_map", {"C:\\Ray": "/srv/ray"}),
        ("LEGACY_FAIL_STATUS", "200", "legacy_fail_status", 200),
        ("DATABASE_URL", "sqlite:////srv/db.sqlite3", "database_url", "sqlite:////srv/db.sqlite3"),
        ("SECRET_KEY", "k" * 32, "secret_key", "k" * 32),
        ("SECRET_KEY_FALLBACKS", "former, the one before,", "secret_key_fallbacks", ["former", "the one before"]),
        ("REDIS_URL", "unix:///run/redis.sock?db=1", "redis_url", "unix:///run/redis.sock?db=1"),
        ("REDIS_URL", "rediss://user:pass@host:6380/2", "redis_url", "rediss://user:pass@host:6380/2"),
        ("PUBLIC_URL", "https://carryon.example", "public_url", "https://carryon.example"),
        ("DOWNLOAD_ROOT", "/tmp/elsewhere", "download_root", Path("/tmp/elsewhere")),  # noqa: S108 - never made
    ],
)
def test_good_values_are_taken(
    name: str, text: str, attribute: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)

    assert getattr(read_environment(), attribute) == value


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("PORT", "http", "valid integer"),
        ("PORT", "65536", "less than or equal to 65535"),
        ("WORKERS", "0", "greater than or equal to 1"),
        ("LEASE_SECONDS", "0", "greater than 0"),
        ("ORDER_EXPIRY_DAYS", "0", "greater than 0"),
        ("LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("LEGACY_FAIL_STATUS", "20", "greater than or equal to 200"),
        ("DATABASE_URL", "mysql://u:secret@h/db", "must begin with one of postgres://"),
        ("DATABASE_URL", "postgres://u:sec/ret@h/db", "cannot be parsed"),
        ("DATABASE_URL", "postgres://u:secret@h:port/db", "cannot be parsed"),
        ("DATABASE_URL", "postgres://u:secret@h", "names no database"),
        ("DATABASE_URL", "not a url", "must begin with one of"),
        ("DATABASE_URL", "sqlite://:memory:", "must name a file"),
        ("DATABASE_URL", "sqlite:///:memory:", "must name a file"),
        ("REDIS_URL", "http://:secret@h", "must begin with one of redis://"),
        ("REDIS_URL", "redis://:secret@h:port/0", "cannot be parsed"),
        ("REDIS_URL", "unix:", "names no socket"),
        ("PUBLIC_URL", "carryon.example", "must begin with one of http://"),
        ("PUBLIC_URL", "https://", "names no host"),
        ("FETCH_ALLOW", "10.0.0.0/33", "neither the name of a host nor an address nor a CIDR"),
        ("FETCH_ALLOW", "http://files.example/", "is neither the name of a host nor an address nor a CIDR"),
        ("TRUSTED_PROXIES", "nginx", "must be addresses and CIDRs"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "without host bits"),
        ("RATE_LIMIT_LOGIN", "often", "a number and a span"),
        ("RATE_LIMIT_REQUESTS", "7/week", "a number and a span"),
        ("CORS_ALLOWED_ORIGINS", "*", "must begin with one of http://"),
        ("CORS_ALLOWED_ORIGINS", "https://app.example/", "must be an origin"),
        ("CORS_ALLOWED_ORIGINS", "https://App.example", "must be an origin"),
        ("CORS_ALLOWED_ORIGINS", "https://user:pass@app.example", "must be an origin"),
        ("AUDIT_LOG_DAYS", "-1", "greater than or equal to 0"),
        ("LOGIN_FAILURES", "0", "greater than or equal to 1"),
        ("PATH_MAP", "{'a': 'b'}", "is not JSON"),
        ("PATH_MAP", '["a"]', "must be a JSON object"),
        ("PATH_MAP", '{"a": 1}', "valid string"),
        ("DATA_DIR", "/dev/null", "is not a folder"),
        ("DATA_DIR", "/dev/null/data", "is not a folder"),
        ("DOWNLOAD_ROOT", "~nobody-of-this-name/x", "cannot be reached"),
    ],
)
def test_a_bad_value_is_told_under_its_name_alone(
    name: str, text: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, text)
    monkeypatch.setenv("SECRET_KEY", "a long one that is not the matter here")

    with pytest.raises(ConfigurationError) as refused:
        read_environment()

    head, *lines = str(refused.value).splitlines()
    assert head == "The configuration cannot be used:"
    assert [line.split(":")[0].strip() for line in lines] == [name]
    assert told in lines[0]
    assert "sec" not in lines[0].removeprefix("  LEASE_SECONDS")


@pytest.mark.parametrize(
    ("name", "url", "meant"),
    [
        (
            "DATABASE",
            "postgres://ann:@db:5432/files?sslmode=require",
            "postgres://ann:p%2Fw%40d@db:5432/files?sslmode=require",
        ),
        ("DATABASE", "postgres://ann@db/files", "postgres://ann@db/files"),
        ("DATABASE", "postgres://ann:own@db/files", "postgres://ann:own@db/files"),
        ("DATABASE", "sqlite:////srv/db.sqlite3", "sqlite:////srv/db.sqlite3"),
        ("REDIS", "redis://:@valkey:6379/0", "redis://:p%2Fw%40d@valkey:6379/0"),
        ("REDIS", "redis://valkey:6379/0", "redis://valkey:6379/0"),
        ("REDIS", "unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("REDIS", "", ""),
    ],
)
def test_an_empty_password_in_an_address_is_the_one_beside_it(
    name: str, url: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "k" * 32)
    monkeypatch.setenv(f"{name}_URL", url)
    assert getattr(read_environment(), f"{name.lower()}_url") == url
    monkeypatch.setenv(f"{name}_PASSWORD", "p/w@d")
    assert getattr(read_environment(), f"{name.lower()}_url") == meant


def test_all_faults_are_told_at_once_and_what_is_missing_too(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = {
        "PORT": "x",
        "DATABASE_URL": "postgres://u:p@h:port/db",
        "REDIS_URL": "amqp://h",
        "FETCH_ALLOW": "10.0.0.0/33,1.2.3.4/99",
        "PATH_MAP": "[",
        "DATA_DIR": "/dev/null",
    }
    for name, text in faults.items():
        monkeypatch.setenv(name, text)

    with pytest.raises(ConfigurationError) as refused:
        read_environment()

    named = [line.split(":")[0].strip() for line in str(refused.value).splitlines()[1:]]
    assert sorted(set(named)) == sorted([*faults, "SECRET_KEY"])
    assert named.count("FETCH_ALLOW") == 2


@pytest.mark.parametrize("other", [{}, {"PORT": "x"}, {"PATH_MAP": "["}])
def test_postgresql_needs_a_secret_key_whatever_else_is_wrong(
    other: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {"DATABASE_URL": "postgres://u:p@h/db", **other}.items():
        monkeypatch.setenv(name, text)

    with pytest.raises(ConfigurationError, match="SECRET_KEY: needed with PostgreSQL"):
        read_environment()


def test_the_secret_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    environment = read_environment(data_dir=tmp_path / "fresh")

    first = secret_key(environment)

    assert secret_key(environment) == first
    assert len(first) >= 50
    kept = tmp_path / "fresh" / "secret_key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [path.name for path in kept.parent.iterdir()] == ["secret_key"]


def test_a_fresh_secret_key_is_on_the_disk_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[int, int]] = []
    sync = os.fsync

    def noting(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced.append((status.st_ino, status.st_size))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    key = secret_key(read_environment())

    assert synced[0] == ((tmp_path / "secret_key").stat().st_ino, len(key))
    assert [inode for inode, _ in synced[1:]] == [tmp_path.stat().st_ino]


@pytest.mark.parametrize("kept", ["", "half of on"])
def test_what_is_no_whole_key_is_a_fault_of_the_configuration(tmp_path: Path, kept: str) -> None:
    (tmp_path / "secret_key").write_text(kept)

    with pytest.raises(ConfigurationError, match=r"DATA_DIR: .*secret_key: holds no whole key"):
        secret_key(read_environment())


@pytest.mark.parametrize("database", ["", "postgres://u:p@h/db"])
def test_a_short_secret_key_is_refused_and_not_shown(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("SECRET_KEY", "k" * 31)

    with pytest.raises(ConfigurationError, match="SECRET_KEY: must have at least 32 characters") as refused:
        read_environment()

    assert "kk" not in str(refused.value)


def test_a_configured_secret_key_is_used_and_none_is_made(tmp_path: Path) -> None:
    configured = "a configured key of forty characters...."
    environment = read_environment(secret_key=configured)

    assert secret_key(environment) == configured
    assert not list(tmp_path.iterdir())


def test_a_secret_key_that_cannot_be_kept_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    environment = read_environment()
    (tmp_path / "secret_key").mkdir()

    with pytest.raises(ConfigurationError, match=r"DATA_DIR: .*secret_key: Is a directory"):
        secret_key(environment)
