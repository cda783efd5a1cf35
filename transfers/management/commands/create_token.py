"""`manage.py create_token`: the way a person or a program gets into the API."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, transaction
from django.utils import timezone
from knox.models import AuthToken
from knox.settings import knox_settings

from transfers import audit

MAX_DAYS = 36_500
"""A century: past it lies the end of what dates can say."""


class Command(BaseCommand):
    """Print a new token; only its hash is kept, so it is never shown again."""

    help = (
        "Make an API token for a user, who is made too if there is none by that name (without a password). "
        "The token is printed alone on the last line, once; the database keeps only its hash. "
        "A user may have any number of tokens; revoke them in the admin."
    )
    requires_system_checks = []  # loading all views for them would double its time

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what can be asked for."""
        parser.add_argument("--user", required=True, metavar="NAME", help="whom the token stands for")
        parser.add_argument(
            "--staff", action="store_true", help="make the user staff and superuser: sees everything, may use the admin"
        )
        parser.add_argument(
            "--expires-days",
            type=_days,
            metavar="N",
            help=f"life of the token in days, 1 to {MAX_DAYS} (default: TOKEN_EXPIRY_DAYS)",
        )

    def handle(self, *_: Any, user: str, staff: bool, expires_days: int | None, **__: Any) -> None:
        """Make the token and print it; CommandError when the name cannot be used or the database is not ready."""
        try:
            with transaction.atomic():
                owner, made = _owner(user, staff=staff)
                lifetime = knox_settings.TOKEN_TTL if expires_days is None else timedelta(days=expires_days)
                AuthToken.objects.filter(user=owner, expiry__lte=timezone.now()).delete()
                stored, token = AuthToken.objects.create(owner, lifetime)  # type: ignore[no-untyped-call]
                _write_down(stored, made=made, staff=staff)
        except DatabaseError as error:
            raise CommandError(f"The database is not ready ({error}); run `manage.py migrate` first.") from None
        made_or_found = "New user" if made else "User"
        told = f"{made_or_found} {owner.username}: a new token, good until {stored.expiry:%Y-%m-%d}."
        self.stderr.write(told, self.style.SUCCESS)
        self.stdout.write(token)


def _write_down(token: AuthToken, *, made: bool, staff: bool) -> None:
    rights = " staff and superuser" if staff else ""
    if made or rights:
        flag = audit.ADDITION if made else audit.CHANGE
        audit.by_command_line(row=token.user, what=f"Made{rights}", flag=flag)
    audit.by_command_line(row=token, what=f"Made, good until {token.expiry:%Y-%m-%d}", flag=audit.ADDITION)


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_DAYS:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MAX_DAYS}")
    return int(text)


def _owner(name: str, *, staff: bool) -> tuple[User, bool]:
    """The user of this name and whether it was made now; `staff` only ever adds rights."""
    name = User.normalize_username(name)
    try:
        User._meta.get_field("username").clean(name, None)
    except ValidationError as error:
        raise CommandError(f"--user: {' '.join(error.messages)}") from None
    user, made = User.objects.get_or_create(username=name, defaults={"password": make_password(None)})
    if not user.is_active:
        raise CommandError(f"--user: {name} is not active, and no token would be taken.")
    if staff:
        user.is_staff = user.is_superuser = True
        user.save(update_fields=["is_staff", "is_superuser"])
    return user, made
