"""What a file holds counts as its variable would, and what is wrong with the file is told under the variable's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings.environment import ConfigurationError, Environment, read_environment
from config.settings.files import MOST_BYTES


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours is set but DATA_DIR."""
    for name in Environment.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))


def faults() -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        read_environment()
    return str(refused.value).splitlines()[1:]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("SECRET_KEY", "k" * 40 + "\n", "k" * 40),
        ("SECRET_KEY", "k" * 40 + "\r\n", "k" * 40),
        ("SECRET_KEY", " " + "k" * 40, " " + "k" * 40),
        ("DATABASE_URL", "sqlite:////srv/db.sqlite3", "sqlite:////srv/db.sqlite3"),
        ("SECRET_KEY_FALLBACKS", "one,another\n", ["one", "another"]),
        ("PATH_MAP", '{"a": "/b"}\n', {"a": "/b"}),
        ("WORKERS", "3\n", 3),
        ("WORKERS", "\n", 1),
        ("CASE_API_TOKEN", "clé", "clé"),
    ],
)
def test_every_kind_of_setting_can_come_from_a_file(
    name: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(text.encode())
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))

    assert getattr(read_environment(), name.lower()) == value


def test_an_empty_variable_names_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORKERS_FILE", "")
    monkeypatch.setenv("WORKERS", "2")
    assert read_environment().workers == 2

    (tmp_path / "secret").write_text("3")
    monkeypatch.setenv("WORKERS", "")
    monkeypatch.setenv("WORKERS_FILE", str(tmp_path / "secret"))
    assert read_environment().workers == 3


def test_what_cannot_be_read_is_told_with_every_other_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff" * 40)
    (tmp_path / "long").write_text("x" * (MOST_BYTES + 1))
    (tmp_path / "key").write_text("a secret that nobody is to be shown")
    monkeypatch.setenv("PORT", "x")
    monkeypatch.setenv("SECRET_KEY", "another secret that nobody is to be shown")
    for name, file in {
        "DATABASE_URL": "nowhere",
        "REDIS_URL": "",
        "SECRET_KEY": "key",
        "CASE_API_TOKEN": "binary",
        "S3_BUCKET": "long",
        "DOWNLOAD_ROOT": "nowhere",
    }.items():
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / file))

    assert sorted(line.strip() for line in faults() if "PORT" not in line) == [
        "CASE_API_TOKEN: the file that CASE_API_TOKEN_FILE names cannot be read: it is no UTF-8 text",
        "DATABASE_URL: the file that DATABASE_URL_FILE names cannot be read: No such file or directory",
        "DOWNLOAD_ROOT: the file that DOWNLOAD_ROOT_FILE names cannot be read: No such file or directory",
        "REDIS_URL: the file that REDIS_URL_FILE names cannot be read: Is a directory",
        f"S3_BUCKET: the file that S3_BUCKET_FILE names has more than {MOST_BYTES} bytes",
        "SECRET_KEY: is set, and so is SECRET_KEY_FILE; only one can be",
    ]


def test_a_value_from_a_file_is_checked_and_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("postgres://u:sec/ret@h/db\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("SECRET_KEY", "k" * 40)

    assert faults() == ["  DATABASE_URL: cannot be parsed; are its parts percent-encoded?"]


def test_no_setting_is_named_as_the_file_of_another() -> None:
    names = set(Environment.model_fields)
    assert not names & {f"{name}_file" for name in names}
