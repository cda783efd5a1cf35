"""The pages lead where they say, and name only tests, settings, errors and commands that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from config.settings.environment import Environment
from tests.service import REPOSITORY
from transfers import errors

DOCS = REPOSITORY / "docs"
PAGES = [
    *sorted(DOCS.glob("*.md")),
    *(REPOSITORY / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
]
OURS = [DOCS / name for name in ("install.md", "backup.md", "upgrade.md", "tune.md", "troubleshoot.md", "failures.md")]
OTHERS = {  # variables of Compose, of its images, of make and of others' programs
    *("CARRYON_VERSION", "CARRYON_BIND", "COMPOSE", "LC_ALL", "PATH", "PIP_INDEX_URL", "PYTHON", "OPTIONS", "SIGTERM"),
    *("POSTGRES_IMAGE", "POSTGRES_MEMORY", "POSTGRES_CPUS", "WORKER_MEMORY", "HTTP_TOKEN", "SHA", "README", "TOKEN"),
    *("ARCHITECTURE", "CHANGELOG", "CONTRIBUTING"),
}
NAMES = {name.upper() for name in Environment.model_fields}
CODES = {value.code for value in vars(errors).values() if isinstance(value, type) and hasattr(value, "code")}


def ids(pages: list[Path]) -> list[str]:
    return [page.name for page in pages]


@pytest.mark.parametrize("page", PAGES, ids=ids(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_is_in_the_index() -> None:
    told = (DOCS / "README.md").read_text()
    assert [page.name for page in DOCS.glob("*.md") if page.name != "README.md" and f"({page.name})" not in told] == []


@pytest.mark.parametrize("page", OURS, ids=ids(OURS))
def test_settings_that_are_named_are_there(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`", text))
    named |= set(re.findall(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)=", text))
    assert named - NAMES - OTHERS == set()


@pytest.mark.parametrize("page", OURS, ids=ids(OURS))
def test_commands_that_are_named_are_there(page: Path) -> None:
    known = get_commands()
    for name, options in re.findall(r"manage\.py (\w+)((?: [^\s`]+)*)", page.read_text()):
        assert name in known, name
        parser = load_command_class(known[name], name).create_parser("manage.py", name)
        flags = {flag for action in parser._actions for flag in action.option_strings}
        assert {flag.partition("=")[0] for flag in options.split() if flag.startswith("--")} <= flags, options


def test_tests_that_are_named_are_there() -> None:
    named = re.findall(
        r"(?:`|, )(?:(?:e2e|integration)/)?(test_\w+\.py)?(?:::(test_\w+))?`", (DOCS / "failures.md").read_text()
    )
    files = {path.name: path.read_text() for path in (REPOSITORY / "tests").rglob("test_*.py")}
    everything = "\n".join(files.values())
    assert len(named) > 30
    for file, test in named:
        assert not file or file in files
        assert not test or f"def {test}(" in (files[file] if file else everything)


def test_codes_that_are_named_are_there() -> None:
    text = (DOCS / "troubleshoot.md").read_text()
    codes = set(re.findall(r"(?:with|…|4\d\d|507) `([a-z]+(?:_[a-z]+)+)`", text))
    assert len(codes) > 4
    assert codes - CODES - {"unknown_host"} == set()
