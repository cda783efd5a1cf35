"""Empties the database after a test that commits, several times faster than Django's `flush`.

`flush` truncates every table and has every app write its permissions anew, which took a fifth of the time of the tests
on PostgreSQL. Nothing here writes permissions but migrations: they stay, and only tables that hold rows are emptied.
"""

from __future__ import annotations

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase

_KEPT = {"auth_permission", "django_content_type"}


def install() -> None:
    """Have every test that commits use it."""
    TransactionTestCase._fixture_teardown = _empty_all  # type: ignore[attr-defined]


def _empty_all(_: TransactionTestCase) -> None:
    for connection in connections.all():
        empty(connection)


def empty(connection: BaseDatabaseWrapper) -> None:
    """Delete all rows of the apps' tables, but not what migrations have made."""
    tables = [name for name in connection.introspection.django_table_names() if name not in _KEPT]
    named = [connection.ops.quote_name(name) for name in tables]
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join([f"EXISTS (SELECT 1 FROM {name})" for name in named]))  # noqa: S608
        for name, has_rows in zip(named, cursor.fetchone(), strict=True):
            if has_rows:  # foreign keys are checked at the end of the transaction, so the order does not matter
                cursor.execute(f"DELETE FROM {name}")  # noqa: S608
