"""Who had what done with which row, when, and what came of it: rows of Django's own log of its admin, for all ways in.

What is written names rows as their `__str__` does and errors by their codes, for neither may tell of a patient. A row
of it is written in the transaction of what it tells, where that is one, so that neither is ever there alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction
from knox.models import AuthToken

__all__ = ["ADDITION", "CHANGE", "COMMAND_LINE", "DELETION", "REFUSED"]

COMMAND_LINE = "command line"
"""The user that stands for whoever may run commands; no form takes a name with a space, so it is nobody's."""
BY_API = "By the API."
ON_COMMAND_LINE = "On the command line."
REFUSED = "Refused: "
"""How what was not done begins."""
SHOWN_CHARACTERS = 8
"""How much of a token's own beginning is shown: enough to find the one that one holds, of no use to others."""
_MAX_NAME = 200


class _Caller(Protocol):
    pk: Any


def record(
    *, by: _Caller, row: models.Model, what: str, flag: int = CHANGE, key: str | None = None, named: str | None = None
) -> None:
    """Write down what this user had done with the row; `key` and `named` are what it went by before it was deleted."""
    if isinstance(row, AuthToken):  # its key, and its own words for itself, are its digest
        known, called = None, name_of(row)
    else:
        known, called = key or str(row.pk), named or str(row)
    LogEntry.objects.create(
        user_id=by.pk,
        content_type=ContentType.objects.get_for_model(row),
        object_id=known,
        object_repr=called[:_MAX_NAME],
        action_flag=flag,
        change_message=what,
    )


def name_of(token: AuthToken) -> str:
    """A token in words, without its digest."""
    return f"{token.token_key[:SHOWN_CHARACTERS]}… of {token.user}"


def refused(*, by: _Caller, row: models.Model, what: str, why: str) -> None:
    """Write down what was not done, and why: an error's code, or words of ours."""
    record(by=by, row=row, what=f"{REFUSED}{what} ({why.removesuffix('.')}).")


def by_api(*, by: _Caller, owner_id: object, row: models.Model, what: str, flag: int = CHANGE) -> None:
    """Write down what was done by the API where the row is another user's, as only staff can."""
    if by.pk != owner_id:
        record(by=by, row=row, what=f"{what}. {BY_API}", flag=flag)


@contextmanager
def doing_by_api(**deed: Any) -> Iterator[None]:
    """Run the block in one transaction with `by_api`; nothing is written down when it fails."""
    with transaction.atomic():
        by_api(**deed)  # first, for a row that is deleted has no key any more
        yield


def by_command_line(*, row: models.Model, what: str, user: User | None = None, flag: int = CHANGE) -> None:
    """Write down what was done on the command line, by this user where one was named."""
    record(by=user or _whoever(), row=row, what=f"{what}. {ON_COMMAND_LINE}", flag=flag)


def _whoever() -> User:
    user, _ = User.objects.get_or_create(
        username=COMMAND_LINE, defaults={"is_active": False, "password": make_password(None)}
    )
    return user
