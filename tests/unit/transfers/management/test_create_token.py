from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from knox.models import AuthToken
from pytest_django.fixtures import Settings

from config.authentication import live_token

pytestmark = pytest.mark.django_db


def create_token(*arguments: str) -> str:
    """Run the command and give what it printed."""
    out = io.StringIO()
    call_command("create_token", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_the_token_is_alone_on_the_last_line_and_opens() -> None:
    token = create_token("--user", "ann").splitlines()[-1]

    assert live_token(token).user.username == "ann"
    assert token.isalnum()


def test_the_user_is_made_without_a_password_or_rights() -> None:
    create_token("--user", "ann")

    user = User.objects.get(username="ann")
    assert not user.has_usable_password()
    assert not user.is_staff
    assert not user.is_superuser


def test_staff_may_do_everything_and_no_later_token_takes_that_away() -> None:
    create_token("--user", "ann")
    create_token("--user", "ann", "--staff")
    create_token("--user", "ann")

    user = User.objects.get(username="ann")
    assert user.is_staff
    assert user.is_superuser
    assert AuthToken.objects.filter(user=user).count() == 3


def test_a_known_user_keeps_the_password() -> None:
    User.objects.create_user("ann", password="correct horse")

    create_token("--user", "ann", "--staff")

    assert User.objects.get(username="ann").check_password("correct horse")


def test_only_the_hash_is_stored() -> None:
    token = create_token("--user", "ann").strip()

    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM knox_authtoken")
        assert token not in str(cursor.fetchall())


@pytest.mark.parametrize(("arguments", "days"), [((), 365), (("--expires-days", "3"), 3)])
def test_the_token_expires(arguments: tuple[str, ...], days: int, settings: Settings) -> None:
    settings.REST_KNOX = {"TOKEN_TTL": timedelta(days=365), "TOKEN_LIMIT_PER_USER": 0}

    create_token("--user", "ann", *arguments)

    expiry = AuthToken.objects.get().expiry
    assert expiry is not None
    assert abs(expiry - timezone.now() - timedelta(days=days)) < timedelta(minutes=1)


def test_expired_tokens_of_the_user_are_swept_out() -> None:
    create_token("--user", "ann")
    create_token("--user", "bob")
    AuthToken.objects.update(expiry=timezone.now() - timedelta(days=1))

    create_token("--user", "ann")

    assert AuthToken.objects.filter(user__username="ann").count() == 1
    assert AuthToken.objects.filter(user__username="bob").count() == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--user", "bad/name"], "valid username"),
        (["--user", ""], "cannot be blank"),
        (["--user", "x" * 151], "at most 150 characters"),
        (["--user", "ann", "--expires-days", "0"], "whole number from 1"),
        (["--user", "ann", "--expires-days", "-1"], "whole number from 1"),
        (["--user", "ann", "--expires-days", "99999999"], "whole number from 1"),
        (["--user", "ann", "--expires-days", "soon"], "whole number from 1"),
        ([], "--user"),
    ],
)
def test_what_cannot_be_is_told_and_leaves_nothing(arguments: list[str], told: str) -> None:
    with pytest.raises(CommandError, match=told):
        create_token(*arguments)

    assert not User.objects.exists()


def test_a_user_who_is_not_active_gets_no_token() -> None:
    User.objects.create_user("ann", is_active=False)

    with pytest.raises(CommandError, match="not active"):
        create_token("--user", "ann")
    assert not AuthToken.objects.exists()
