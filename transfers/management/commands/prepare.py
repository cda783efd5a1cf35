"""`manage.py prepare`: the database brought up to date, and the first user made."""

from __future__ import annotations

import json
import os
import secrets
from argparse import ArgumentParser
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from knox.models import AuthToken

FIRST_USER = "admin"
_PASSWORD_BYTES = 12


@dataclass(frozen=True)
class Login:
    """A user with the secrets that are stored as hashes only."""

    user: str
    password: str
    token: str


class Command(BaseCommand):
    """Prepares the database for this version of the service, quickly when there is nothing to do."""

    help = (
        "Apply missing migrations and, when there is no user at all, make the staff superuser "
        f"{FIRST_USER!r} with a random password and token. May be repeated at any time."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare what the supervisor passes."""
        parser.add_argument(
            "--unshown-login",
            type=Path,
            metavar="FILE",
            help="note kept until a person has seen the login: while it is there, the next run makes the secrets anew",
        )
        parser.add_argument(
            "--login-fd", type=int, metavar="FD", help="write the login there as JSON instead of printing it"
        )

    def handle(self, *, unshown_login: Path | None, login_fd: int | None, **_: Any) -> None:
        """Prepare; CommandError when the database cannot be reached, or is not restored yet."""
        restoring = settings.ENVIRONMENT.data_dir / "restoring"
        if restoring.exists():
            raise CommandError(
                f"A backup was not restored to its end ({restoring}): repeat `manage.py restore`, which goes on."
            )
        try:
            migrate()
            login = first_login(unshown_login)
        except OperationalError as error:
            raise CommandError(f"The database cannot be used: {error}") from error
        if login is None:
            return
        if login_fd is None:
            self.stdout.write(f"user {login.user}\npassword {login.password}\ntoken {login.token}")
        else:
            with os.fdopen(login_fd, "w") as answer:
                json.dump(asdict(login), answer)


def migrate() -> None:
    """Apply the migrations that are missing; a database that has them all is only looked at."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        is_new = not executor.loader.applied_migrations
        if is_new:  # fifty lines would hide the login that follows
            print("The database is being made.", flush=True)
        call_command("migrate", interactive=False, verbosity=0 if is_new else 1)


def first_login(unshown: Path | None) -> Login | None:
    """Make the first user, or new secrets for one whose secrets nobody has seen; None when neither is needed.

    The note holds the hash of a token and no secret. It is written before the user is committed and removed by
    whoever has shown the login, so a kill in between costs another start and never the only way in.
    """
    with transaction.atomic():
        if not get_user_model().objects.exists():
            user = get_user_model()(username=FIRST_USER, is_staff=True, is_superuser=True)
        elif (unseen := _unseen_token(unshown)) is not None:
            user = unseen.user
            unseen.delete()
        else:
            return None
        return _with_new_secrets(user, unshown)


def _with_new_secrets(user: AbstractUser, note: Path | None) -> Login:
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    user.set_password(password)
    user.save()
    stored, token = AuthToken.objects.create(user)  # type: ignore[no-untyped-call]
    if note is not None:
        note.write_text(stored.digest)
    return Login(user.get_username(), password, token)


def _unseen_token(note: Path | None) -> AuthToken | None:
    if note is None or not note.exists():
        return None
    return AuthToken.objects.select_related("user").filter(digest=note.read_text()).first()
