"""`manage.py describe_settings`: the page of all settings, as `make docs` writes it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.management.base import BaseCommand

from config.settings.described import page


class Command(BaseCommand):
    """Print docs/configure.md."""

    help = "Print docs/configure.md: every setting with its meaning, unit, default and limits."
    requires_system_checks: ClassVar[list[str]] = []  # type: ignore[misc]

    def handle(self, *_: str, **__: Any) -> None:
        """Print it."""
        self.stdout.write(page(), ending="")
